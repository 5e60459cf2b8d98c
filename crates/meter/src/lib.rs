//! What is measured on the way, by atomics alone: how long things took, and how many there were at once.
//!
//! Whoever does something measures it here, and pays a few additions for it; nobody waits, and nothing is allocated.
//! What it is called, and how it is written, whoever reads it knows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The target of spans: they are for whoever collects traces, and no part of the log.
pub const TRACE: &str = "carillon_trace";

/// The upper bounds of times, in microseconds: from what memory takes to what nobody waits for any more.
const TIMES: [u64; 15] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];
/// The upper bounds of numbers of things.
const LENGTHS: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/// Microseconds of a second.
const SECOND: f64 = 1_000_000.0;

/// How long something took, each time.
#[derive(Debug, Default)]
pub struct Times(Counts<{ TIMES.len() }>);

/// How many there were, each time.
#[derive(Debug, Default)]
pub struct Lengths(Counts<{ LENGTHS.len() }>);

/// What was measured so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// All together; of times, in seconds.
    pub sum: f64,
    /// By upper bounds, the last of which is infinite: how many were above the bound before, and not above this one.
    pub buckets: Vec<(f64, u64)>,
}

/// How many values there were up to each bound, how many beyond the last, and what they are together.
#[derive(Debug)]
struct Counts<const BOUNDS: usize> {
    within: [AtomicU64; BOUNDS],
    beyond: AtomicU64,
    sum: AtomicU64,
}

impl Times {
    /// It took so long once more.
    pub fn observe(&self, took: Duration) {
        self.observe_all(took, 1);
    }

    /// It took so long for so many at once.
    pub fn observe_all(&self, took: Duration, count: u64) {
        self.0.observe(&TIMES, u64::try_from(took.as_micros()).unwrap_or(u64::MAX), count);
    }

    /// What was measured so far, in seconds.
    pub fn read(&self) -> Reading {
        self.0.read(&TIMES, SECOND)
    }
}

impl Lengths {
    /// There were so many once more.
    pub fn observe(&self, length: usize) {
        self.0.observe(&LENGTHS, length as u64, 1);
    }

    /// What was measured so far.
    pub fn read(&self) -> Reading {
        self.0.read(&LENGTHS, 1.0)
    }
}

impl Reading {
    /// How many times it was measured.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

impl<const BOUNDS: usize> Default for Counts<BOUNDS> {
    fn default() -> Self {
        let within = std::array::from_fn(|_| AtomicU64::new(0));
        Self { within, beyond: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }
}

impl<const BOUNDS: usize> Counts<BOUNDS> {
    fn observe(&self, bounds: &[u64; BOUNDS], value: u64, count: u64) {
        let place = bounds.iter().position(|bound| value <= *bound);
        place.map_or(&self.beyond, |place| &self.within[place]).fetch_add(count, Ordering::Relaxed);
        self.sum.fetch_add(value.saturating_mul(count), Ordering::Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "2^52 microseconds are 142 years")]
    fn read(&self, bounds: &[u64; BOUNDS], unit: f64) -> Reading {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let within = bounds.iter().zip(&self.within).map(|(bound, count)| (*bound as f64 / unit, of(count)));
        let buckets = within.chain([(f64::INFINITY, of(&self.beyond))]).collect();
        Reading { sum: of(&self.sum) as f64 / unit, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_that_takes_it() {
        let times = Times::default();
        for micros in [0, 250, 251, 1_000_000, 10_000_001] {
            times.observe(Duration::from_micros(micros));
        }
        times.observe_all(Duration::from_secs(1), 3);
        let reading = times.read();
        let filled: Vec<_> = reading.buckets.iter().copied().filter(|(_, count)| *count != 0).collect();
        assert_eq!(filled, [(0.000_25, 2), (0.000_5, 1), (1.0, 4), (f64::INFINITY, 1)]);
        assert!((reading.sum - 14.000_502).abs() < 1e-9);
        assert_eq!(reading.count(), 8);
    }

    #[test]
    fn lengths_are_whole() {
        let lengths = Lengths::default();
        for length in [1, 3, 4, 1_000] {
            lengths.observe(length);
        }
        let filled: Vec<_> = lengths.read().buckets.into_iter().filter(|(_, count)| *count != 0).collect();
        assert_eq!(filled, [(1.0, 1), (4.0, 2), (f64::INFINITY, 1)]);
        assert!((lengths.read().sum - 1_008.0).abs() < f64::EPSILON);
    }
}
