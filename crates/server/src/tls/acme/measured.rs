//! What is measured of certificates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::certificate::Shown;

/// What came of orders.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(super) issued: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// What came of the orders of this node.
#[derive(Debug)]
pub(crate) struct Orders(pub(super) Arc<Counts>);

impl Collector for Orders {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Certificates that this node ordered, by what became of them";
        let mut metric =
            encoder.encode_descriptor("carillon_certificate_orders", help, None, MetricType::Counter)?;
        for (result, count) in [("issued", &self.0.issued), ("failed", &self.0.failed)] {
            let count = count.load(Ordering::Relaxed);
            ConstCounter::new(count).encode(metric.encode_family(&[("result", result)])?)?;
        }
        Ok(())
    }
}

/// When the certificate that is shown ends.
#[derive(Debug)]
pub(crate) struct Expiry(pub(crate) Arc<Shown>);

impl Collector for Expiry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help =
            "When the certificate that is shown ends, in Unix seconds; absent for the development CA's";
        let Some(not_after) = self.0.not_after() else { return Ok(()) };
        let name = "carillon_certificate_not_after_seconds";
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(not_after.ms().div_euclid(1000)).encode(metric)
    }
}
