//! What leaves the server: rows of the store that consumers hand over, each kind by one file below this one.
//!
//! This loop finds the lines that have rows, of the shards that this node has, and lets each be run ([`line`]). It
//! knows what all consumers have in common: the order of a channel, when something is tried again and until when, that
//! a target that is slow or away holds up neither others nor the store, and what is counted. To add a consumer: a file
//! with its [`Consumer`], and a line in [`Outgoing::start`].
//!
//! Everything that must not be lost is in the store; all this may end at any moment, and is done again by whoever has
//! the shard then. So what is handed over may be handed over twice, in its order.

pub(crate) mod bots;
pub(crate) mod events;
mod line;
mod measured;
mod page;
pub(crate) mod push;
mod settled;
pub(crate) mod streams;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carillon_model::Key;
use carillon_model::channel_flow::Failure;
use carillon_service::error::{Error, Result};
use carillon_service::front::shards::{Owned, Shards};
use carillon_service::{Clock, Service};
use carillon_store::outgoing::{self, Line, Outgoing as Row};
use carillon_store::{Lane, Tx, Work};
use carillon_targets::Gates;
use carillon_targets::aws::Aws;
use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::jobs::Bells;
use crate::supervised;
use line::Run;
use measured::Counts;
pub(crate) use measured::Handed;

/// How often it looks without having been woken: for what other nodes left.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How soon it looks again at the earliest.
const LOOK_AFTER_MIN: Duration = Duration::from_millis(5);
/// How often a node says that it is there, and looks whether others are.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// Rows that one node has in memory at once.
const ROWS_MAX: usize = 32_768;
/// How long a call over HTTP may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls of one target at once, of one node.
const TARGET_CALLS_MAX: usize = 64;

/// How a consumer takes rows.
#[expect(clippy::struct_field_names, reason = "each is a bound")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Rows of one call.
    pub(crate) rows_max: usize,
    /// Bytes of their bodies, unless one alone has more.
    pub(crate) bytes_max: usize,
    /// Calls of one line at once; each channel is in one of them at most.
    pub(crate) calls_max: usize,
}

/// Whoever hands over the rows of one kind of queue.
pub(crate) trait Consumer: Send + Sync + 'static {
    /// The first word of its queues, which names it in what is measured.
    fn kind(&self) -> &'static str;
    /// How it takes rows.
    fn manner(&self) -> Manner;
    /// How long a row is tried before it is given up.
    fn patience(&self, row: &Row) -> Duration;
    /// Hands rows over to a target: what follows the kind in the name of their queue. It answers for each of them, in
    /// their order; of one channel those after the first that is not done count as not done either.
    fn hand_over<'a>(&'a self, target: &'a str, rows: &'a [Row]) -> BoxFuture<'a, Vec<Verdict>>;
    /// The name of the event by which operators are told of rows that are given up; none where they are told in some
    /// other way.
    fn report(&self) -> Option<&'static str>;
    /// What is to be written with the end of a row that waited for too long, and in which lane, where that is more than
    /// what operators are told.
    fn regret(&self, _: &Row, _: &str) -> Option<(Lane, Change)> {
        None
    }
}

/// The clients by which the server calls others, one of each.
#[derive(Clone)]
pub(crate) struct Clients {
    /// Of all that is called over HTTP. It follows no redirect.
    pub(crate) http: reqwest::Client,
    /// Of AWS, with the credentials that it has for all.
    pub(crate) aws: Arc<Aws>,
}

impl Clients {
    /// Makes them. Nothing is read nor called before somebody calls.
    pub(crate) fn new() -> std::result::Result<Self, crate::error::Error> {
        let built = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(CALL_TIMEOUT)
            .build();
        let http = built.map_err(|error| crate::error::Error::failure(format!("no HTTP client: {error}")))?;
        Ok(Self { aws: Arc::new(Aws::new(http.clone())), http })
    }
}

/// What is written in the transaction that deletes a row, or puts another body into it. It may run more than once.
pub(crate) type Change = Arc<dyn Fn(&mut Tx) -> Result<()> + Send + Sync>;

/// What became of a row.
pub(crate) enum Verdict {
    /// It was handed over.
    Done,
    /// The same, and this is to be written, in this lane, with the row's end: once, whoever does it.
    DoneWith(Lane, Change),
    /// A step of several is done: this is to be written with the row's new body, and the row is met again.
    Step(Lane, String, Change),
    /// It failed, and is tried again, until its consumer's patience is over; not before so long, where that is known.
    Again(Failure, Option<Duration>),
    /// It is given up.
    GiveUp(String),
    /// The same, and this is to be written with the row's end.
    GiveUpWith(Lane, Change),
    /// Nothing was tried.
    NotMade,
}

