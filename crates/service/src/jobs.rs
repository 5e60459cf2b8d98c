//! What the clock starts: each job is a value that says how often it looks, what it looks for, and what a step on one
//! found thing does.
//!
//! A round looks in reads, and steps in short transactions of bounded size; doing a step twice, or on two nodes at
//! once, does no harm. [`crate::front::rounds`] drives rounds, for the server and for tests alike; the server owns the
//! ticking. To add a job: a file with its `JOB`, and a line in [`ALL`].

pub(crate) mod balance;
pub(crate) mod destroy;
pub(crate) mod erase;
pub(crate) mod expire_channels;
pub(crate) mod expire_users;
pub(crate) mod flow_deadlines;
pub(crate) mod index;
pub(crate) mod leave_channels;
pub(crate) mod retention;
pub(crate) mod trim_flows;
pub(crate) mod trim_outbox;
pub(crate) mod trim_tokens;

use std::sync::Arc;
use std::time::Duration;

use carillon_model::Key;
use carillon_model::arn::Home;
use carillon_store::{self as store, Lane, Tx, Work};

use crate::call::Call;
use crate::error::Result;

/// How often what is old or deleted is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How often a whole table is looked through. The interface promises that what expires is gone within six hours.
const WALK_EVERY: Duration = Duration::from_hours(1);
/// Rows that a look finds, or a step deletes, so that it never holds a send up.
const STEP_LEN_MAX: i64 = 500;
/// How long an event stays in the outbox.
pub const OUTBOX_WINDOW_MS: i64 = 15 * 60 * 1000;
/// Where a walk over keys begins.
const FIRST: Key = Key([0; 16]);

/// All jobs, in the order in which a moved clock runs them: what expires first, then what is left of it.
pub static ALL: [Job; 12] = [
    flow_deadlines::JOB,
    expire_channels::JOB,
    expire_users::JOB,
    leave_channels::JOB,
    retention::JOB,
    trim_flows::JOB,
    trim_tokens::JOB,
    trim_outbox::JOB,
    balance::JOB,
    destroy::JOB,
    erase::JOB,
    index::JOB,
];

/// A job.
#[derive(Debug)]
pub struct Job {
    /// Its name, which is its lease's.
    pub name: &'static str,
    /// How often it begins a round.
    pub every: Duration,
    /// What commit begins one at once.
    pub woken_by: Option<Work>,
    /// Begins to look for what is due.
    pub(crate) find: fn(&mut Tx, &Turn) -> Result<Found>,
}

/// What a look and a step are given: a call that has nobody behind it, and how much they may do.
pub(crate) struct Turn {
    pub(crate) call: Call,
    /// Rows that a look or a step handles at most.
    pub(crate) rows_max: i64,
}

impl Turn {
    fn home(&self) -> &Home {
        &self.call.surroundings.home
    }

    /// How many of so many rows may be handled.
    fn at_most(&self, rows: i64) -> i64 {
        rows.min(self.rows_max)
    }
}

/// Goes on with a look where the one before it ended.
pub(crate) type Find = Box<dyn Fn(&mut Tx, &Turn) -> Result<Found> + Send>;

/// What a look found.
#[derive(Default)]
pub(crate) struct Found {
    /// What is due.
    pub(crate) due: Vec<Thing>,
    /// Rows that could not be read. They keep no other waiting, and are looked at again in the next round.
    pub(crate) unreadable: u64,
    /// Where to go on, or nothing at the end.
    pub(crate) next: Option<Find>,
}

impl Found {
    /// All this to step on.
    fn all(due: impl IntoIterator<Item = Thing>) -> Self {
        Self { due: due.into_iter().collect(), ..Self::default() }
    }

    /// Something to step on, in any case.
    fn one(thing: Thing) -> Self {
        Self::all([thing])
    }

    /// The same, going on there.
    fn then(mut self, next: impl Fn(&mut Tx, &Turn) -> Result<Self> + Send + 'static) -> Self {
        self.next = Some(Box::new(next));
        self
    }

    /// What could be read of these rows.
    fn readable<T>(&mut self, what: &'static str, rows: Vec<(Key, store::Result<T>)>) -> Vec<T> {
        let keep = |(key, read): (Key, store::Result<T>)| {
            read.inspect_err(|error| {
                self.unreadable += 1;
                tracing::error!(what, %key, %error, "a row cannot be read; a job goes on without it");
            })
            .ok()
        };
        rows.into_iter().filter_map(keep).collect()
    }
}

/// Something that a job has to do something about, step by step.
pub(crate) struct Thing {
    /// In which lane.
    pub(crate) lane: Lane,
    /// What it is, for the log.
    pub(crate) name: String,
    /// Under which name the audit log has that it was ended, and as which resource; nothing where no line is due.
    pub(crate) said_as: Option<(&'static str, &'static str)>,
    /// A short transaction.
    pub(crate) step: Step,
}

/// A step, which may run more than once: only what it did last stands.
pub(crate) type Step = Arc<dyn Fn(&mut Tx, &Turn) -> Result<Progress> + Send + Sync>;

impl Thing {
    fn new(
        lane: Lane,
        name: impl Into<String>,
        step: impl Fn(&mut Tx, &Turn) -> Result<Progress> + Send + Sync + 'static,
    ) -> Self {
        Self { lane, name: name.into(), said_as: None, step: Arc::new(step) }
    }
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing is left to do about it.
    Done,
    /// Something may be left.
    More,
    /// It is not due any more: something happened in between.
    Passed,
}

impl Progress {
    /// After as many rows were handled as may be, there may be more.
    fn after(rows: u64, rows_max: i64) -> Self {
        if rows_max.unsigned_abs() <= rows { Self::More } else { Self::Done }
    }
}

#[cfg(test)]
mod tests;
