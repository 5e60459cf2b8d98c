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
mod batch;
pub mod beat;
pub mod bot;
#[doc(hidden)]
pub mod by_hand;
pub mod channel;
pub mod channel_flow;
pub mod claim;
pub mod endpoint;
mod engine;
pub mod erasure;
mod error;
mod horizon;
pub mod iam;
pub mod identity;
pub mod in_flight;
pub mod index;
mod known;
mod lane;
pub mod lease;
mod look;
mod measured;
pub mod membership;
pub mod message;
mod migration;
pub mod moderator;
pub mod moving;
pub mod outbox;
pub mod outgoing;
mod outlets;
mod paging;
pub mod personal;
pub mod preferences;
mod queue;
mod reach;
pub mod read_marker;
pub mod request_token;
mod row;
pub mod search;
pub mod setting;
mod settlement;
pub mod standing;
pub mod streaming;
pub mod sub_channel;
pub mod survey;
pub mod tag;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;
mod tx;
pub mod unread;
mod worker;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

pub use engine::postgres::Address as PostgresAddress;
pub use engine::postgres::schema::OwnSchema;
pub use engine::sqlite::copy::copy;
pub use engine::sqlite::pages::{broken_pages, give_sums};
pub use error::{Error, Result};
pub use horizon::Ticket;
pub use lane::Lane;
pub use measured::{Measured, OfKind, Transactions};
pub use migration::Schema;
pub use outlets::{Outlets, Skips, Streaming};
pub use standing::Look;
pub use tx::{Tx, engine_time, rest};
pub use worker::as_one_request;

use batch::Shared;
use carillon_model::event::Event;
use carillon_model::{Key, Timestamp};
use engine::faulty::Faults;
use engine::postgres::Postgres;
use engine::{Connection, Driver, Kind, Opened, sqlite};
use horizon::Horizon;
use outlets::Known;
use reach::Reach;
use row::Row;
use worker::{Wait, Workers};

/// The most values that a function of this crate takes in a list.
pub const LIST_LEN_MAX: usize = engine::MANY;
/// How often a node looks whether it can still serve the schema.
const SCHEMA_LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long until the moving of SQLite's log, which could not go on, is begun anew.
const CHECKPOINT_RETRY_EVERY: Duration = Duration::from_secs(1);

/// Where the data lives.
#[derive(Debug, Clone)]
pub enum Location {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(Arc<PostgresAddress>),
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
        Ok(Self::Postgres(Arc::new(PostgresAddress::parse(text)?)))
    }

    fn open(&self, kind: Kind) -> Result<Opened> {
        Ok(match self {
            Self::Sqlite(path) => Connection::Sqlite(sqlite::open(path, kind)?),
            Self::Postgres(address) => Connection::Postgres(Box::new(Postgres::open(address, kind)?)),
        }
        .into())
    }
}

/// How many workers there are, each a connection. PostgreSQL has two more, for what locks across lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    /// Those that write; SQLite has one, whatever this says.
    pub write: usize,
    /// Those that read.
    pub read: usize,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { write: 4, read: 4 }
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
    /// Something is to leave the server.
    Outgoing,
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
    /// Numbers of channels that were taken, and that no event has.
    pub blanks: Vec<(Key, i64)>,
    /// What is to be done soon.
    pub work: BTreeSet<Work>,
    /// Read markers that moved, and that others may learn of.
    pub read: Vec<read_marker::Moved>,
    /// To be kept until all events are told.
    pub ticket: Ticket,
    /// The connection was lost while the commit was under way: it may stand, or not.
    pub is_doubtful: bool,
}

/// What is told of each commit, in the order of the commits of a worker.
pub type Sink = Arc<dyn Fn(Committed) + Send + Sync>;

/// The store. Dropping it waits for what was queued.
pub struct Store {
    reads: Workers,
    writes: Vec<Workers>,
    /// For [`Lane::Calls`] and for [`Lane::Job`], which lock across lanes; none where the engine has one writer.
    jobs: Option<(Workers, Workers)>,
    checkpoints: Option<Checkpoints>,
    horizon: Arc<Horizon>,
    outlets: Arc<Known>,
    reach: Arc<Reach>,
    measured: Arc<Measured>,
    location: Location,
}

