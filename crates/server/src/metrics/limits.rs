//! Which limits were hit.

use std::fmt;
use std::sync::Arc;

use carillon_service::Service;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Page;

/// Rates and quotas of the service.
pub(crate) struct Limits(pub(crate) Arc<Service>);

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limits(…)")
    }
}

impl Collector for Limits {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Calls that were refused because a rate was exhausted, or a quota full";
        let hits = self.0.limits_hit().into_iter().map(|hit| ([hit.kind, hit.limit], hit.count));
        Page::new(encoder).counters(("carillon_limits_hit", help), ["kind", "limit"], hits)
    }
}