/// A consumer, and what the loop keeps of it.
pub(crate) struct Kind {
    consumer: Arc<dyn Consumer>,
    gates: Gates,
    counts: Counts,
}

/// Hands over what leaves the server, until told to stop.
pub(crate) struct Outgoing {
    service: Arc<Service>,
    clock: Arc<dyn Clock>,
    kinds: HashMap<&'static str, Arc<Kind>>,
    owned: Arc<Owned>,
    /// The lines that are run, each with a bell.
    lines: Mutex<HashMap<Line, Arc<Notify>>>,
    rows: Arc<Semaphore>,
    random: Mutex<StdRng>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Those that run lines.
    running: TaskTracker,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("lines", &self.lines().len()).finish_non_exhaustive()
    }
}

impl Outgoing {
    /// Starts to hand over.
    pub(crate) fn start(
        (service, clock): (Arc<Service>, Arc<dyn Clock>),
        (node, bells, mut random): (Key, Arc<Bells>, StdRng),
        consumers: Vec<Arc<dyn Consumer>>,
    ) -> Arc<Self> {
        let mut kind = |consumer: Arc<dyn Consumer>| {
            let gates = Gates::new(TARGET_CALLS_MAX, StdRng::from_rng(&mut random));
            let name = consumer.kind();
            (name, Arc::new(Kind { consumer, gates, counts: Counts::default() }))
        };
        let kinds = consumers.into_iter().map(&mut kind).collect();
        let shards = Shards::new(node);
        let outgoing = Arc::new(Self {
            service,
            clock,
            kinds,
            owned: shards.owned(),
            lines: Mutex::default(),
            rows: Arc::new(Semaphore::new(ROWS_MAX)),
            random: Mutex::new(random),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            running: TaskTracker::new(),
        });
        outgoing.tasks.spawn(outgoing.clone().keep(shards));
        outgoing.tasks.spawn(outgoing.clone().look(bells));
        outgoing.tasks.spawn(outgoing.clone().measure());
        outgoing
    }

    /// Begins nothing more, and waits for what is under way.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Has its part of the shards, as long as it runs.
    async fn keep(self: Arc<Self>, mut shards: Shards) {
        loop {
            let is_idle = |shard| !self.lines().keys().any(|line| line.shard == shard);
            let looked = supervised::round("shards", shards.look(&self.service, is_idle)).await;
            if let Some(Err(error)) = looked
                && supervised::is_news(&error)
            {
                tracing::warn!(%error, "the shards of what leaves the server cannot be kept");
            }
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = sleep(KEEP_EVERY) => {}
            }
        }
        self.running.close();
        self.running.wait().await;
        if shards.end(&self.service).await.is_err() {
            tracing::debug!("other nodes wait for the shards of this one");
        }
    }

    async fn look(self: Arc<Self>, bells: Arc<Bells>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = bells.of(Work::Outgoing).notified() => {}
                () = sleep(LOOK_EVERY) => {}
            }
            let read = self.service.store().read(|tx: &mut Tx| Ok::<_, Error>(outgoing::list_lines(tx)?));
            match supervised::round("outgoing", read).await {
                Some(Ok(lines)) => lines.into_iter().for_each(|line| self.wake(line)),
                Some(Err(error)) if supervised::is_news(&error) => {
                    tracing::warn!(%error, "what is to leave the server cannot be read");
                }
                Some(Err(_)) | None => {}
            }
            sleep(LOOK_AFTER_MIN).await;
        }
    }

    /// Lets a line be run that has rows.
    fn wake(self: &Arc<Self>, line: Line) {
        if !self.may_begin(line.shard) {
            return;
        }
        let word = line.queue.split(' ').next().unwrap_or_default();
        let Some(kind) = self.kinds.get(word) else { return };
        let mut lines = self.lines();
        if let Some(bell) = lines.get(&line) {
            bell.notify_one();
            return;
        }
        let bell = Arc::<Notify>::default();
        lines.insert(line.clone(), bell.clone());
        self.running.spawn(Run::new(self.clone(), kind.clone(), line, bell).run());
    }

    /// A line has nothing left. What came in the meantime is met at once.
    fn leave(self: &Arc<Self>, line: &Line) {
        let bell = self.lines().remove(line);
        if bell.is_some_and(|bell| futures_util::FutureExt::now_or_never(bell.notified()).is_some()) {
            self.wake(line.clone());
        }
    }

    fn may_begin(&self, shard: i64) -> bool {
        !self.stop.is_cancelled() && self.owned.may_begin(shard, self.clock.steady())
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Line, Arc<Notify>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chance(&self) -> [u8; 2] {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random()
    }
}
