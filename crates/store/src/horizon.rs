//! The horizon of a process: up to which time everything that it committed has been told.
//!
//! A session that resumes must be given all that it was not told, and lanes commit beside each other: what one of
//! them commits later may bear an earlier time than what another told already. So no event is earlier than the
//! latest that was made before its batch began ([`Ticket::floor`], which claims raise their time to), and a batch
//! holds its floor until all of it is told. Nothing before the lowest floor that is held can still come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carillon_model::Timestamp;

/// What has been told.
#[derive(Debug)]
pub struct Horizon(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The latest event that was made.
    latest: Timestamp,
    next: u64,
    /// The floors of batches that are not told yet. A later batch has none that is lower.
    held: BTreeMap<u64, Timestamp>,
}

/// A batch that is being written or told. Dropped when all of it is told, or when it does not stand.
#[derive(Debug)]
pub struct Ticket {
    horizon: Arc<Horizon>,
    number: u64,
    floor: Timestamp,
}

impl Horizon {
    /// Nothing before `latest` will come.
    pub(crate) fn new(latest: Timestamp) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { latest, next: 0, held: BTreeMap::new() })))
    }

    /// Everything before this has been told to whoever listened.
    pub fn told(&self) -> Timestamp {
        let state = self.state();
        state.held.first_key_value().map_or(state.latest, |(_, floor)| *floor)
    }

    /// A batch begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Ticket {
        let mut state = self.state();
        let (number, floor) = (state.next, state.latest);
        state.next += 1;
        state.held.insert(number, floor);
        Ticket { horizon: self.clone(), number, floor }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// No event of the batch is earlier.
    pub(crate) fn floor(&self) -> Timestamp {
        self.floor
    }

    /// An event was made at `at`.
    pub(crate) fn made(&self, at: Timestamp) {
        let mut state = self.horizon.state();
        state.latest = state.latest.max(at);
    }

    /// Everything before this has been told to whoever listened.
    pub fn told(&self) -> Timestamp {
        self.horizon.told()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.horizon.state().held.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    #[test]
    fn nothing_comes_before_what_is_said_to_be_told() {
        let horizon = Horizon::new(at(10));
        assert_eq!(horizon.told(), at(10));
        let slow = horizon.begin();
        let fast = horizon.begin();
        fast.made(at(20));
        drop(fast);
        // The slow one may still make one at ten.
        assert_eq!((slow.floor(), horizon.told()), (at(10), at(10)));
        let next = horizon.begin();
        assert_eq!(next.floor(), at(20));
        slow.made(at(15));
        drop(slow);
        assert_eq!(horizon.told(), at(20));
        next.made(at(30));
        assert_eq!(next.told(), at(20));
        drop(next);
        assert_eq!(horizon.told(), at(30));
    }
}
