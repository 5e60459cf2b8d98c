//! The clock of the process: real time, and the service's, which tests may be ahead of.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use carillon_model::Timestamp;
use carillon_service::Clock;
use carillon_store::{self as store, Result, Tx};
use tokio::sync::Notify;

/// Where the store remembers how far the clock was moved.
const SETTING: &str = "clock_offset_ms";

/// Real time, and the service's, which is as far ahead of it as tests have moved it.
#[derive(Debug)]
pub struct SystemClock {
    ahead_ms: AtomicI64,
    began: Instant,
    moved: Notify,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the process reads the time")]
    fn default() -> Self {
        Self { ahead_ms: AtomicI64::new(0), began: Instant::now(), moved: Notify::new() }
    }
}

impl SystemClock {
    /// How far it was moved.
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Moves it to this far ahead.
    pub fn set_ahead_ms(&self, ms: i64) {
        self.ahead_ms.store(ms, Ordering::Relaxed);
        self.moved.notify_waiters();
    }

    /// Waits until the service's time is there, by itself or because it is moved.
    pub async fn reached(&self, time: Timestamp) {
        loop {
            let moved = self.moved.notified();
            let left_ms = time.ms() - self.now().ms();
            let Some(left_ms) = u64::try_from(left_ms).ok().filter(|left_ms| 0 < *left_ms) else { return };
            tokio::select! {
                () = moved => {}
                () = tokio::time::sleep(Duration::from_millis(left_ms)) => {}
            }
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.real().plus_ms(self.ahead_ms())
    }

    fn real(&self) -> Timestamp {
        real()
    }

    fn steady(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Real time.
#[expect(clippy::disallowed_methods, reason = "this is the one place where the process reads the time")]
pub fn real() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// How far the clock was moved in an earlier life.
pub fn find_ahead_ms(tx: &mut Tx) -> Result<i64> {
    let text = store::setting::find(tx, SETTING)?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or_default())
}

/// Remembers how far the clock was moved.
pub fn keep_ahead_ms(tx: &mut Tx, ms: i64) -> Result<()> {
    store::setting::set(tx, SETTING, &ms.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_services_time_is_moved() {
        let clock = SystemClock::default();
        clock.set_ahead_ms(86_400_000);
        let ahead = clock.now().ms() - clock.real().ms();
        assert!((86_399_000..=86_400_000).contains(&ahead), "{ahead}");
    }
}
