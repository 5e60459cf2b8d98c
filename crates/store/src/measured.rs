//! What is measured of a store: what its workers do, what waits for them, and whether the engine is there.

use std::sync::atomic::{AtomicU64, Ordering};

use carillon_meter::{Lengths, TRACE, Times};
use tracing::instrument::Instrumented;
use tracing::{Instrument as _, Level, Span};

use crate::engine::Kind;
use crate::{Location, Store};

/// What its workers did so far.
#[derive(Debug, Default)]
pub struct Measured {
    reads: Transactions,
    writes: Transactions,
    jobs: Transactions,
    /// How many transactions shared a commit.
    pub batches: Lengths,
    /// How long commits took: the flush to disk, or the way to an engine across a network and what it does there.
    pub commits: Times,
    /// Batches of which nothing stood: what they supposed was not so, or one of them could not be carried out. Each is
    /// run again, carefully or one by one.
    pub undone: AtomicU64,
}

/// Transactions of one kind.
#[derive(Debug, Default)]
pub struct Transactions {
    /// How long those took that were run, with their waiting.
    pub times: Times,
    /// Those that were refused because too many waited,
    pub too_many: AtomicU64,
    /// those for which whoever asked could not wait any more,
    pub too_late: AtomicU64,
    /// and those that the engine kept from what somebody else had locked for too long.
    pub locked_out: AtomicU64,
}

/// What is measured of the transactions of one kind, and how many wait at present.
#[derive(Debug, Clone, Copy)]
pub struct OfKind<'a> {
    /// Its name.
    pub kind: &'static str,
    /// Those so far.
    pub transactions: &'a Transactions,
    /// Those that wait.
    pub waiting: usize,
}

impl OfKind<'_> {
    /// Those of two queues of the same kind.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { waiting: self.waiting + other.waiting, ..self }
    }
}

impl Measured {
    pub(crate) fn of(&self, kind: Kind) -> &Transactions {
        match kind {
            Kind::Read => &self.reads,
            Kind::Write => &self.writes,
            Kind::Job => &self.jobs,
        }
    }

    pub(crate) fn undo(&self) {
        count(&self.undone);
    }
}

impl Store {
    /// What its workers did so far.
    pub fn measured(&self) -> &Measured {
        &self.measured
    }

    /// The same by the kind of transactions, with how many of each wait.
    pub fn by_kind(&self) -> Vec<OfKind<'_>> {
        let writes = self.writes.iter().map(|workers| workers.measured()).reduce(OfKind::and);
        let jobs = self.jobs.iter().flat_map(|(calls, jobs)| [calls, jobs]);
        let jobs = jobs.map(|workers| workers.measured()).reduce(OfKind::and);
        [Some(self.reads.measured()), writes, jobs].into_iter().flatten().collect()
    }

    /// Whether the engine can be reached, as far as is known.
    pub fn is_reachable(&self) -> bool {
        self.reach.is_there()
    }

    /// How many deadlocks the engine saw so far. There is to be none.
    pub fn deadlocks(&self) -> u64 {
        match &self.location {
            Location::Sqlite(_) => 0,
            Location::Postgres(address) => address.deadlocks(),
        }
    }

    /// How many pages were read so far that are not as they were written. There is to be none.
    pub fn damaged_pages(&self) -> u64 {
        match &self.location {
            Location::Sqlite(_) => carillon_disk::damaged(),
            Location::Postgres(_) => 0,
        }
    }

    /// How often a worker has waited for an engine across a network so far.
    pub fn round_trips(&self) -> u64 {
        match &self.location {
            Location::Sqlite(_) => 0,
            Location::Postgres(address) => address.trips(),
        }
    }
}

/// Counts one more.
pub(crate) fn count(of: &AtomicU64) {
    of.fetch_add(1, Ordering::Relaxed);
}

/// A transaction, with a span where what it belongs to has one.
pub(crate) fn traced<F: Future>(kind: &'static str, transaction: F) -> Instrumented<F> {
    let is_traced = tracing::span_enabled!(target: TRACE, Level::INFO) && !Span::current().is_none();
    transaction.instrument(if is_traced {
        tracing::info_span!(target: TRACE, "transaction", kind)
    } else {
        Span::none()
    })
}
