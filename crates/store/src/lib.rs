//! The store: transactions on one of two engines, and one module of SQL for each noun.
//!
//! [`Store::read`] and [`Store::write`] take a plain function of a [`Tx`]. It cannot await, so no network call
//! can happen inside a transaction; it may run more than once, so it must have no effect but through the `Tx`.
//! What the rest of the process should learn is emitted as an event, and published after the commit.
//!
//! To add SQL: a function in the noun's module, named for what it means, with its row mapping below it. Only
//! `engine` knows which engine runs. To add a migration: the next number in `migrations/` and in
//! `migration::MIGRATIONS`; never change one that was released.

pub mod app_instance;
mod appointed;
pub mod ban;
pub mod bot;
pub mod channel;
pub mod channel_flow;
pub mod endpoint;
mod engine;
mod error;
mod horizon;
pub mod iam;
pub mod identity;
pub mod in_flight;
mod lane;
pub mod lease;
pub mod membership;
pub mod message;
mod migration;
pub mod moderator;
pub mod outbox;
pub mod request_token;
pub mod setting;
mod settlement;
pub mod streaming;
pub mod sub_channel;
pub mod tag;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;
mod tx;
mod worker;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

pub use error::{Error, Result};
pub use horizon::Ticket;
pub use lane::Lane;
pub use tx::Tx;

use carillon_model::Timestamp;
use carillon_model::event::Event;
use engine::postgres::Postgres;
use engine::sqlite::Sqlite;
use engine::{Driver, Kind};
use horizon::Horizon;
use worker::Worker;

/// The most values that a function of this crate takes in a list.
pub const LIST_LEN_MAX: usize = engine::MANY;
/// Workers that read, on either engine.
const READERS: usize = 4;
/// Workers that write on PostgreSQL, beside that for jobs; SQLite has one writer.
const POSTGRES_WRITERS: usize = 4;
/// Workers on PostgreSQL for what locks across lanes: one for [`Lane::Calls`], one for [`Lane::Job`].
const POSTGRES_JOB_WRITERS: usize = 2;

/// How long until the moving of SQLite's log, which could not go on, is begun anew.
const CHECKPOINT_RETRY_EVERY: Duration = Duration::from_secs(1);

/// Where the data lives.
#[derive(Debug, Clone, PartialEq)]
pub enum Location {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(Box<tokio_postgres::Config>),
}

impl Location {
    /// Reads `sqlite:<path>` or `postgres://…`.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(Error::broken("a store is sqlite:<path> or postgres://<user>@<host>/<database>"));
        }
        let config =
            text.parse().map_err(|error| Error::broken(format!("not a PostgreSQL address: {error}")))?;
        Ok(Self::Postgres(Box::new(config)))
    }

    fn open(&self, kind: Kind) -> Result<Box<dyn Driver>> {
        Ok(match self {
            Self::Sqlite(path) => Box::new(Sqlite::open(path)?),
            Self::Postgres(config) => Box::new(Postgres::open(config, kind)?),
        })
    }
}

/// What a commit leaves to be done soon, by whoever does it on any node. The store holds what exactly; this only
/// saves the wait until somebody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// A message waits for a processor of its channel flow.
    Flow,
    /// The members of an elastic channel are to be moved.
    Balance,
    /// What somebody deleted is to be destroyed.
    Destroy,
    /// A user or a bot that is no more is to leave its channels.
    Leave,
}

/// What the rest of the process learns of a commit.
#[derive(Debug)]
pub struct Committed {
    /// What happened, in order.
    pub events: Vec<Event>,
    /// What is to be done soon.
    pub work: BTreeSet<Work>,
    /// To be kept until all events are told.
    pub ticket: Ticket,
    /// The connection was lost while the commit was under way: it may stand, or not.
    pub is_doubtful: bool,
}

/// What is told of each commit, in the order of the commits of a worker.
pub type Sink = Arc<dyn Fn(Committed) + Send + Sync>;

/// The store. Dropping it waits for what was queued.
pub struct Store {
    reads: Vec<Worker>,
    writes: Vec<Worker>,
    /// None where the engine has one writer.
    jobs: Vec<Worker>,
    next_read: AtomicUsize,
    checkpoints: Option<Checkpoints>,
    horizon: Arc<Horizon>,
}

