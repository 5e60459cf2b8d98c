//! What is told beside events: it has no number, and what the bus loses of it is lost.

use std::sync::atomic::Ordering;

use carillon_model::Key;
use carillon_model::event::ReadMarkers;

use super::Node;
use crate::bus::Subject;
use crate::news;

impl Node {
    /// Whether anybody may listen to a channel, here or elsewhere.
    pub(crate) fn may_be_heard(&self, channel: Key) -> bool {
        self.places.sits(channel) || self.others.load(Ordering::Relaxed)
    }

    /// Tells those who sit in a channel, on every node, that read markers moved. What the bus loses of it is lost.
    pub(crate) fn tell_read_markers(&self, markers: &ReadMarkers) {
        if self.others.load(Ordering::Relaxed) {
            self.bus.publish(Subject::Channel(markers.channel), || news::of_read_markers(markers).into());
        }
        self.places.tell_read_markers(markers);
    }
}
