//! What is measured at the door: how many are connected, who had to go, what took too long, what bodies take.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::body::Intake;
use super::pace::Overdue;
use super::places::Places;

/// Where it is read.
pub(crate) struct Measured {
    /// Who is connected.
    pub(crate) places: Arc<Places>,
    /// What took too long.
    pub(crate) overdue: Arc<Overdue>,
    /// What bodies take.
    pub(crate) intake: Arc<Intake>,
}

impl fmt::Debug for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Measured(…)")
    }
}

impl Collector for Measured {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (taken, caps) = (self.places.taken(), self.places.caps());
        let help = "Connections, by whether somebody has signed on them or where they come from; last has none to stay";
        let mut metric = encoder.encode_descriptor("carillon_connections", help, None, MetricType::Gauge)?;
        for (standing, count) in [("known", taken.known), ("stranger", taken.strangers), ("last", taken.last)]
        {
            gauge(count).encode(metric.encode_family(&[("standing", standing)])?)?;
        }
        let help = "Connections that there may be";
        let mut metric =
            encoder.encode_descriptor("carillon_connections_max", help, None, MetricType::Gauge)?;
        for (of, count) in [
            ("all", caps.all),
            ("address", caps.of_address),
            ("strangers", caps.strangers),
            ("strangers_of_address", caps.strangers_of_address),
        ] {
            gauge(count).encode(metric.encode_family(&[("of", of)])?)?;
        }
        let help = "Connections that were closed because there were too many";
        let metric =
            encoder.encode_descriptor("carillon_connections_refused", help, None, MetricType::Counter)?;
        ConstCounter::new(taken.refused).encode(metric)?;
        let help = "Connections that were closed because something took too long";
        let mut metric = encoder.encode_descriptor("carillon_overdue", help, None, MetricType::Counter)?;
        for (what, count) in [
            ("handshake", &self.overdue.handshakes),
            ("head", &self.overdue.heads),
            ("body", &self.overdue.bodies),
            ("write", &self.overdue.writes),
            ("idle", &self.overdue.idle),
        ] {
            let count = count.load(Ordering::Relaxed);
            ConstCounter::new(count).encode(metric.encode_family(&[("what", what)])?)?;
        }
        let help = "Bytes of the bodies of requests that are being read or worked on";
        let metric = encoder.encode_descriptor("carillon_bodies_bytes", help, None, MetricType::Gauge)?;
        gauge(self.intake.bytes()).encode(metric)?;
        let help = "Requests for whose body there was no room";
        let metric = encoder.encode_descriptor("carillon_bodies_refused", help, None, MetricType::Counter)?;
        ConstCounter::new(self.intake.refused()).encode(metric)
    }
}

fn gauge(count: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX))
}
