//! How long something that must go out is tried, and how long it waits to be: the rules alone, of any target.
//!
//! A call that was made and failed is a try; of those there are few, soon after one another. A call that was not made,
//! because nobody may call the target at present, is none: what is to be called waits as it is, in its order, for
//! longer. Both end, each at a time of its own.

use carillon_model::Timestamp;

/// How long a processor may take to call back, and how long the outcome of a flow is kept, from the send on.
pub const CALLBACK_WINDOW_MS: i64 = 48 * 60 * 60 * 1000;

/// How long is tried, and waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Calls of a target that fail, the first one included.
    pub tries_max: i64,
    /// How long after the first call the last one may begin, in milliseconds.
    pub tries_window_ms: i64,
    /// How long a call may take, in milliseconds.
    pub call_timeout_ms: i64,
    /// How long a call that is due may wait to be made, in milliseconds.
    pub waiting_ms: i64,
}

impl Default for Patience {
    /// Three calls, which with the waits between fit into ten seconds; and two minutes for a target to come back.
    fn default() -> Self {
        Self { tries_max: 3, tries_window_ms: 10_000, call_timeout_ms: 2_500, waiting_ms: 120_000 }
    }
}

/// The wait before the second call; it doubles, and a random part of up to as much is added.
const BACKOFF_MS: i64 = 250;

impl Patience {
    /// When to call again after so many tries, the first at `since`; nothing where that is over.
    pub(crate) fn again(
        self,
        tries: i64,
        since: Timestamp,
        now: Timestamp,
        random: [u8; 2],
    ) -> Option<Timestamp> {
        let again = tries < self.tries_max && now < since.plus_ms(self.tries_window_ms);
        again.then(|| now.plus_ms(backoff_ms(tries, random)))
    }

    /// What was due then, or before, has waited long enough.
    pub(crate) fn overdue(self, now: Timestamp) -> Timestamp {
        now.plus_ms(-self.waiting_ms)
    }
}

/// The longest of these waits.
const BACKOFF_MS_MAX: i64 = 64_000;

fn backoff_ms(tries: i64, random: [u8; 2]) -> i64 {
    wait_ms((BACKOFF_MS, BACKOFF_MS_MAX), tries, random)
}

/// How long to wait after so many tries: at first `first`, then twice that, and a random part of up to as much is
/// added, up to `longest`.
pub fn wait_ms((first, longest): (i64, i64), tries: i64, random: [u8; 2]) -> i64 {
    let base = first << tries.clamp(1, 16).saturating_sub(1);
    (base + base * i64::from(u16::from_be_bytes(random)) / i64::from(u16::MAX)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_and_stays_within_the_window() {
        assert_eq!((backoff_ms(1, [0, 0]), backoff_ms(1, [0xff, 0xff])), (250, 500));
        assert_eq!((backoff_ms(2, [0, 0]), backoff_ms(2, [0xff, 0xff])), (500, 1_000));
        let Patience { tries_max, tries_window_ms, call_timeout_ms, waiting_ms } = Patience::default();
        let waits = backoff_ms(1, [0xff, 0xff]) + backoff_ms(2, [0xff, 0xff]);
        assert!(tries_max * call_timeout_ms + waits <= tries_window_ms);
        assert!(tries_window_ms < waiting_ms);
    }

    #[test]
    fn tries_end_by_their_number_and_by_their_time() {
        let (patience, at) = (Patience::default(), Timestamp::from_ms);
        let again = |tries, now| patience.again(tries, at(0), at(now), [0, 0]);
        assert_eq!((again(1, 0), again(2, 600), again(3, 700)), (Some(at(250)), Some(at(1_100)), None));
        assert_eq!((again(1, 9_999), again(1, 10_000)), (Some(at(10_249)), None));
        assert_eq!(patience.overdue(at(patience.waiting_ms)), at(0));
    }
}
