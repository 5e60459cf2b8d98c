//! What is measured of rooms that know nothing of metrics.

use std::fmt;
use std::sync::Arc;

use carillon_delivery::Hub;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Page;
use crate::flows::Flows;
use crate::jobs::Jobs;
use crate::supervised;

/// The processors of channel flows.
#[derive(Debug)]
pub(crate) struct Processors(pub(crate) Arc<Flows>);

/// The sockets.
#[derive(Debug)]
pub(crate) struct Sockets(pub(crate) Arc<Hub>);

/// What lives as long as the server.
#[derive(Debug)]
pub(crate) struct Tasks(pub(crate) Arc<Jobs>);

impl Collector for Processors {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (mut page, targets) = (Page::new(encoder), self.0.targets());
        let calls = targets.calls();
        let help = "Calls of processors of channel flows, by what became of them";
        let rows = [("taken", calls.taken), ("failed", calls.failed), ("not_made", calls.not_made)];
        let rows = rows.map(|(result, count)| ([result], count));
        page.counters(("carillon_processor_calls", help), ["result"], rows)?;
        let help = "How long the calls took that were made";
        page.histogram("carillon_processor_call_seconds", help, &self.0.times().read())?;
        let help = "Processors that can be called (open), and that are left alone for a while (closed)";
        let (open, closed) = targets.gates.count();
        page.gauges(("carillon_processor_gates", help), "state", [("open", open), ("closed", closed)])?;
        let help = "Calls of processors under way in this process";
        page.gauge("carillon_processor_calls_under_way", help, self.0.under_way())
    }
}

impl Collector for Sockets {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (mut page, hub) = (Page::new(encoder), &self.0);
        page.gauge("carillon_sockets", "WebSockets that are open", hub.sockets())?;
        let help = "Sessions that this process ended, by the code that closed their sockets";
        let closes = hub.closes().into_iter().map(|(code, count)| ([code.to_string()], count));
        page.counters(("carillon_socket_closes", help), ["code"], closes)?;
        let help = "Events that this node told its sessions, whether somebody listened or not";
        page.counter("carillon_events_told", help, hub.told())?;
        let help = "How long frames took from a commit of this node until their sockets had taken them";
        page.histogram("carillon_commit_to_socket_seconds", help, &hub.deliveries().read())?;
        let help = "Events whose telling panicked; the sessions that they were for were closed";
        page.counter("carillon_teller_panics", help, hub.panics())?;
        let help = "Readings of the store for events that did not arrive in their order";
        page.counter("carillon_event_looks", help, hub.looks())?;
        let help = "Events of other nodes that the bus brought";
        page.counter("carillon_bus_events", help, hub.news())?;
        let help = "News for other nodes that the bus did not take; they find it in the store";
        page.counter("carillon_bus_dropped", help, hub.dropped())?;
        page.gauge("carillon_bus_reachable", "Whether the bus can be reached", hub.is_reachable())
    }
}

impl Collector for Tasks {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        let help = "How long rounds of jobs took on this node";
        let times = self.0.times().map(|(job, times)| ([job], times));
        page.histograms(("carillon_job_seconds", help), ["name"], times)?;
        let help = "What jobs could not do, left out, and try again in their next round";
        let failures = self.0.failures().map(|(job, count)| ([job], count));
        page.counters(("carillon_job_failures", help), ["name"], failures)?;
        let help = "Panics that tasks of this process outlived";
        page.counter("carillon_task_panics", help, supervised::panics())
    }
}
