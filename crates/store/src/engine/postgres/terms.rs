//! What holds for a connection: how it plans, and for how long the server waits.

use std::time::Duration;

use crate::engine::Kind;

/// What a connection is to be set to, by name.
pub(super) type Terms = Vec<(&'static str, String)>;

/// How long the server lets a statement run. Ours take milliseconds; only migrations are free of it.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the server lets a statement wait for a lock. Lanes share rows only at the end of a batch, so this is for
/// locks of others than this program. It is longer than PostgreSQL's `deadlock_timeout`, so that it hides no deadlock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for a job, which locks what is old or deleted wherever that is, and gives way to whoever needs it.
const JOB_LOCK_TIMEOUT: Duration = Duration::from_millis(200);
/// How long the server lets a transaction be idle. A process that is stopped must not keep its locks.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// What holds for every connection. A commit that is answered is on disk, whatever the database's default. Our
/// statements fetch few rows, each by an index; what the planner believes of a table that grows is old, and must not
/// make a scan of it look cheap: it did, and adding members took five times as long until statistics came.
const SETTINGS: [(&str, &str); 5] = [
    ("synchronous_commit", "on"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// How long the server waits, for each thing that it would wait for.
pub(super) const TIMEOUTS: [(&str, Duration); 3] = [
    ("statement_timeout", STATEMENT_TIMEOUT),
    ("lock_timeout", LOCK_TIMEOUT),
    ("idle_in_transaction_session_timeout", IDLE_TIMEOUT),
];

/// What the connections of such a worker are set to.
pub(super) fn terms(kind: Kind) -> Terms {
    let settings = SETTINGS.map(|(name, value)| (name, value.to_owned()));
    let timeouts = TIMEOUTS.map(|(name, after)| match name {
        "lock_timeout" if kind == Kind::Job => (name, JOB_LOCK_TIMEOUT),
        _ => (name, after),
    });
    settings.into_iter().chain(timeouts.map(|(name, after)| (name, after.as_millis().to_string()))).collect()
}
