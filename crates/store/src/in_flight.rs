//! Messages in channel flows: what waits for a processor, since when, and for a while how it ended.
//!
//! Everything that a crash must not lose is here: the snapshot of the flow, the stage, the callback ids, the
//! attempts and the deadline. Whoever calls a processor leases the row first, so that one node does at a time: a lease
//! is a name, and a `due_at` of later. What waits for its call is found by its function, in its order, and a function
//! that nobody may call at present is not asked for: its backlog rests.

use carillon_model::arn::{AppInstanceArn, ChannelArn, Home};
use carillon_model::channel_flow::{FlowPhase, InFlight, Revision};
use carillon_model::text::{ChannelMessagePersistenceType, ChannelMessageStatus, StatusDetail};
use carillon_model::{Key, MessageKey, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::{Row, values};
use crate::{Error, Result, Tx, identity};

/// The columns of a row as `in_flight` reads it, and where they come from; the rest of the statement follows.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT f.channel, f.run, f.sub_channel, f.message, f.operation, f.persistence, f.said, f.revised, ",
            "f.processors, f.stage, f.secret, f.answered, f.phase, f.status, f.detail, f.accepted_at, ",
            "f.updated_at, f.attempts, f.tried_since, f.due_at, s.key, s.kind, s.id, s.name, ",
            "t.key, t.kind, t.id, t.name, c.id, c.app_instance ",
            "FROM in_flight f JOIN identity s ON s.key = f.sender LEFT JOIN identity t ON t.key = f.target ",
            "JOIN channel c ON c.key = f.channel ",
            "JOIN app_instance a ON a.key = c.app_instance AND a.deleted_at IS NULL ",
            $rest
        )
    };
}

/// The function of what waited already when functions were not named; each such row is named at its first lease.
pub const UNNAMED: &str = "?";

/// Adds a message to those in flight. What an earlier edit of it left must be gone.
pub fn insert(tx: &mut Tx, one: &InFlight) -> Result<()> {
    tx.defer(
        "INSERT INTO in_flight (channel, run, sub_channel, message, operation, persistence, sender, target, said,
           revised, processors, stage, secret, answered, phase, status, detail, accepted_at, updated_at, attempts,
           tried_since, due_at, function)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
           $22, $23)",
        values![
            one.channel,
            one.run,
            one.sub_channel,
            one.message,
            one.operation,
            one.persistence,
            one.sender.key,
            one.target.as_ref().map(|target| target.key),
            json(&one.said),
            one.revised.as_ref().map(json),
            json(&one.processors),
            stage(one),
            one.secret,
            json(&one.answered),
            one.phase,
            one.status,
            one.detail,
            one.accepted_at,
            one.updated_at,
            one.attempts,
            one.tried_since,
            one.due_at,
            to_call(one),
        ],
    )
}

/// What a change of a message in flight supposes: that nobody else moved it on.
#[derive(Debug, Clone, Copy)]
pub struct Supposed {
    secret: Key,
    phase: FlowPhase,
}

impl Supposed {
    /// That it is as it was read.
    pub fn of(one: &InFlight) -> Self {
        Self { secret: one.secret, phase: one.phase }
    }
}

/// Writes what changed of a message in flight, and gives its lease back. False when somebody else was faster: what
/// else the transaction did must be undone.
pub fn keep(tx: &mut Tx, one: &InFlight, supposed: Supposed) -> Result<bool> {
    let count = tx.execute(
        "UPDATE in_flight SET said = $3, revised = $4, stage = $5, secret = $6, answered = $7, phase = $8,
           status = $9, detail = $10, updated_at = $11, attempts = $12, tried_since = $13, due_at = $14,
           lease = NULL, function = $17
         WHERE channel = $1 AND run = $2 AND secret = $15 AND phase = $16",
        values![
            one.channel,
            one.run,
            json(&one.said),
            one.revised.as_ref().map(json),
            stage(one),
            one.secret,
            json(&one.answered),
            one.phase,
            one.status,
            one.detail,
            one.updated_at,
            one.attempts,
            one.tried_since,
            one.due_at,
            supposed.secret,
            supposed.phase,
            to_call(one),
        ],
    )?;
    Ok(count == 1)
}

