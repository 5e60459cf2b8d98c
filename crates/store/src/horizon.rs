//! The horizon of a process: up to which time everything that it committed has been told.
//!
//! A session that resumes must be given all that it was not told, and lanes commit beside each other: what one of
//! them commits later may bear an earlier time than what another told already. So no event is earlier than the
//! latest instant of what was done before its batch began ([`Ticket::floor`], which claims raise theirs to), and a
//! batch holds its floor until all of it is told. Nothing before the lowest floor that is held can still come. A
//! channel's own clock may be ahead of all that: its events are then later than they need to be, and no other's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carillon_model::Timestamp;
use tokio_util::sync::CancellationToken;

/// How far the latest event may be ahead of the clock of a process that begins. Up to here time stands still for all
/// channels; further, the clock was wrong when it was made, and they must not be wrong with it.
const AHEAD_MAX_MS: i64 = 60_000;

/// What has been told.
#[derive(Debug)]
pub(crate) struct Horizon {
    state: Mutex<State>,
    /// Something panicked that may have left events untold.
    given_up: CancellationToken,
}

#[derive(Debug)]
struct State {
    /// The latest instant at which something was done.
    latest: Timestamp,
    next: u64,
    /// The floors of batches that are not told yet. A later batch has none that is lower.
    held: BTreeMap<u64, Timestamp>,
    /// Up to when all is told that other nodes committed; nothing, where there are no others.
    others: Option<Timestamp>,
    /// Until then, times may say less than they should: events of an earlier process bear later ones.
    doubtful_until: Timestamp,
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
        let state = State {
            latest,
            next: 0,
            held: BTreeMap::new(),
            others: None,
            doubtful_until: Timestamp::from_ms(0),
        };
        Arc::new(Self { state: Mutex::new(state), given_up: CancellationToken::new() })
    }

    /// Says that what this process promised cannot be kept any more.
    pub(crate) fn give_up(&self) {
        self.given_up.cancel();
    }

    /// Waits until that is so.
    pub(crate) async fn given_up(&self) {
        self.given_up.cancelled().await;
    }

    /// Everything before this has been told to whoever listened, whoever committed it.
    pub(crate) fn told(&self) -> Timestamp {
        let state = self.state();
        state.others.map_or(state.told(), |others| others.min(state.told()))
    }

    /// Moves on to `now`, as if something were done; answers up to when all is told that this process committed.
    pub(crate) fn advance(&self, now: Timestamp) -> Timestamp {
        let mut state = self.state();
        state.latest = state.latest.max(now);
        state.told()
    }

    /// Everything that others committed before this has been told.
    pub(crate) fn others_told(&self, until: Timestamp) {
        self.state().others = Some(until);
    }

    /// Goes back to `now`, before anything is told, where the clock was set back since the latest event.
    pub(crate) fn set_back(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        let is_ahead = now.plus_ms(AHEAD_MAX_MS) < state.latest;
        if is_ahead {
            (state.doubtful_until, state.latest) = (state.latest, now);
        }
        is_ahead
    }

    /// Until when a time that a client was told may not be before all that it missed.
    pub(crate) fn doubtful_until(&self) -> Timestamp {
        self.state().doubtful_until
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Up to when all is told that this process committed.
    fn told(&self) -> Timestamp {
        self.held.first_key_value().map_or(self.latest, |(_, floor)| *floor)
    }
}

impl Ticket {
    /// No event of the batch is earlier.
    pub(crate) fn floor(&self) -> Timestamp {
        self.floor
    }

    /// The instant of what is done now: not before the floor.
    pub(crate) fn instant(&self, now: Timestamp) -> Timestamp {
        let instant = now.max(self.floor);
        let mut state = self.horizon.state();
        state.latest = state.latest.max(instant);
        instant
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
    fn a_clock_that_was_far_ahead_is_not_followed() {
        let horizon = Horizon::new(at(AHEAD_MAX_MS + 10));
        assert!(!horizon.set_back(at(10)));
        assert_eq!((horizon.told(), horizon.doubtful_until()), (at(AHEAD_MAX_MS + 10), at(0)));
        assert!(horizon.set_back(at(9)));
        assert_eq!((horizon.told(), horizon.doubtful_until()), (at(9), at(AHEAD_MAX_MS + 10)));
    }

    #[test]
    fn what_others_committed_counts_too() {
        let horizon = Horizon::new(at(10));
        horizon.others_told(at(5));
        assert_eq!((horizon.told(), horizon.advance(at(20))), (at(5), at(20)));
        horizon.others_told(at(30));
        assert_eq!(horizon.told(), at(20));
        assert_eq!(horizon.begin().instant(at(7)), at(20));
    }

    #[test]
    fn nothing_comes_before_what_is_said_to_be_told() {
        let horizon = Horizon::new(at(10));
        assert_eq!(horizon.told(), at(10));
        let slow = horizon.begin();
        let fast = horizon.begin();
        assert_eq!(fast.instant(at(20)), at(20));
        drop(fast);
        // The slow one may still make one at ten.
        assert_eq!((slow.floor(), horizon.told()), (at(10), at(10)));
        let next = horizon.begin();
        assert_eq!(next.floor(), at(20));
        assert_eq!(slow.instant(at(5)), at(10));
        drop(slow);
        assert_eq!(horizon.told(), at(20));
        assert_eq!(next.instant(at(30)), at(30));
        assert_eq!(next.told(), at(20));
        drop(next);
        assert_eq!(horizon.told(), at(30));
    }
}
