//! When each call of an open loop is due, whatever becomes of those before it: so many a second, evenly, or with the
//! ups and downs of a day.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How a day goes, in parts of equal length, as a percentage of its mean: the morning's rush, noon, the afternoon, the
/// evening.
pub(crate) const DAY: [u32; 12] = [40, 90, 190, 170, 120, 70, 110, 150, 130, 80, 30, 20];
const _: () = {
    let (mut sum, mut at) = (0, 0);
    while at < DAY.len() {
        sum += DAY[at];
        at += 1;
    }
    assert!(sum == 1_200, "the mean is 100 %");
};

/// Calls, and when each is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pacing {
    /// How many a second, on the whole.
    pub(crate) per_second: u32,
    /// Over how long.
    pub(crate) lasting: Duration,
    /// Whether it goes up and down as a day does.
    pub(crate) is_day: bool,
}

impl Pacing {
    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        let nanos = self.lasting.as_nanos() * u128::from(self.per_second);
        u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX)
    }

    /// How long after the start the call at this place is due.
    pub(crate) fn due_after(&self, place: u64) -> Duration {
        let even = u128::from(place) * 1_000_000_000 / u128::from(self.per_second.max(1));
        let nanos = if self.is_day { self.of_day(even) } else { even };
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Where the day is once as much of it is done as would be by now if it were even.
    fn of_day(&self, even: u128) -> u128 {
        let part = self.lasting.as_nanos() / DAY.len() as u128;
        let mut done = 0;
        for (at, percent) in DAY.into_iter().enumerate() {
            let here = part * u128::from(percent) / 100;
            if even < done + here {
                return part * at as u128 + (even - done) * 100 / u128::from(percent);
            }
            done += here;
        }
        self.lasting.as_nanos()
    }

    /// Lets one more in at each time that is due, from a thread of its own: the timers of the runtime are not finer
    /// than a millisecond, and they are late exactly when it is busy.
    #[expect(clippy::disallowed_methods, reason = "this thread does nothing but wait for the next time")]
    pub(crate) fn admit(self, start: Instant, gate: &Gate, stop: &CancellationToken) {
        for place in 0..self.count() {
            let due = start + self.due_after(place);
            while !stop.is_cancelled() {
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                std::thread::sleep(left.min(STOP_LOOK_EVERY));
            }
            if stop.is_cancelled() {
                break;
            }
            gate.open_once(place + 1);
        }
        gate.close();
    }
}

/// How long the thread sleeps without looking whether it is to stop.
const STOP_LOOK_EVERY: Duration = Duration::from_millis(100);

/// Lets calls through as they become due. What was due when it closes still goes through.
pub(crate) struct Gate {
    due: Semaphore,
    /// How many were let in so far, and how many went through.
    admitted: AtomicU64,
    passed: AtomicU64,
}

impl Default for Gate {
    fn default() -> Self {
        Self { due: Semaphore::new(0), admitted: AtomicU64::new(0), passed: AtomicU64::new(0) }
    }
}

impl Gate {
    fn open_once(&self, admitted: u64) {
        self.admitted.store(admitted, Ordering::Release);
        self.due.add_permits(1);
    }

    fn close(&self) {
        self.due.close();
    }

    /// Waits for the next that is due; answers its place, or nothing where there is none any more.
    pub(crate) async fn pass(&self) -> Option<u64> {
        if let Ok(permit) = self.due.acquire().await {
            permit.forget();
        }
        let place = self.passed.fetch_add(1, Ordering::AcqRel);
        (place < self.admitted.load(Ordering::Acquire)).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pacing(per_second: u32, seconds: u64, is_day: bool) -> Pacing {
        Pacing { per_second, lasting: Duration::from_secs(seconds), is_day }
    }

    #[test]
    fn a_rate_is_kept_however_long_it_lasts() {
        let even = pacing(200, 5, false);
        assert_eq!(even.count(), 1_000);
        assert_eq!(even.due_after(0), Duration::ZERO);
        assert_eq!(even.due_after(1), Duration::from_millis(5));
        assert_eq!(pacing(3, 1, false).due_after(3), Duration::from_secs(1));
        assert_eq!(even.due_after(120_000_000), Duration::from_mins(10_000));
    }

    #[test]
    fn a_day_has_its_hours_and_no_fewer_calls() {
        let day = pacing(100, 12, true);
        let due: Vec<Duration> = (0..day.count()).map(|place| day.due_after(place)).collect();
        assert!(due.is_sorted());
        assert!(due.iter().all(|due| *due < day.lasting));
        for (hour, percent) in (0..).zip(DAY) {
            let (from, until) = (Duration::from_secs(hour), Duration::from_secs(hour + 1));
            let count = due.iter().filter(|due| (from..until).contains(*due)).count();
            assert!(count.abs_diff(percent as usize) <= 1, "hour {hour}: {count} instead of {percent}");
        }
    }

    #[tokio::test]
    async fn what_was_due_goes_through_a_gate_that_closed() {
        let gate = Gate::default();
        gate.open_once(1);
        gate.open_once(2);
        gate.close();
        assert_eq!((gate.pass().await, gate.pass().await, gate.pass().await), (Some(0), Some(1), None));
    }
}
