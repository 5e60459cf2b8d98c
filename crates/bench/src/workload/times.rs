//! How long calls took: every one of them, in a histogram of three digits, from a microsecond to ten minutes.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is told from longer ones, in microseconds.
const LONGEST_US: u64 = 600_000_000;
/// How many digits of a time are kept.
const DIGITS: u8 = 3;

/// Times that were noted.
#[derive(Debug, Clone)]
pub(crate) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new_with_max(LONGEST_US, DIGITS).expect("the bounds are in order"))
    }
}

impl Times {
    /// Notes one.
    pub(crate) fn note(&mut self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(took_us.max(1));
    }

    /// Takes those of another in.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// What is shown of them.
    pub(crate) fn spread(&self) -> Spread {
        let ms = |quantile: f64| ms(self.0.value_at_quantile(quantile));
        Spread {
            count: self.count(),
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            max_ms: ms(1.0),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "ten minutes have far fewer than 2^52 microseconds")]
fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

/// How long they took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// How many.
    pub(crate) count: u64,
    /// Half took no longer.
    pub(crate) p50_ms: f64,
    /// All but one in ten took no longer.
    pub(crate) p90_ms: f64,
    /// All but one in a hundred took no longer.
    pub(crate) p99_ms: f64,
    /// All but one in a thousand took no longer.
    pub(crate) p999_ms: f64,
    /// None took longer.
    pub(crate) max_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Within the three digits that are kept.
    fn is_about(found: f64, wanted: f64) -> bool {
        (found - wanted).abs() <= wanted / 500.0
    }

    #[test]
    fn what_is_shown_is_of_all_that_was_noted() {
        let mut all = Times::default();
        for half in [1..=500, 501..=1000] {
            let mut some = Times::default();
            half.for_each(|ms| some.note(Duration::from_millis(ms)));
            all.add(&some);
        }
        let spread = all.spread();
        assert_eq!(spread.count, 1_000);
        let found = [spread.p50_ms, spread.p90_ms, spread.p99_ms, spread.p999_ms, spread.max_ms];
        for (found, wanted) in found.into_iter().zip([500.0, 900.0, 990.0, 999.0, 1_000.0]) {
            assert!(is_about(found, wanted), "{spread:?}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_counts_as_the_bound() {
        let mut times = Times::default();
        times.note(Duration::ZERO);
        times.note(Duration::from_hours(1));
        assert!(is_about(times.spread().max_ms, 600_000.0));
        assert_eq!(times.count(), 2);
        assert_eq!(Times::default().spread().count, 0);
    }
}