struct Checkpoints {
    stop: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Store {
    /// Opens the store, bringing its schema up to date; `now_ms` is the time that a migration is noted under.
    pub fn open(location: &Location, now_ms: i64, sink: &Sink) -> Result<Self> {
        Self::open_with(location, Lanes::default(), now_ms, sink)
    }

    /// The same, with as many connections.
    pub fn open_with(location: &Location, lanes: Lanes, now_ms: i64, sink: &Sink) -> Result<Self> {
        Self::open_by(location, lanes, (now_ms, sink), None)
    }

    fn open_by(
        location: &Location,
        lanes: Lanes,
        (now_ms, sink): (i64, &Sink),
        faults: Option<&Arc<Faults>>,
    ) -> Result<Self> {
        let shared = begin(location.open(Kind::Write)?, now_ms, sink)?;
        let workers = |kind: Kind, names: Vec<String>| {
            let (location, faults) = (location.clone(), faults.cloned());
            Workers::start(kind, names, move || Ok(location.open(kind)?.failing(faults.clone())), &shared)
        };
        let write_lane = |number| workers(Kind::Write, vec![format!("write-{number}")]);
        let job = |name: &str| workers(Kind::Job, vec![name.to_owned()]);
        let (lane_count, jobs, checkpoints) = match location {
            Location::Sqlite(path) => (1, None, Some(Checkpoints::start(path.clone())?)),
            Location::Postgres(_) => (lanes.write, Some((job("calls")?, job("job")?)), None),
        };
        let writes = (0..lane_count).map(write_lane).collect::<Result<_>>()?;
        let reads = workers(Kind::Read, (0..lanes.read).map(|number| format!("read-{number}")).collect())?;
        let (location, Shared { horizon, outlets, reach, measured, .. }) = (location.clone(), shared);
        Ok(Self { reads, writes, jobs, checkpoints, horizon, outlets, reach, measured, location })
    }

    /// Waits until a worker panicked: nothing more can be done but to start anew.
    pub async fn given_up(&self) {
        self.horizon.given_up().await;
    }

    /// Waits until another node has brought the schema to where this one cannot serve it, and says so.
    pub async fn outgrown(&self) -> Error {
        loop {
            tokio::time::sleep(SCHEMA_LOOK_EVERY).await;
            if let Err(error @ Error::Newer(_)) = self.read(migration::check).await {
                return error;
            }
        }
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

    /// Everything before this has been told to whoever listens here: what this process committed, and what others did.
    pub fn told(&self) -> Timestamp {
        self.horizon.told()
    }

    /// Everything that this process committed before this has been told, and nothing that it commits from here on is
    /// before `now`.
    pub fn advance(&self, now: Timestamp) -> Timestamp {
        self.horizon.advance(now)
    }

    /// Says that everything that others committed before this has been told to whoever listens here.
    pub fn others_told(&self, until: Timestamp) {
        self.horizon.others_told(until);
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
        self.read_looking(None, work).await
    }

    /// The same, for work that looks at something first. Where it asks nothing else, that is one round trip.
    pub async fn read_looking<T, E>(
        &self,
        look: Option<Look>,
        work: impl Fn(&mut Tx) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        measured::traced("read", self.reads.run(None, Wait::Bounded, look, work)).await
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
        self.write_looking(lane, None, work).await
    }

    /// The same, for work that looks at something first: that is asked for all the transactions of a batch in one go.
    pub async fn write_looking<T, E>(
        &self,
        lane: Lane,
        look: Option<Look>,
        work: impl Fn(&mut Tx) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let wait = if matches!(lane, Lane::Calls | Lane::Job) { Wait::Patient } else { Wait::Bounded };
        let workers = match (&lane, &self.jobs) {
            (Lane::Calls, Some((calls, _))) => calls,
            (Lane::Job, Some((_, jobs))) => jobs,
            _ => &self.writes[lane.worker(self.writes.len())],
        };
        measured::traced("write", workers.run(Some(lane), wait, look, work)).await
    }
}

/// Brings the schema up to date, and finds out where what is shared begins.
fn begin(mut opened: Opened, now_ms: i64, sink: &Sink) -> Result<Shared> {
    let (latest, read) = opened.hold(|driver| {
        migration::run(driver, now_ms)?;
        look_around(driver)
    })?;
    let outlets = Arc::new(Known::default());
    outlets.take(read, 0);
    let (sink, horizon) = (sink.clone(), Horizon::new(latest));
    Ok(Shared { sink, horizon, reach: Arc::new(Reach::default()), outlets, measured: Arc::default() })
}

/// What a store must know before it can be written to: when the latest event was, and what leaves the server.
fn look_around(driver: &mut dyn Driver) -> Result<(Timestamp, Outlets)> {
    driver.begin(Kind::Read)?;
    let mut tx = Tx::new(driver, None);
    let looked = outbox::find_latest(&mut tx).and_then(|latest| Ok((latest, Outlets::read(&mut tx)?)));
    driver.rollback();
    looked
}

impl Drop for Store {
    fn drop(&mut self) {
        self.writes.clear();
        self.jobs = None;
        if let Some(Checkpoints { stop, thread }) = self.checkpoints.take() {
            drop(stop);
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// Moves the log until told to stop; a panic in that is an error.
fn checkpoint(path: &Path, stopped: &Receiver<()>) -> Result<()> {
    let moving = catch_unwind(AssertUnwindSafe(|| sqlite::checkpoint(path, stopped)));
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
