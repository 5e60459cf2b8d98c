//! What became of notifications, by the service that they were for.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::metrics::Page;

/// The services, as targets name them behind their application, and what stands for none.
const SERVICES: [&str; 6] = ["apns", "apns_sandbox", "fcm", "web_push", "pinpoint", "none"];

/// The counts, shared by who counts and who reads them.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

/// The same, for whoever measures.
#[derive(Debug)]
pub(crate) struct Measured(pub(crate) std::sync::Arc<Counts>);

impl Counts {
    /// Counts what became of a notification through a target.
    pub(super) fn count(&self, target: &str, result: &'static str) {
        let named = target.split(' ').nth(1).unwrap_or_default();
        let service = SERVICES.into_iter().find(|service| *service == named).unwrap_or("none");
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((service, result)).or_default() += 1;
    }
}

impl Collector for Measured {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let help =
            "Push notifications by service and by what became of them: taken, failed, or to be tried again";
        let counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rows = counts.into_iter().map(|((service, result), count)| ([service, result], count));
        Page::new(encoder).counters(("carillon_push_notifications", help), ["service", "result"], rows)
    }
}
