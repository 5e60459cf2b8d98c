//! What `/_carillon/metrics` answers. Everything is read at the moment of asking, so that nothing is counted twice and
//! no hot path counts for a scrape. No label is an ARN: names of tenants do not belong into a monitoring system.

use std::sync::Arc;

use carillon_delivery::Hub;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::flows::Flows;
use crate::jobs::Jobs;
use crate::supervised;

/// The form of the answer.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where everything that is measured is read.
pub(crate) struct Metrics(Registry);

#[derive(Debug)]
struct Processors(Arc<Flows>);

/// The sockets.
#[derive(Debug)]
pub(crate) struct Sockets(pub(crate) Arc<Hub>);

/// What lives as long as the server.
#[derive(Debug)]
pub(crate) struct Tasks(pub(crate) Arc<Jobs>);

impl Metrics {
    /// What there is to measure.
    pub(crate) fn new(flows: Arc<Flows>, others: impl IntoIterator<Item = Box<dyn Collector>>) -> Self {
        let mut registry = Registry::default();
        others.into_iter().for_each(|collector| registry.register_collector(collector));
        registry.register_collector(Box::new(Processors(flows)));
        Self(registry)
    }

    /// All of it, as text.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

impl Collector for Processors {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (targets, waiting) = (self.0.targets(), self.0.under_way());
        let calls = targets.calls();
        let help = "Calls of processors of channel flows, by what became of them";
        let mut metric =
            encoder.encode_descriptor("carillon_processor_calls", help, None, MetricType::Counter)?;
        for (result, count) in
            [("taken", calls.taken), ("failed", calls.failed), ("not_made", calls.not_made)]
        {
            ConstCounter::new(count).encode(metric.encode_family(&[("result", result)])?)?;
        }
        let help = "Processors that can be called (open), and that are left alone for a while (closed)";
        let mut metric =
            encoder.encode_descriptor("carillon_processor_gates", help, None, MetricType::Gauge)?;
        let (open, closed) = targets.gates();
        for (state, count) in [("open", open), ("closed", closed)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(metric.encode_family(&[("state", state)])?)?;
        }
        let help = "Calls of processors under way in this process";
        let metric =
            encoder.encode_descriptor("carillon_processor_calls_under_way", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(waiting).unwrap_or(i64::MAX)).encode(metric)
    }
}

impl Collector for Sockets {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "WebSockets that are open";
        let metric = encoder.encode_descriptor("carillon_sockets", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(self.0.sockets()).unwrap_or(i64::MAX)).encode(metric)?;
        let help = "Sessions that this process ended, by the code that closed their sockets";
        let mut metric =
            encoder.encode_descriptor("carillon_socket_closes", help, None, MetricType::Counter)?;
        for (code, count) in self.0.closes() {
            let code = code.to_string();
            ConstCounter::new(count).encode(metric.encode_family(&[("code", code.as_str())])?)?;
        }
        let help = "Events whose telling panicked; the sessions that they were for were closed";
        let metric = encoder.encode_descriptor("carillon_teller_panics", help, None, MetricType::Counter)?;
        ConstCounter::new(self.0.panics()).encode(metric)
    }
}

impl Collector for Tasks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "What jobs could not do, left out, and try again in their next round";
        let mut metric =
            encoder.encode_descriptor("carillon_job_failures", help, None, MetricType::Counter)?;
        for (job, count) in self.0.failures() {
            ConstCounter::new(count).encode(metric.encode_family(&[("job", job)])?)?;
        }
        let help = "Panics that tasks of this process outlived";
        let metric = encoder.encode_descriptor("carillon_task_panics", help, None, MetricType::Counter)?;
        ConstCounter::new(supervised::panics()).encode(metric)
    }
}
