//! Messages in channel flows: what waits for a processor, since when, and for a while how it ended.
//!
//! Everything that a crash must not lose is here: the snapshot of the flow, the stage, the callback ids, the
//! attempts and the deadline. Whoever calls a processor leases the row first, so that one node does at a time: a lease
//! is a name, and a `due_at` of later. What waits for its call is found by its function, in its order, and a function
//! that nobody may call at present is not asked for: its backlog rests.

use carillon_model::arn::{AppInstanceArn, ChannelArn, Home};
use carillon_model::channel_flow::{FlowPhase, InFlight};
use carillon_model::text::{ChannelMessagePersistenceType, ChannelMessageStatus, StatusDetail};
use carillon_model::{Key, MessageKey, Timestamp};

use crate::engine::{Value, values};
use crate::identity::{any_identity, identity, identity_columns};
use crate::row::{Written, read, read_of, row, sql};
use crate::{Result, Row, Tx, claim};

row! { ($) in_flight_columns:
    fn in_flight(row, instance: &AppInstanceArn) -> InFlight {
        channel, run, sub_channel, message, operation, persistence, said, revised, processors, stage, secret, answered,
        phase, status, detail, accepted_at, updated_at, attempts, tried_since, due_at;
        sender: identity(row, instance)?,
        target: any_identity(row, instance)?
    }
}

/// Rows as [`with_channel`] reads them; the rest of the statement follows.
macro_rules! select {
    ($rest:literal) => {
        sql!("SELECT c.app_instance, c.id, " in_flight_columns!(f) ", " identity_columns!(s) ", " identity_columns!(t)
             " FROM in_flight f JOIN identity s ON s.key = f.sender LEFT JOIN identity t ON t.key = f.target
             JOIN channel c ON c.key = f.channel
             JOIN app_instance a ON a.key = c.app_instance AND a.deleted_at IS NULL " $rest)
    };
}

/// The function of what waited already when functions were not named; each such row is named at its first lease.
pub const UNNAMED: &str = "?";

/// Adds a message to those in flight. What an earlier edit of it left must be gone.
pub fn insert(tx: &mut Tx, one: &InFlight) -> Result<()> {
    let target = one.target.as_ref().map(|target| target.key);
    tx.defer(
        in_flight_columns!(INSERT INTO in_flight (sender, target, function, ..)),
        &one.values(values![one.sender.key, target, to_call(one)]),
    )
}

/// What a change of a message in flight supposes: that nobody else moved it on, nor leased it.
#[derive(Debug, Clone, Copy)]
pub struct Supposed {
    secret: Key,
    phase: FlowPhase,
    lease: Option<Key>,
}

impl Supposed {
    /// That it is as it was read, whoever has leased it.
    pub fn of(one: &InFlight) -> Self {
        Self { secret: one.secret, phase: one.phase, lease: None }
    }

    /// The same, and that its lease is still this one.
    pub fn leased(one: &InFlight, lease: Key) -> Self {
        Self { lease: Some(lease), ..Self::of(one) }
    }
}

/// A change of a message in flight; what it supposes beside the rest follows.
macro_rules! keep {
    ($rest:literal) => {
        concat!(
            "UPDATE in_flight SET said = $3, revised = $4, stage = $5, secret = $6, answered = $7, phase = $8,
               status = $9, detail = $10, updated_at = $11, attempts = $12, tried_since = $13, due_at = $14,
               lease = NULL, function = $17
             WHERE channel = $1 AND run = $2 AND secret = $15 AND phase = $16",
            $rest
        )
    };
}

/// What such a change writes and supposes.
macro_rules! kept {
    ($one:ident, $supposed:ident, $function:ident) => {
        values![
            $one.channel,
            $one.run,
            $one.said,
            $one.revised,
            $one.stage,
            $one.secret,
            $one.answered,
            $one.phase,
            $one.status,
            $one.detail,
            $one.updated_at,
            $one.attempts,
            $one.tried_since,
            $one.due_at,
            $supposed.secret,
            $supposed.phase,
            $function,
        ]
    };
}

/// Writes what changed of a message in flight, and gives its lease back. False when somebody else was faster: what
/// else the transaction did must be undone.
pub fn keep(tx: &mut Tx, one: &InFlight, supposed: Supposed) -> Result<bool> {
    claim::hold(tx, one.channel)?;
    let function = to_call(one);
    let values: &[Value<'_>] = kept!(one, supposed, function);
    let count = match supposed.lease {
        None => tx.execute(keep!(""), values)?,
        Some(lease) => tx.execute(keep!(" AND lease = $18"), &[values, &values![lease][..]].concat())?,
    };
    Ok(count == 1)
}

/// The same for whoever must not lose to others: where somebody else was faster, nothing of the batch stands, and it
/// runs again and sees what they did.
pub fn suppose(tx: &mut Tx, one: &InFlight, supposed: Supposed) -> Result<()> {
    claim::hold(tx, one.channel)?;
    let function = to_call(one);
    tx.suppose(keep!(""), kept!(one, supposed, function))
}

/// The message in flight under this name.
pub fn find(tx: &mut Tx, instance: &AppInstanceArn, channel: Key, run: Key) -> Result<Option<InFlight>> {
    let sql = select!("WHERE f.channel = $1 AND f.run = $2");
    tx.row(sql, values![channel, run], |row| within(row, instance))
}

/// The secret of a callback that is awaited in a channel, where it is.
pub fn find_awaited(tx: &mut Tx, channel: &ChannelArn, (run, secret): (Key, Key)) -> Result<Option<Key>> {
    let sql = "SELECT f.secret FROM channel c JOIN in_flight f ON f.channel = c.key AND f.run = $3
               WHERE c.app_instance = $1 AND c.id = $2 AND c.deleted_at IS NULL AND f.secret = $4 AND f.phase <> $5";
    tx.row(sql, values![channel.app_instance_key(), channel.id(), run, secret, FlowPhase::End], read)
}

/// What is in flight of a message, or was last.
pub fn find_of_message(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    sub_channel: Key,
    message: MessageKey,
) -> Result<Option<InFlight>> {
    let sql = select!("WHERE f.sub_channel = $1 AND f.message = $2");
    tx.row(sql, values![sub_channel, message], |row| within(row, instance))
}

/// How far a message that is not stored has come in its flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Who sent it.
    pub sender: Key,
    /// Whether it is kept.
    pub persistence: ChannelMessagePersistenceType,
    /// How far it has come.
    pub status: ChannelMessageStatus,
    /// Why.
    pub detail: Option<StatusDetail>,
}

/// How far the flow has come with a message.
pub fn find_outcome(tx: &mut Tx, sub_channel: Key, message: MessageKey) -> Result<Option<Outcome>> {
    tx.row(
        "SELECT sender, persistence, status, detail FROM in_flight WHERE sub_channel = $1 AND message = $2",
        values![sub_channel, message],
        |row| {
            let (sender, persistence) = row.read()?;
            Ok(Outcome { sender, persistence, status: row.read()?, detail: row.read()? })
        },
    )
}

// The statements that a backlog must not slow; a test looks at how each engine reads.
pub(crate) const FIND_WAITING: &str =
    "SELECT function, due_at FROM in_flight WHERE function IS NOT NULL AND $1 < function
     ORDER BY function, due_at LIMIT 1";
pub(crate) const LEASE_DUE: &str =
    "UPDATE in_flight SET lease = $1, due_at = $2 WHERE due_at <= $4 AND (channel, run) IN
       (SELECT channel, run FROM in_flight WHERE function = $3 AND due_at <= $4 ORDER BY due_at LIMIT $5)";
pub(crate) const COUNT_SINCE: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM in_flight
       WHERE sub_channel = $1 AND sender = $2 AND $3 <= message LIMIT $4) AS counted";

