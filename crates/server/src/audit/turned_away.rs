//! What is measured of the audit log, and of those who are turned away.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use carillon_service::Service;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::Counts;

/// Who is turned away, and what the audit log does not say.
pub(crate) struct TurnedAway(pub(crate) Arc<Service>, pub(crate) Arc<Counts>);

impl fmt::Debug for TurnedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TurnedAway").field(&self.1).finish_non_exhaustive()
    }
}

impl Collector for TurnedAway {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Requests that were refused because nobody is proven to have signed them";
        let metric =
            encoder.encode_descriptor("carillon_unsigned_requests", help, None, MetricType::Counter)?;
        ConstCounter::new(self.0.turned_away_count().load(Ordering::Relaxed)).encode(metric)?;
        let help = "Lines that the audit log does not have, by who would stand in them";
        let mut metric =
            encoder.encode_descriptor("carillon_audit_lines_left_out", help, None, MetricType::Counter)?;
        for (of, count) in self.1.left_out() {
            ConstCounter::new(count).encode(metric.encode_family(&[("of", of)])?)?;
        }
        Ok(())
    }
}
