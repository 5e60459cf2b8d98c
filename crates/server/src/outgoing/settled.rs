//! What became of the rows of a line, until it is written.

use carillon_store::outgoing::Place;

/// Rows that are over, each by its place: others may have come between them meanwhile.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) places: Vec<Place>,
    pub(super) delivered: u64,
    pub(super) failed: u64,
}

impl Settled {
    pub(super) fn delivered(&mut self, place: Place) -> bool {
        self.places.push(place);
        self.delivered += 1;
        true
    }

    pub(super) fn failed(&mut self, place: Place) -> bool {
        self.places.push(place);
        self.failed += 1;
        true
    }
}
