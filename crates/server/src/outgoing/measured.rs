//! What is measured of what leaves the server, for each kind of consumer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use carillon_meter::Times;
use carillon_model::Timestamp;
use carillon_service::error::{Error, Result};
use carillon_store::Tx;
use carillon_store::outgoing;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tokio::time::{Instant, sleep};

use super::Outgoing;
use crate::metrics::Page;
use crate::supervised;

/// How often what waits is counted,
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// and how many times longer than the last counting took it rests at least: a large backlog is counted less often.
const MEASURE_REST: u32 = 50;

/// What became of the rows of a kind, and how many wait.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// How long calls took.
    calls: Times,
    delivered: AtomicU64,
    failed: AtomicU64,
    waiting: AtomicI64,
    /// Since when the oldest waits, in milliseconds; zero where none does.
    oldest: AtomicI64,
}

impl Counts {
    /// A call was made, and took so long.
    pub(super) fn tried(&self, took: Duration) {
        self.calls.observe(took);
    }

    /// So many rows were taken.
    pub(super) fn delivered(&self, rows: u64) {
        self.delivered.fetch_add(rows, Ordering::Relaxed);
    }

    /// So many were given up.
    pub(super) fn failed(&self, rows: u64) {
        self.failed.fetch_add(rows, Ordering::Relaxed);
    }
}

/// What leaves the server.
#[derive(Debug)]
pub(crate) struct Handed(pub(crate) Arc<Outgoing>);

impl Outgoing {
    /// Counts what waits, in the shards of this node.
    pub(super) async fn measure(self: Arc<Self>) {
        loop {
            let begun = Instant::now();
            let _ = supervised::round("outgoing", self.count()).await;
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(MEASURE_EVERY.max(begun.elapsed() * MEASURE_REST)) => {}
            }
        }
    }

    async fn count(&self) -> Result<()> {
        let read = |tx: &mut Tx| Ok::<_, Error>(outgoing::list_lines(tx)?);
        let lines = self.service.store().read(read).await?;
        let mut found: BTreeMap<&str, (i64, Option<Timestamp>)> = BTreeMap::new();
        for line in lines.into_iter().filter(|line| self.may_begin(line.shard)) {
            let word = line.queue.split(' ').next().unwrap_or_default();
            let Some((word, _)) = self.kinds.get_key_value(word) else { continue };
            let read = move |tx: &mut Tx| Ok::<_, Error>(outgoing::measure(tx, &line)?);
            let (count, oldest) = self.service.store().read(read).await?;
            let of_kind = found.entry(word).or_default();
            of_kind.0 += count;
            of_kind.1 = [of_kind.1, oldest].into_iter().flatten().min();
        }
        for (word, kind) in &self.kinds {
            let (count, oldest) = found.get(word).copied().unwrap_or_default();
            kind.counts.waiting.store(count, Ordering::Relaxed);
            kind.counts.oldest.store(oldest.map_or(0, Timestamp::ms), Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Collector for Handed {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut page = Page::new(encoder);
        let mut kinds: Vec<_> = self.0.kinds.iter().map(|(word, kind)| (*word, &kind.counts)).collect();
        kinds.sort_by_key(|(word, _)| *word);
        let by = |count: fn(&Counts) -> u64| kinds.iter().map(move |(word, counts)| ([*word], count(counts)));
        let help = "Calls of targets to hand over what leaves the server";
        page.counters(("carillon_outgoing_tried", help), ["consumer"], by(|of| of.calls.read().count()))?;
        let help = "Rows of it that targets took";
        let delivered = by(|of| of.delivered.load(Ordering::Relaxed));
        page.counters(("carillon_outgoing_delivered", help), ["consumer"], delivered)?;
        let help = "Rows of it that were given up";
        let failed = by(|of| of.failed.load(Ordering::Relaxed));
        page.counters(("carillon_outgoing_failed", help), ["consumer"], failed)?;
        let help = "How long calls of targets took";
        let times = kinds.iter().map(|(word, counts)| ([*word], counts.calls.read()));
        page.histograms(("carillon_outgoing_call_seconds", help), ["consumer"], times)?;
        let help = "Rows that wait in the shards of this node, as they were counted last";
        let waiting = kinds.iter().map(|(word, counts)| (*word, counts.waiting.load(Ordering::Relaxed)));
        page.gauges(("carillon_outgoing_waiting", help), "consumer", waiting)?;
        let help = "For how many seconds the oldest of them waits";
        let now = self.0.clock.now().ms();
        let ages = kinds.iter().map(|(word, counts)| {
            let oldest = counts.oldest.load(Ordering::Relaxed);
            (*word, if oldest == 0 { 0 } else { now.saturating_sub(oldest).max(0) / 1_000 })
        });
        page.gauges(("carillon_outgoing_oldest_seconds", help), "consumer", ages)?;
        let help = "Targets that can be called (open), and that are left alone for a while (closed)";
        let gates = self.0.kinds.values().map(|kind| kind.gates.count());
        let (open, closed) = gates.fold((0, 0), |(open, closed), of| (open + of.0, closed + of.1));
        page.gauges(("carillon_outgoing_gates", help), "state", [("open", open), ("closed", closed)])
    }
}
