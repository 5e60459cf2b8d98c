//! The outbox: the event of every change, written in the transaction that made it.
//!
//! Live delivery takes a copy after the commit and does not read it. A session that resumes does, and whatever must
//! not be lost in a crash (streams, push, other nodes) will. Rows older than a named window are deleted.

use carillon_model::event::{Audience, Change, Event, named};
use carillon_model::{Key, Timestamp, json};

use crate::engine::values;
use crate::row::read;
use crate::{Error, Result, Row, Tx};

/// Adds an event.
pub(crate) fn insert(tx: &mut Tx, event: &Event) -> Result<()> {
    let audience = json::to_string(&event.audience).expect("keys and flags always serialize");
    let changes = (!event.changes.is_empty())
        .then(|| serde_json::to_string(&event.changes).expect("keys and flags always serialize"));
    let (departed, named) = strangers(event);
    tx.append(
        "INSERT INTO outbox (channel, sequence, at, kind, message_type, audience, change, payload, message,
           reason, departed, named)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        values![
            event.channel,
            event.sequence,
            event.at,
            event.kind,
            event.message_type,
            audience,
            changes,
            event.payload,
            event.message,
            event.reason,
            departed,
            named,
        ],
    )
}

/// Those whom an event tells and whom no membership may lead to it, at most two: whoever it takes out of its channel
/// without putting them elsewhere in it, and the sender and the target of a message that something becomes of, who may
/// have left long before.
fn strangers(event: &Event) -> (Option<Key>, Option<Key>) {
    let users = &event.audience.users[..];
    match (&event.changes[..], users) {
        ([Change::Left { member, .. }], _) => (Some(*member), None),
        (_, [first, rest @ ..]) if event.message.is_some() => (Some(*first), rest.first().copied()),
        _ => (None, None),
    }
}

/// The time of the latest event; the beginning of time where there is none.
pub(crate) fn find_latest(tx: &mut Tx) -> Result<Timestamp> {
    let latest = tx.row("SELECT MAX(at) FROM outbox", &[], read)?;
    Ok(latest.flatten().unwrap_or(Timestamp::from_ms(0)))
}

/// Up to `limit` channels in which something happened since `since` that concerns someone who belongs there, or
/// belonged there until then, or is told though they left before.
pub fn list_channels(tx: &mut Tx, member: Key, since: Timestamp, limit: i64) -> Result<Vec<Key>> {
    tx.rows(
        "SELECT m.channel FROM membership m JOIN channel c ON c.key = m.channel
         WHERE m.member = $1 AND $2 <= c.clock
         UNION
         SELECT channel FROM outbox WHERE departed = $1 AND $2 <= at
         UNION
         SELECT channel FROM outbox WHERE named = $1 AND $2 <= at
         LIMIT $3",
        values![member, since, limit],
        read,
    )
}

/// Up to `limit` channels of which someone was told since `since` because they left, or because something became of a
/// message, each with the number of its latest event.
pub fn list_left(tx: &mut Tx, user: Key, since: Timestamp, limit: i64) -> Result<Vec<(Key, i64)>> {
    tx.rows(
        "SELECT c.key, c.sequence FROM outbox o JOIN channel c ON c.key = o.channel
         WHERE o.departed = $1 AND $2 <= o.at
         UNION
         SELECT c.key, c.sequence FROM outbox o JOIN channel c ON c.key = o.channel
         WHERE o.named = $1 AND $2 <= o.at
         LIMIT $3",
        values![user, since, limit],
        read,
    )
}

/// Up to `limit` events of a channel before the number `before`, the latest first, without what they say.
pub fn list_back(tx: &mut Tx, channel: Key, before: i64, limit: i64) -> Result<Vec<Event>> {
    tx.rows(
        "SELECT sequence, at, kind, message_type, audience, change, '', message, reason FROM outbox
         WHERE channel = $1 AND sequence < $2 ORDER BY sequence DESC LIMIT $3",
        values![channel, before, limit],
        |row| event(row, channel),
    )
}

