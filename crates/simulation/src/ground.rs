//! What all nodes of a simulation stand on: its clock, the bus, the targets outside, and what is noted of commits.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use carillon_delivery::{Carrier, Hearer};
use carillon_model::channel_flow::Failure;
use carillon_model::{Key, Timestamp};
use carillon_service::Clock;
use tokio::sync::oneshot;

/// How many nodes there are.
pub(crate) const NODES: usize = 3;
/// The instant at which every history begins: 2026-01-15T12:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_ms(1_768_478_400_000);

/// What is left of a lock that a panic broke is as good as any: the history has failed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a node shares with all around it.
#[derive(Clone, Default)]
pub(crate) struct Ground {
    /// The file of the store.
    pub(crate) store: PathBuf,
    /// Milliseconds since the beginning.
    pub(crate) now_ms: Arc<AtomicI64>,
    /// The number of the present step.
    pub(crate) step: Arc<AtomicUsize>,
    pub(crate) post: Arc<Mutex<Post>>,
    /// Calls of processors that are under way.
    pub(crate) calls: Arc<Mutex<Vec<Called>>>,
    pub(crate) stream: Arc<Mutex<Stream>>,
    /// A job that nobody does: a planted fault.
    pub(crate) skipped: Option<&'static str>,
    /// Events in the order in which they were committed: the channel, the number, and in which step.
    pub(crate) commits: Arc<Mutex<Vec<(Key, i64, usize)>>>,
    /// Answers on their way: to which request, the status, and the body.
    pub(crate) answers: Arc<Mutex<Vec<(usize, u16, Bytes)>>>,
}

/// The clock of a node, which may be fast or slow.
pub(crate) struct NodeClock {
    now_ms: Arc<AtomicI64>,
    skew_ms: i64,
}

impl Ground {
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn clock(&self, skew_ms: i64) -> NodeClock {
        NodeClock { now_ms: self.now_ms.clone(), skew_ms }
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        self.real().plus_ms(self.skew_ms)
    }

    fn real(&self) -> Timestamp {
        START.plus_ms(self.now_ms.load(Ordering::Relaxed))
    }

    fn steady(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.now_ms.load(Ordering::Relaxed).unsigned_abs())
    }
}

/// A call of a processor, which waits to be told whether it was taken.
pub(crate) struct Called {
    pub(crate) payload: String,
    pub(crate) taken: oneshot::Sender<Result<(), Failure>>,
}

/// The stream outside: the records that it was given, in that order, each by its channel, number and part.
#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) records: Vec<(Key, i64, i64)>,
    /// It takes nothing at present.
    pub(crate) is_away: bool,
    /// The planted faults: the next record is lost, or the next ones turned round.
    pub(crate) loses: bool,
    pub(crate) swaps: bool,
}

impl Stream {
    /// Takes records; answers whether it did.
    pub(crate) fn take(&mut self, records: &[(Key, i64, i64)]) -> bool {
        if self.is_away {
            return false;
        }
        let from = self.records.len();
        self.records.extend(records);
        if std::mem::take(&mut self.loses) {
            self.records.remove(from);
        }
        if records.len() > 1 && std::mem::take(&mut self.swaps) {
            self.records[from..].reverse();
        }
        true
    }
}

/// News on the bus, and who subscribed to what.
#[derive(Default)]
pub(crate) struct Post {
    pub(crate) waiting: Vec<(usize, Bytes)>,
    subscribed: [BTreeSet<String>; NODES],
    hearers: [Option<Arc<Hearer>>; NODES],
}

impl Post {
    /// A node is no more.
    pub(crate) fn forget(&mut self, node: usize) {
        self.subscribed[node].clear();
        self.hearers[node] = None;
    }

    /// Who takes up what a node hears.
    pub(crate) fn hearer(&self, node: usize) -> Option<Arc<Hearer>> {
        self.hearers[node].clone()
    }
}

/// The bus, as one node has it.
pub(crate) struct Link {
    pub(crate) node: usize,
    pub(crate) post: Arc<Mutex<Post>>,
}

impl Carrier for Link {
    fn hears(&self, hearer: Hearer) {
        lock(&self.post).hearers[self.node] = Some(Arc::new(hearer));
    }

    fn publish(&self, subject: String, news: Bytes) {
        let mut post = lock(&self.post);
        for node in (0..NODES).filter(|node| *node != self.node) {
            if post.subscribed[node].contains(&subject) {
                post.waiting.push((node, news.clone()));
            }
        }
    }

    fn subscribe(&self, subject: String) {
        lock(&self.post).subscribed[self.node].insert(subject);
    }

    fn unsubscribe(&self, subject: String) {
        lock(&self.post).subscribed[self.node].remove(&subject);
    }
}
