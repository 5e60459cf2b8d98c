//! How far the clock of this machine is from the store's. Nodes give events their times, each by its own clock; the
//! store's is the one that all of them can compare theirs with. A store in a file has no clock but the machine's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use carillon_model::Timestamp;
use carillon_service::Clock as _;
use carillon_store::{self as store, Store};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::clock::SystemClock;
use crate::error::{Error, Result};
use crate::metrics::Page;

/// How far the clocks may be from each other.
const OFF_MAX_MS: i64 = 1_000;
/// How often they are compared while the server runs.
pub(crate) const COMPARE_EVERY: Duration = Duration::from_secs(5);
/// What stands for an offset that is not known.
const UNKNOWN: i64 = i64::MIN;

/// What a comparison showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offset {
    /// How far the store is ahead of this machine.
    ahead_ms: i64,
    /// By how much that may be wrong: the store read its clock at some time between question and answer.
    doubt_ms: i64,
}

impl Offset {
    /// The store said `told` to a question that was asked at `asked`, and was answered after `took`.
    fn of(asked: Timestamp, took: Duration, told: Timestamp) -> Self {
        let doubt_ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX) / 2;
        Self { ahead_ms: told.ms() - asked.plus_ms(doubt_ms).ms(), doubt_ms }
    }

    /// Whether the clocks are too far from each other, whenever it was that the store read its own.
    fn is_off(self) -> bool {
        OFF_MAX_MS < self.ahead_ms.saturating_abs() - self.doubt_ms
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.ahead_ms.unsigned_abs() / 100;
        let side = if self.ahead_ms < 0 { "ahead of" } else { "behind" };
        write!(f, "the clock of this machine is {}.{} s {side} that of the store", tenths / 10, tenths % 10)
    }
}

/// Compares the clocks, real time with real time; nothing where the store has none of its own.
async fn compare(store: &Store, clock: &SystemClock) -> store::Result<Option<Offset>> {
    let (asked, before) = (clock.real(), clock.steady());
    let told = store.read(store::engine_time).await?;
    let took = clock.steady().saturating_sub(before);
    Ok(told.map(|told| Offset::of(asked, took, told)))
}

/// Refuses to serve a store whose clock is too far from this machine's.
pub(crate) async fn check(store: &Store) -> Result<()> {
    let compared = compare(store, &SystemClock::default()).await;
    let offset = compared.map_err(|error| Error::failure(format!("the store cannot be used: {error}")))?;
    match offset {
        Some(offset) if offset.is_off() => Err(Error::failure(offset.to_string()).hint(
            "Keep both by NTP: events have the times of the nodes, and each may be a second from the store at most.",
        )),
        _ => Ok(()),
    }
}

/// What is known of the store's clock while the server runs.
#[derive(Debug)]
pub(crate) struct StoreClock {
    clock: SystemClock,
    /// How far it is ahead.
    ahead_ms: AtomicI64,
    is_off: AtomicBool,
}

impl Default for StoreClock {
    fn default() -> Self {
        Self {
            clock: SystemClock::default(),
            ahead_ms: AtomicI64::new(UNKNOWN),
            is_off: AtomicBool::new(false),
        }
    }
}

impl StoreClock {
    /// Looks at it, and says when it goes wrong and when it is right again.
    pub(crate) async fn look(&self, store: &Store) -> store::Result<()> {
        let Some(offset) = compare(store, &self.clock).await? else { return Ok(()) };
        self.ahead_ms.store(offset.ahead_ms, Ordering::Relaxed);
        match (self.is_off.swap(offset.is_off(), Ordering::Relaxed), offset.is_off()) {
            (false, true) => {
                tracing::error!("{offset}: clients that resume may miss events; keep both by NTP");
            }
            (true, false) => tracing::info!("the clock of this machine is that of the store again"),
            _ => {}
        }
        Ok(())
    }
}

/// As a collector.
#[derive(Debug)]
pub(crate) struct Measured(pub(crate) Arc<StoreClock>);

impl Collector for Measured {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::result::Result<(), fmt::Error> {
        let ahead_ms = self.0.ahead_ms.load(Ordering::Relaxed);
        if ahead_ms == UNKNOWN {
            return Ok(());
        }
        let help = "How far the clock of the store is ahead of that of this machine, in seconds";
        let name = "carillon_store_clock_offset_seconds";
        let seconds = Duration::from_millis(ahead_ms.unsigned_abs()).as_secs_f64() * sign(ahead_ms);
        Page::new(encoder).gauge(name, help, seconds)
    }
}

fn sign(ms: i64) -> f64 {
    if ms < 0 { -1.0 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(asked: i64, took_ms: u64, told: i64) -> Offset {
        Offset::of(Timestamp::from_ms(asked), Duration::from_millis(took_ms), Timestamp::from_ms(told))
    }

    #[test]
    fn only_what_the_way_to_the_store_cannot_explain_is_an_offset() {
        assert_eq!(offset(10_000, 400, 10_200), Offset { ahead_ms: 0, doubt_ms: 200 });
        assert!(!offset(10_000, 0, 11_000).is_off());
        assert!(offset(10_000, 0, 11_001).is_off());
        assert!(offset(10_000, 0, 8_999).is_off());
        // The answer came after three seconds: the store may have read its clock at any time between.
        assert!(!offset(10_000, 3_000, 14_000).is_off());
        assert!(offset(10_000, 3_000, 14_001).is_off());
        assert!(!offset(10_000, 3_000, 9_000).is_off());
        assert!(offset(10_000, 3_000, 8_999).is_off());
    }

    #[test]
    fn it_is_said_which_clock_is_behind() {
        let said = |told| offset(10_000, 0, told).to_string();
        assert_eq!(said(15_040), "the clock of this machine is 5.0 s behind that of the store");
        assert_eq!(said(8_500), "the clock of this machine is 1.5 s ahead of that of the store");
    }
}