/// Up to `limit` events of a channel after the number `after`, in their order.
pub fn list(tx: &mut Tx, channel: Key, after: i64, limit: i64) -> Result<Vec<Event>> {
    tx.rows(
        "SELECT sequence, at, kind, message_type, audience, change, payload, message, reason FROM outbox
         WHERE channel = $1 AND $2 < sequence ORDER BY sequence LIMIT $3",
        values![channel, after, limit],
        |row| event(row, channel),
    )
}

/// The number of the latest event of a channel before a time; zero where there is none.
pub fn find_before(tx: &mut Tx, channel: Key, before: Timestamp) -> Result<i64> {
    let sql = "SELECT sequence FROM outbox WHERE channel = $1 AND at < $2 ORDER BY sequence DESC LIMIT 1";
    Ok(tx.row(sql, values![channel, before], read)?.unwrap_or(0))
}

/// Where a walk over the events of all channels is: at this time, in this channel, at this number.
pub type Position = (Timestamp, Key, i64);

/// Before the first event of this time.
pub fn at(since: Timestamp) -> Position {
    (since, Key([0; 16]), 0)
}

/// What can be said of every event, also of one that this version cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Where it is among all.
    pub position: Position,
    /// Those whom it names, or moves; nothing where that cannot be read either.
    pub named: Option<Vec<Key>>,
}

/// Up to `limit` events of all channels after `from`, by their times.
pub fn list_all(tx: &mut Tx, from: Position, limit: i64) -> Result<Vec<Trace>> {
    let (since, channel, sequence) = from;
    tx.rows(
        "SELECT at, channel, sequence, audience, change FROM outbox
         WHERE $1 <= at AND ($1, $2, $3) < (at, channel, sequence) ORDER BY at, channel, sequence LIMIT $4",
        values![since, channel, sequence, limit],
        trace,
    )
}

/// The event of a channel that follows the number `after`.
pub fn find_next(tx: &mut Tx, channel: Key, after: i64) -> Result<Option<Trace>> {
    tx.row(
        "SELECT at, channel, sequence, audience, change FROM outbox
         WHERE channel = $1 AND $2 < sequence ORDER BY sequence LIMIT 1",
        values![channel, after],
        trace,
    )
}

fn trace(row: &mut Row<'_>) -> Result<Trace> {
    let (position, (audience, changes)) = (row.read()?, row.read::<(String, Option<String>)>()?);
    let audience = serde_json::from_str::<Audience>(&audience).ok();
    let changes =
        changes.map_or(Some(Vec::new()), |changes| serde_json::from_str::<Vec<Change>>(&changes).ok());
    let named = audience.zip(changes).map(|(audience, changes)| named(&audience, &changes).collect());
    Ok(Trace { position, named })
}

fn event(row: &mut Row<'_>, channel: Key) -> Result<Event> {
    let json = |error: serde_json::Error| Error::broken(format!("a stored event is not JSON: {error}"));
    let (sequence, at, kind) = row.read()?;
    let (message_type, audience, changes): (_, String, Option<String>) = row.read()?;
    Ok(Event {
        channel,
        sequence,
        at,
        kind,
        message_type,
        audience: serde_json::from_str(&audience).map_err(json)?,
        changes: changes
            .map(|changes| serde_json::from_str(&changes).map_err(json))
            .transpose()?
            .unwrap_or_default(),
        payload: row.read()?,
        message: row.read()?,
        reason: row.read()?,
    })
}

/// Puts `event` in place of what the earlier events of its message said, so that no later reader of the outbox
/// learns what was erased.
pub fn erase_message(tx: &mut Tx, event: &Event) -> Result<()> {
    let Some(message) = event.message else { return Ok(()) };
    tx.defer(
        "UPDATE outbox SET payload = $3 WHERE channel = $1 AND sequence = $2 AND kind = 'CREATE_CHANNEL_MESSAGE'",
        values![event.channel, message.sequence(), event.payload],
    )?;
    tx.defer(
        "UPDATE outbox SET payload = $3 WHERE channel = $1 AND message = $2",
        values![event.channel, message, event.payload],
    )
}

/// Deletes up to `limit` events from before `before`; answers how many.
pub fn delete_old(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM outbox WHERE (channel, sequence) IN
           (SELECT channel, sequence FROM outbox WHERE at < $1 ORDER BY at LIMIT $2)",
        values![before, limit],
    )
}