/// The message in flight under this name.
pub fn find(tx: &mut Tx, instance: &AppInstanceArn, channel: Key, run: Key) -> Result<Option<InFlight>> {
    let sql = select!("WHERE f.channel = $1 AND f.run = $2");
    tx.row(sql, values![channel, run], |row| in_flight(row, instance))
}

/// What is in flight of a message, or was last.
pub fn find_of_message(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    sub_channel: Key,
    message: MessageKey,
) -> Result<Option<InFlight>> {
    let sql = select!("WHERE f.sub_channel = $1 AND f.message = $2");
    tx.row(sql, values![sub_channel, message], |row| in_flight(row, instance))
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
            Ok(Outcome {
                sender: row.get(0)?,
                persistence: row.get(1)?,
                status: row.get(2)?,
                detail: row.get(3)?,
            })
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
    tx.row(FIND_WAITING, values![after], |row| Ok(Waiting { function: row.get(0)?, due_at: row.get(1)? }))
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
    let rows = tx.rows(sql, values![function, until, lease], |row| with_channel(row, home))?;
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

/// Up to `limit` messages whose processor did not call back in time, the longest overdue first, but for the first
/// `skip`; of a row that cannot be read, why.
pub fn list_overdue(
    tx: &mut Tx,
    home: &Home,
    now: Timestamp,
    (skip, limit): (i64, i64),
) -> Result<Vec<Result<(ChannelArn, InFlight)>>> {
    let sql = select!(
        "WHERE f.phase = 'WAIT' AND f.due_at <= $1 AND c.deleted_at IS NULL
         ORDER BY f.due_at, f.channel, f.run LIMIT $2 OFFSET $3"
    );
    tx.rows(sql, values![now, limit, skip], |row| Ok(with_channel(row, home)))
}

/// How many messages someone sent into the flows of a sub-channel from this key on, those edited since among them,
/// counting no further than `most`.
pub fn count_since(tx: &mut Tx, sub_channel: Key, sender: Key, least: MessageKey, most: i64) -> Result<i64> {
    let counted = tx.row(COUNT_SINCE, values![sub_channel, sender, least, most], |row| row.get(0))?;
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

fn with_channel(row: &Row<'_>, home: &Home) -> Result<(ChannelArn, InFlight)> {
    let (id, instance): (String, Key) = (row.get(28)?, row.get(29)?);
    let instance = home.app_instance(instance);
    Ok((instance.channel(&id), in_flight(row, &instance)?))
}

fn in_flight(row: &Row<'_>, instance: &AppInstanceArn) -> Result<InFlight> {
    let stage: i64 = row.get(9)?;
    Ok(InFlight {
        channel: row.get(0)?,
        run: row.get(1)?,
        sub_channel: row.get(2)?,
        message: row.get(3)?,
        operation: row.get(4)?,
        persistence: row.get(5)?,
        said: read(&row.get::<String>(6)?)?,
        revised: row.get::<Option<String>>(7)?.map(|text| read::<Revision>(&text)).transpose()?,
        processors: read(&row.get::<String>(8)?)?,
        stage: usize::try_from(stage).map_err(|_| Error::broken("a stored stage is negative"))?,
        secret: row.get(10)?,
        answered: read(&row.get::<String>(11)?)?,
        phase: row.get(12)?,
        status: row.get(13)?,
        detail: row.get(14)?,
        accepted_at: row.get(15)?,
        updated_at: row.get(16)?,
        attempts: row.get(17)?,
        tried_since: row.get(18)?,
        due_at: row.get(19)?,
        sender: identity::identity(row, instance, 20)?,
        target: row.get::<Option<Key>>(24)?.map(|_| identity::identity(row, instance, 24)).transpose()?,
    })
}

fn stage(one: &InFlight) -> i64 {
    i64::try_from(one.stage).expect("a flow has at most three processors")
}

/// The function that is to be called with a message now.
fn to_call(one: &InFlight) -> Option<&str> {
    let waits = one.phase == FlowPhase::HandOver;
    one.processor().filter(|_| waits).map(|processor| processor.function.as_str())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts, keys and lists always serialize")
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::broken(format!("what is stored of a message in flight is not JSON: {error}")))
}
