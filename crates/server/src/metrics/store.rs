//! What is measured of the store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use carillon_store::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Page;

/// The store.
pub(crate) struct OfStore(pub(crate) Arc<Store>);

impl fmt::Debug for OfStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfStore(…)")
    }
}

impl Collector for OfStore {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (mut page, kinds) = (Page::new(encoder), self.0.by_kind());
        let help = "How long transactions took, with their waiting";
        let times = kinds.iter().map(|one| ([one.kind], one.transactions.times.read()));
        page.histograms(("carillon_store_transaction_seconds", help), ["kind"], times)?;
        let waiting = kinds.iter().map(|one| (one.kind, one.waiting));
        page.gauges(("carillon_store_waiting", "Transactions that wait for a worker"), "kind", waiting)?;
        let help = "Transactions that were refused: too many waited (full), whoever asked could not wait (late), or \
                    somebody else locked what they need (locked)";
        let refused = kinds.iter().flat_map(|one| {
            let of = one.transactions;
            [("full", &of.too_many), ("late", &of.too_late), ("locked", &of.locked_out)]
                .map(|(reason, count)| ([one.kind, reason], count.load(Ordering::Relaxed)))
        });
        page.counters(("carillon_store_refused", help), ["kind", "reason"], refused)?;
        let measured = self.0.measured();
        let help = "How many transactions shared a commit";
        page.histogram("carillon_store_batch_transactions", help, &measured.batches.read())?;
        let help = "How long commits took: the flush to disk, or what the database needs for one";
        page.histogram("carillon_store_commit_seconds", help, &measured.commits.read())?;
        let help = "Batches of which nothing stood, and that were run again";
        page.counter("carillon_store_batches_undone", help, measured.undone.load(Ordering::Relaxed))?;
        let help = "How often a worker waited for a database across a network";
        page.counter("carillon_store_round_trips", help, self.0.round_trips())?;
        let help = "Deadlocks that the database ended; there is to be none";
        page.counter("carillon_store_deadlocks", help, self.0.deadlocks())?;
        let help =
            "Pages of a SQLite store that were read and are not as they were written; there is to be none";
        page.counter("carillon_store_damaged_pages", help, self.0.damaged_pages())?;
        page.gauge("carillon_store_reachable", "Whether the store can be reached", self.0.is_reachable())
    }
}
