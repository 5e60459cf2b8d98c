//! What `/_carillon/metrics` answers. What is counted somewhere anyway is read at the moment of asking; what takes time
//! is measured as it happens, by atomics. No label is an ARN or an id: names of tenants do not belong into a monitoring
//! system, and there would be too many. To add a metric: a line in the [`Collector`] of its room, one in
//! `docs/guide/metrics.md`, and its cause in `tests/test_metrics.py`, both of which tests miss.

mod limits;
mod page;
mod process;
mod requests;
mod rooms;
mod search;
mod store;

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

pub(crate) use limits::Limits;
pub(crate) use page::Page;
pub(crate) use process::Process;
use requests::Requests;
pub(crate) use rooms::{Processors, Sockets, Tasks};
pub(crate) use search::Index;
pub(crate) use store::OfStore;

/// The form of the answer.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where everything that is measured is read.
pub(crate) struct Metrics {
    registry: Registry,
    /// How long requests take.
    pub(crate) requests: Arc<Requests>,
}

impl Metrics {
    /// What there is to measure.
    pub(crate) fn new(all: Vec<Box<dyn Collector>>) -> Self {
        let (mut registry, requests) = (Registry::default(), Arc::<Requests>::default());
        for collector in all {
            registry.register_collector(collector);
        }
        registry.register_collector(Box::new(requests.clone()));
        Self { registry, requests }
    }

    /// All of it, as text.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