struct Checkpoints {
    stop: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Store {
    /// Opens the store, bringing its schema up to date; `now_ms` is the time that a migration is noted under.
    pub fn open(location: &Location, now_ms: i64, sink: &Sink) -> Result<Self> {
        let mut driver = location.open(Kind::Write)?;
        migration::run(driver.as_mut(), now_ms)?;
        let horizon = Horizon::new(latest_event(driver.as_mut())?);
        drop(driver);
        let (lane_writers, job_writers) = match location {
            Location::Sqlite(_) => (1, 0),
            Location::Postgres(_) => (POSTGRES_WRITERS, POSTGRES_JOB_WRITERS),
        };
        let workers = |count: usize, kind: Kind| -> Result<Vec<Worker>> {
            (0..count)
                .map(|number| {
                    let location = location.clone();
                    Worker::start(kind, number, move || location.open(kind), (sink.clone(), horizon.clone()))
                })
                .collect()
        };
        let writes = workers(lane_writers, Kind::Write)?;
        let jobs = workers(job_writers, Kind::Job)?;
        let reads = workers(READERS, Kind::Read)?;
        let checkpoints = match location {
            Location::Sqlite(path) => Some(Checkpoints::start(path.clone())?),
            Location::Postgres(_) => None,
        };
        Ok(Self { reads, writes, jobs, next_read: AtomicUsize::new(0), checkpoints, horizon })
    }

    /// Waits until everything that is committed now has been told to whoever listened.
    pub async fn caught_up(&self) {
        self.horizon.caught_up().await;
    }

    /// Waits until a worker panicked: nothing more can be done but to start anew.
    pub async fn given_up(&self) {
        self.horizon.given_up().await;
    }

    /// Says what time it is, before anything is written: where the store holds events of a much later one, a clock was
    /// wrong, and new events are not to follow it. True then.
    pub fn set_clock(&self, now: Timestamp) -> bool {
        self.horizon.set_back(now)
    }

    /// Until when no time that a client was told is sure to be before all that it missed.
    pub fn doubtful_until(&self) -> Timestamp {
        self.horizon.doubtful_until()
    }

    /// Everything that this process committed before this has been told to whoever listened.
    pub fn told(&self) -> Timestamp {
        self.horizon.told()
    }

    /// Runs `work` in a transaction that reads one snapshot.
    pub async fn read<T, E>(
        &self,
        work: impl Fn(&mut Tx) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let next = self.next_read.fetch_add(1, Ordering::Relaxed);
        self.reads[next % self.reads.len()].run(0, work).await
    }

    /// Runs `work` in a transaction that writes, in its lane: writes of one lane come one after the other and share
    /// commits, instead of waiting for each other's locks.
    ///
    /// Whatever `work` refuses is undone. An answer means that the writes are on disk.
    pub async fn write<T, E>(
        &self,
        lane: Lane,
        work: impl Fn(&mut Tx) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let place = lane.place();
        let worker = match (lane, &self.jobs[..]) {
            (Lane::Calls, [calls, _]) => calls,
            (Lane::Job, [_, jobs]) => jobs,
            _ => &self.writes[usize::try_from(place % self.writes.len() as u64).unwrap_or_default()],
        };
        worker.run(place, work).await
    }
}

fn latest_event(driver: &mut dyn Driver) -> Result<Timestamp> {
    driver.begin(Kind::Read)?;
    let latest = outbox::find_latest(&mut Tx::new(driver, None));
    driver.rollback();
    latest
}

impl Drop for Store {
    fn drop(&mut self) {
        self.writes.clear();
        self.jobs.clear();
        self.reads.clear();
        if let Some(Checkpoints { stop, thread }) = self.checkpoints.take() {
            drop(stop);
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// Moves the log until told to stop; a panic in that is an error.
fn checkpoint(path: &Path, stopped: &Receiver<()>) -> Result<()> {
    let moving = catch_unwind(AssertUnwindSafe(|| engine::sqlite::checkpoint(path, stopped)));
    moving.unwrap_or_else(|_| Err(Error::broken("the moving of the log panicked")))
}

impl Checkpoints {
    fn start(path: PathBuf) -> Result<Self> {
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                // It ends when it is told to, and begins anew where it could not go on.
                while let Err(error) = checkpoint(&path, &stopped) {
                    tracing::error!(%error, "the log is not moved into the database file; that is tried again");
                    if stopped.recv_timeout(CHECKPOINT_RETRY_EVERY) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            })
            .map_err(|error| Error::broken(format!("cannot start a thread: {error}")))?;
        Ok(Self { stop, thread })
    }
}
