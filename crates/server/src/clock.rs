//! The clock of the process: real time, and the service's, which tests may be ahead of.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use carillon_model::Timestamp;
use carillon_service::Clock;
use carillon_store::{self as store, Lane, Result, Store, Tx};
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

    /// Moves it to this far ahead, never back.
    pub fn set_ahead_ms(&self, ms: i64) {
        if self.ahead_ms.fetch_max(ms, Ordering::Relaxed) < ms {
            self.moved.notify_waiters();
        }
    }

    /// Moves it on, for all nodes of a store: it is remembered there, and the others [`SystemClock::follow`].
    pub async fn advance(&self, store: &Store, by_ms: i64) -> Result<()> {
        self.set_ahead_ms(
            store.write(Lane::Account, move |tx| store::setting::add(tx, SETTING, by_ms)).await?,
        );
        Ok(())
    }

    /// Moves it to where another node has moved its own.
    pub async fn follow(&self, store: &Store) -> Result<()> {
        self.set_ahead_ms(store.read(find_ahead_ms).await?);
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use carillon_store::Sink;

    use super::*;

    #[test]
    fn only_the_services_time_is_moved() {
        let clock = SystemClock::default();
        clock.set_ahead_ms(86_400_000);
        let ahead = clock.now().ms() - clock.real().ms();
        assert!((86_399_000..=86_400_000).contains(&ahead), "{ahead}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_is_moved_moves_those_of_the_other_nodes() {
        let folder = tempfile::tempdir().unwrap();
        let location = store::testing::in_folder(folder.path());
        let opening = tokio::task::spawn_blocking(move || {
            [(); 2].map(|()| Store::open(&location, 0, &(Arc::new(|_| {}) as Sink)).unwrap())
        });
        let stores = opening.await.unwrap();
        let clocks = [(); 2].map(|()| SystemClock::default());
        for (clock, store) in clocks.iter().zip(&stores).chain([(&clocks[0], &stores[0])]) {
            clock.advance(store, 1_000).await.unwrap();
        }
        for (clock, store) in clocks.iter().zip(&stores) {
            clock.follow(store).await.unwrap();
        }
        assert_eq!(clocks.map(|clock| clock.ahead_ms()), [3_000, 3_000]);
        tokio::task::spawn_blocking(move || drop(stores)).await.unwrap();
    }
}
