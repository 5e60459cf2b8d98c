//! Who is told what is no event.

use carillon_model::event::ReadMarkers;

use super::Places;
use crate::frames;
use crate::session::Told;
use crate::web_socket::Frame;

impl Places {
    /// Tells those who sit in a channel, and are not hidden, of read markers.
    pub(crate) fn tell_read_markers(&self, markers: &ReadMarkers) {
        let Some(here) = self.taken.get(&markers.channel) else { return };
        let frame = Frame { bytes: frames::text(&markers.frame()), committed_at: None };
        let mut told = Told::default();
        for listener in here.listeners.values().filter(|listener| !listener.hidden) {
            told.tell_aside(&listener.session, &frame);
        }
        drop(here); // Who is woken up may want to leave.
    }
}
