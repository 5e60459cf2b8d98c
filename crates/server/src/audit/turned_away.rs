//! What is measured of the audit log, and of those who are turned away.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use carillon_service::Service;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Counts;
use crate::metrics::Page;

/// Who is turned away, and what the audit log does not say.
pub(crate) struct TurnedAway(pub(crate) Arc<Service>, pub(crate) Arc<Counts>);

impl fmt::Debug for TurnedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TurnedAway").field(&self.1).finish_non_exhaustive()
    }
}

impl Collector for TurnedAway {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut page = Page::new(encoder);
        let help = "Requests that were refused because nobody is proven to have signed them";
        let count = self.0.turned_away_count().load(Ordering::Relaxed);
        page.counter("carillon_unsigned_requests", help, count)?;
        let help = "Lines that the audit log does not have, by who would stand in them";
        let rows = self.1.left_out().into_iter().map(|(of, count)| ([of], count));
        page.counters(("carillon_audit_lines_left_out", help), ["of"], rows)
    }
}