/// A function that messages wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The function.
    pub function: String,
    /// When the first of them is to be called.
    pub due_at: Timestamp,
}

/// The first function after `after` that messages wait for, in the order of their names.
pub fn find_waiting(tx: &mut Tx, after: &str) -> Result<Option<Waiting>> {
    tx.row(FIND_WAITING, values![after], |row| Ok(Waiting { function: row.read()?, due_at: row.read()? }))
}

/// Leases up to `limit` messages that were to be handed to a function at `due` or before, the longest due first, and
/// shows them with their channels. `lease` is a name that nobody used before. What is left of channels that are no
/// more is met once, and waits for nothing from then on.
pub fn lease_due(
    tx: &mut Tx,
    home: &Home,
    (lease, until): (Key, Timestamp),
    (function, due): (&str, Timestamp),
    limit: i64,
) -> Result<Vec<(ChannelArn, InFlight)>> {
    let leased = tx.execute(LEASE_DUE, values![lease, until, function, due, limit])?;
    if leased == 0 {
        return Ok(Vec::new());
    }
    let sql = select!(
        "WHERE f.function = $1 AND f.due_at = $2 AND f.lease = $3 AND c.deleted_at IS NULL ORDER BY f.message"
    );
    let rows = tx.rows(sql, values![function, until, lease], |row| read_of(row, home, with_channel))?;
    if u64::try_from(rows.len()).is_ok_and(|shown| shown < leased) {
        tx.execute(
            "UPDATE in_flight SET function = NULL WHERE function = $1 AND due_at = $2 AND lease = $3
               AND NOT EXISTS (SELECT 1 FROM channel c JOIN app_instance a ON a.key = c.app_instance
                 WHERE c.key = in_flight.channel AND c.deleted_at IS NULL AND a.deleted_at IS NULL)",
            values![function, until, lease],
        )?;
    }
    Ok(rows)
}

