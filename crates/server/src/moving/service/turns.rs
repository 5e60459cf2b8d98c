//! Whose turn it is: every call counts for several rates at once, and is made when all of them have room.
//!
//! A rate is a bucket that fills steadily, as the service's own does, and holds half of what that one holds: what waits
//! for an answer, a disk or a processor for less than half a second is made up for, and calls that come together on
//! their way still find room. A call takes from all its buckets in one moment, so that none stays empty for a call that
//! waits for another. Calls have their turn in the order in which they came. One that came later goes first only where
//! that keeps nobody waiting: from a bucket in which there is something left for each that came before, or which is
//! full, and so would run over.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

/// Where nobody waits for a turn.
const IDLE: Duration = Duration::from_hours(1);

/// A rate, and whose calls it counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rate {
    /// Its key in the settings.
    pub(super) key: &'static str,
    /// Which calls of whom.
    pub(super) of: String,
    /// How many there may be a second.
    pub(super) per_second: u32,
}

/// What is counted of a rate.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    /// The rate.
    pub(super) rate: Rate,
    /// The calls so far.
    pub(super) calls: u64,
}

/// A bucket. It is known by when it would be full if nobody took from it: each call moves that by what it costs.
struct Bucket {
    counted: Counted,
    full_at: Instant,
    /// How many that came earlier wait for it.
    kept: u32,
}

impl Bucket {
    fn new(rate: &Rate, now: Instant) -> Self {
        Self { counted: Counted { rate: rate.clone(), calls: 0 }, full_at: now, kept: 0 }
    }

    /// What a call costs: how long it takes until there is another one.
    fn cost(&self) -> Duration {
        Duration::from_secs(1) / self.counted.rate.per_second
    }

    /// How many calls it holds when it is full.
    fn room(&self) -> u32 {
        (self.counted.rate.per_second / 2).max(1)
    }

    /// When there is a call in it beside those that are kept for others, as far as it holds so many.
    fn open_at(&self) -> Instant {
        let missing = self.room().saturating_sub(self.kept + 1);
        self.full_at.checked_sub(self.cost() * missing).unwrap_or(self.full_at)
    }

    fn take(&mut self, now: Instant) {
        self.counted.calls += 1;
        self.full_at = self.full_at.max(now) + self.cost();
    }

    /// Nothing is in it until then.
    fn close(&mut self, until: Instant) {
        self.full_at = self.full_at.max(until + self.cost() * (self.room() - 1));
    }
}

/// Who waits for a turn, and from which buckets they take.
struct Waiting {
    buckets: Vec<usize>,
    go: oneshot::Sender<()>,
}

#[derive(Default)]
struct State {
    numbers: HashMap<Rate, usize>,
    buckets: Vec<Bucket>,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
    begun: Option<Instant>,
}

/// All rates.
#[derive(Default)]
pub(super) struct Turns {
    state: Mutex<State>,
    /// Somebody waits who did not.
    came: Notify,
}

impl Turns {
    /// Waits until a call may be made that counts for these rates. [`Turns::give`] has to run meanwhile.
    pub(super) async fn wait(&self, rates: &[Rate]) {
        let (go, gone) = oneshot::channel();
        {
            let (mut state, now) = (self.state(), Instant::now());
            state.begun.get_or_insert(now);
            let buckets = rates.iter().map(|rate| state.number(rate, now)).collect();
            state.waiting.push(Waiting { buckets, go });
        }
        self.came.notify_one();
        // Whoever would give it is gone only when the whole work is.
        let _ = gone.await;
    }

