//! What is measured at the door: how many are connected, who had to go, what took too long, what bodies take.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::body::Intake;
use super::listener::Door;
use super::pace::Overdue;
use super::places::Places;
use crate::metrics::Page;

/// Where it is read.
pub(crate) struct Measured {
    /// Who is connected.
    places: Arc<Places>,
    /// What took too long.
    overdue: Arc<Overdue>,
    /// What bodies take.
    intake: Arc<Intake>,
}

impl Measured {
    /// At this door.
    pub(crate) fn at(door: &Door, intake: &Arc<Intake>) -> Self {
        Self { places: door.places.clone(), overdue: door.overdue.clone(), intake: intake.clone() }
    }
}

impl fmt::Debug for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Measured(…)")
    }
}

impl Collector for Measured {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut page = Page::new(encoder);
        let (taken, caps) = (self.places.taken(), self.places.caps());
        let help = "Connections, by whether somebody has signed on them or where they come from; last has none to stay";
        let standings = [("known", taken.known), ("stranger", taken.strangers), ("last", taken.last)];
        page.gauges(("carillon_connections", help), "standing", standings)?;
        let of = [
            ("all", caps.all),
            ("address", caps.of_address),
            ("strangers", caps.strangers),
            ("strangers_of_address", caps.strangers_of_address),
        ];
        page.gauges(("carillon_connections_max", "Connections that there may be"), "of", of)?;
        let help = "Connections that were closed because there were too many";
        page.counter("carillon_connections_refused", help, taken.refused)?;
        let help = "Connections that were closed because something took too long";
        let what = [
            ("handshake", &self.overdue.handshakes),
            ("head", &self.overdue.heads),
            ("body", &self.overdue.bodies),
            ("write", &self.overdue.writes),
            ("idle", &self.overdue.idle),
        ];
        let what = what.map(|(what, count)| ([what], count.load(Ordering::Relaxed)));
        page.counters(("carillon_overdue", help), ["what"], what)?;
        let help = "Bytes of the bodies of requests that are being read or worked on";
        page.gauge("carillon_bodies_bytes", help, self.intake.bytes())?;
        let help = "Requests for whose body there was no room";
        page.counter("carillon_bodies_refused", help, self.intake.refused())
    }
}