/// A wait that is over, where it stands among all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// When it was over.
    pub due_at: Timestamp,
    /// The channel.
    pub channel: Key,
    /// The name of the message in flight.
    pub run: Key,
}

impl Overdue {
    /// Before all of them.
    pub const FIRST: Self = Self { due_at: Timestamp::from_ms(0), channel: Key([0; 16]), run: Key([0; 16]) };
}

/// Up to `limit` messages whose processor did not call back in time, the longest overdue first, but for those up to
/// `after`.
pub fn list_overdue(
    tx: &mut Tx,
    home: &Home,
    now: Timestamp,
    (after, limit): (Overdue, i64),
) -> Result<Vec<(ChannelArn, Overdue)>> {
    tx.rows(
        "SELECT f.due_at, f.channel, f.run, c.id, c.app_instance
         FROM in_flight f JOIN channel c ON c.key = f.channel AND c.deleted_at IS NULL
         JOIN app_instance a ON a.key = c.app_instance AND a.deleted_at IS NULL
         WHERE f.phase = 'WAIT' AND f.due_at <= $1 AND $2 <= f.due_at AND ($2, $3, $4) < (f.due_at, f.channel, f.run)
         ORDER BY f.due_at, f.channel, f.run LIMIT $5",
        values![now, after.due_at, after.channel, after.run, limit],
        |row| {
            let overdue = Overdue { due_at: row.read()?, channel: row.read()?, run: row.read()? };
            let id: String = row.read()?;
            Ok((home.app_instance(row.read()?).channel(&id), overdue))
        },
    )
}

/// How many messages someone sent into the flows of a sub-channel from this key on, those edited since among them,
/// counting no further than `most`.
pub fn count_since(tx: &mut Tx, sub_channel: Key, sender: Key, least: MessageKey, most: i64) -> Result<i64> {
    let counted = tx.row(COUNT_SINCE, values![sub_channel, sender, least, most], read)?;
    Ok(counted.unwrap_or_default())
}

/// Forgets what a flow did with a message.
pub fn delete_of_message(tx: &mut Tx, sub_channel: Key, message: MessageKey) -> Result<()> {
    let sql = "DELETE FROM in_flight WHERE sub_channel = $1 AND message = $2";
    tx.defer(sql, values![sub_channel, message])
}

/// Forgets up to `limit` outcomes whose time is over; answers how many.
pub fn delete_old(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM in_flight WHERE (channel, run) IN
           (SELECT channel, run FROM in_flight WHERE phase = 'END' AND due_at <= $1 ORDER BY due_at LIMIT $2)",
        values![now, limit],
    )
}

/// Forgets up to `limit` messages of a channel that is no more; answers how many.
pub fn delete_some(tx: &mut Tx, channel: Key, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM in_flight WHERE channel = $1 AND run IN
           (SELECT run FROM in_flight WHERE channel = $1 ORDER BY run LIMIT $2)",
        values![channel, limit],
    )
}

/// Forgets up to `limit` messages of a sub-channel that is no more; answers how many.
pub fn delete_of_sub_channel(tx: &mut Tx, sub_channel: Key, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM in_flight WHERE sub_channel = $1 AND message IN
           (SELECT message FROM in_flight WHERE sub_channel = $1 ORDER BY message LIMIT $2)",
        values![sub_channel, limit],
    )
}

/// Forgets up to `limit` messages of a channel, its sub-channels among it, with keys below `bound`.
pub fn delete_before(tx: &mut Tx, channel: Key, bound: MessageKey, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM in_flight WHERE (sub_channel, message) IN (
           SELECT sub_channel, message FROM in_flight
           WHERE sub_channel IN (
             SELECT key FROM channel WHERE key = $1 UNION SELECT key FROM sub_channel WHERE channel = $1)
             AND message < $2
           LIMIT $3)",
        values![channel, bound, limit],
    )
}

/// Reads what is in flight in a channel that is known.
fn within(row: &mut Row<'_>, instance: &AppInstanceArn) -> Result<InFlight> {
    let (_, _): (Key, String) = row.read()?;
    in_flight(row, instance)
}

fn with_channel(row: &mut Row<'_>, instance: &AppInstanceArn) -> Result<(ChannelArn, InFlight)> {
    let id: String = row.read()?;
    Ok((instance.channel(&id), in_flight(row, instance)?))
}

/// The function that is to be called with a message now.
fn to_call(one: &InFlight) -> Option<&str> {
    let waits = one.phase == FlowPhase::HandOver;
    one.processor().filter(|_| waits).map(|processor| processor.function.as_str())
}