    /// Gives turns, without end.
    pub(super) async fn give(&self) {
        loop {
            let next = self.state().give(Instant::now());
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.came.notified() => {}
            }
        }
    }

    /// Lets a rate rest: the service says that there is nothing left.
    pub(super) fn rest(&self, rate: &Rate, wait: Duration) {
        let (mut state, now) = (self.state(), Instant::now());
        let number = state.number(rate, now);
        state.buckets[number].close(now + wait);
    }

    /// What was counted, and for how long.
    pub(super) fn counted(&self) -> (Vec<Counted>, Duration) {
        let state = self.state();
        let since = state.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        (state.buckets.iter().map(|bucket| bucket.counted.clone()).collect(), since)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self, rate: &Rate, now: Instant) -> usize {
        if let Some(number) = self.numbers.get(rate) {
            return *number;
        }
        let number = self.buckets.len();
        self.numbers.insert(rate.clone(), number);
        self.buckets.push(Bucket::new(rate, now));
        number
    }

    /// Gives their turn to all who may have it now; answers when the next one may.
    fn give(&mut self, now: Instant) -> Instant {
        self.buckets.iter_mut().for_each(|bucket| bucket.kept = 0);
        let mut next = now + IDLE;
        for Waiting { buckets, go } in std::mem::take(&mut self.waiting) {
            let open_at = buckets.iter().map(|number| self.buckets[*number].open_at()).max().unwrap_or(now);
            if open_at <= now {
                // Who does not wait any more takes nothing.
                if go.send(()).is_ok() {
                    for number in &buckets {
                        self.buckets[*number].take(now);
                    }
                }
                continue;
            }
            next = next.min(open_at);
            for number in &buckets {
                self.buckets[*number].kept += 1;
            }
            self.waiting.push(Waiting { buckets, go });
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    fn rate(of: &str, per_second: u32) -> Rate {
        Rate { key: "rate", of: of.to_owned(), per_second }
    }

    /// Somebody who makes so many calls, each when the one before it is answered; answers when the last one began.
    async fn calls(turns: &Turns, rates: Vec<Rate>, count: u32, answered_after: Duration) -> Duration {
        let begun = Instant::now();
        let mut last = begun;
        for _ in 0..count {
            turns.wait(&rates).await;
            last = Instant::now();
            tokio::time::sleep(answered_after).await;
        }
        last - begun
    }

    async fn given<T>(turns: &Turns, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            () = turns.give() => unreachable!("it has no end"),
        }
    }

    /// How long so many calls take at least, at a rate of which half a second's were saved.
    fn least(count: u32, per_second: u32) -> Duration {
        Duration::from_secs(1) * (count - per_second / 2) / per_second
    }

    /// The clock of tests goes by whole milliseconds, each step of a bucket may wait for the next one.
    const GRAIN: Duration = Duration::from_millis(20);

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_used_up_and_never_exceeded() {
        let turns = Turns::default();
        let ana = vec![rate("ana", 10)];
        let took = given(&turns, calls(&turns, ana, 105, Duration::ZERO)).await;
        assert!(least(105, 10) <= took && took <= least(105, 10) + GRAIN, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_slow_answers_is_made_up_for() {
        let turns = Turns::default();
        let ana = vec![rate("ana", 10)];
        let slow = calls(&turns, ana.clone(), 40, Duration::from_millis(180));
        let another = calls(&turns, ana, 40, Duration::from_millis(180));
        let took = given(&turns, async { tokio::join!(slow, another) }).await;
        assert!(took.0.max(took.1) <= least(80, 10) * 105 / 100, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn readers_of_one_channel_share_its_rate_evenly_while_they_have_other_work() {
        let turns = Turns::default();
        let readers = ["ana", "bob", "cy", "dora", "eve"];
        let channel = |reader: &str| vec![rate(reader, 10), rate("channel", 30)];
        let reading = readers.map(|reader| calls(&turns, channel(reader), 86, Duration::from_millis(20)));
        // Ana is asked for many other things at the same time, for which she alone counts.
        let others = (0..8).map(|_| calls(&turns, vec![rate("ana", 10)], 5, Duration::from_millis(20)));
        let others: Vec<_> = others.collect();
        let took = given(&turns, async { tokio::join!(join_all(reading), join_all(others)).0 }).await;
        let took = took.into_iter().max().unwrap();
        let bound = least(5 * 86, 30);
        // Nine tenths of what the rate allows, at the least.
        assert!(bound <= took && took * 9 / 10 <= bound, "{took:?} of {bound:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_rate_keeps_nothing_from_those_who_do_not_need_it() {
        let turns = Turns::default();
        let slow =
            (0..20).map(|_| calls(&turns, vec![rate("account", 50), rate("tags", 1)], 1, Duration::ZERO));
        let slow: Vec<_> = slow.collect();
        let quick = calls(&turns, vec![rate("account", 50)], 225, Duration::ZERO);
        let took = given(&turns, async {
            tokio::select! {
                took = quick => took,
                _ = join_all(slow) => unreachable!("they are slower"),
            }
        })
        .await;
        // The slow ones took some of it, too, and what was saved is kept for them.
        assert!(took <= Duration::from_secs(230) / 50 + GRAIN, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_that_is_to_rest_rests() {
        let turns = Turns::default();
        let ana = vec![rate("ana", 10)];
        turns.rest(&ana[0], Duration::from_secs(7));
        let took = given(&turns, calls(&turns, ana, 2, Duration::ZERO)).await;
        assert!(
            Duration::from_millis(7_100) <= took && took <= Duration::from_millis(7_100) + GRAIN,
            "{took:?}"
        );
        let (counted, since) = turns.counted();
        assert_eq!((counted.len(), counted[0].calls), (1, 2));
        assert!(took <= since);
    }
}
