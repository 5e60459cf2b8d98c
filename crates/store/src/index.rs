//! The index for searches in messages, as rows: what they mean is the affair of whoever searches.
//!
//! Messages are taken in place by place, up to a position; whatever changes one of them later leaves a row here, in its
//! own transaction ([`note_late`]). A place's rows change only with its turn, so of two that write one does nothing.

mod found;
mod walk;

use carillon_model::{Key, MessageKey, Timestamp};

pub use found::{
    End, Fragment, Hit, Member, Slice, find_fragments, find_heads, list_ends, list_hits, list_members,
};
pub use walk::{Walk, Walked, begin, list_recent, list_unwalked, list_walks, set_ending, set_walk};

use crate::engine::values;
use crate::outlets::Alteration;
use crate::row::read;
use crate::{Result, Row, Tx};

/// The part of a run that is its head.
pub const HEAD: i64 = -1;

/// How far a place is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// With which terms.
    pub version: i64,
    /// The last message.
    pub position: MessageKey,
    /// The number of its channel.
    pub sequence: i64,
    /// How often this was written.
    pub turn: i64,
}

/// A place whose messages may not all be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its key.
    pub key: Key,
    /// Its channel.
    pub channel: Key,
    /// The number of its channel.
    pub sequence: i64,
    /// How far it is taken in, if it is at all.
    pub state: Option<State>,
}

fn state(row: &mut Row<'_>) -> Result<Option<State>> {
    let (version, position): (Option<i64>, Option<MessageKey>) = row.read()?;
    let (sequence, turn): (Option<i64>, Option<i64>) = row.read()?;
    let columns = version.zip(position).zip(sequence.zip(turn));
    Ok(columns.map(|((version, position), (sequence, turn))| State { version, position, sequence, turn }))
}

/// A message, as far as it is taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its key.
    pub key: MessageKey,
    /// Who sent it.
    pub sender: Key,
    /// Their id.
    pub sender_id: String,
    /// The one other who may see it.
    pub target: Option<Key>,
    /// What it says to its channel; nothing where it does not, or not yet.
    pub content: Option<String>,
}

/// Messages as [`said`] reads them; the rest of the statement follows.
macro_rules! select_said {
    ($rest:literal) => {
        concat!(
            "SELECT m.key, m.sender, s.id, m.target,
               CASE WHEN m.released = 1 AND m.redacted = 0 THEN m.content END
             FROM message m JOIN identity s ON s.key = m.sender ",
            $rest
        )
    };
}
pub(crate) use select_said;

fn said(row: &mut Row<'_>) -> Result<Said> {
    Ok(Said {
        key: row.read()?,
        sender: row.read()?,
        sender_id: row.read()?,
        target: row.read()?,
        content: row.read()?,
    })
}

/// Up to `limit` messages of a place after this one, the oldest first.
pub fn list_after(tx: &mut Tx, place: Key, after: Option<MessageKey>, limit: i64) -> Result<Vec<Said>> {
    let sql = select_said!("WHERE m.sub_channel = $1 AND $2 < m.key ORDER BY m.key LIMIT $3");
    tx.rows(sql, values![place, after.unwrap_or(MessageKey([0; 32])), limit], said)
}

/// The message with this key.
pub fn find_said(tx: &mut Tx, place: Key, key: MessageKey) -> Result<Option<Said>> {
    tx.row(select_said!("WHERE m.sub_channel = $1 AND m.key = $2"), values![place, key], said)
}

/// The time of the first message of a place that is still there.
pub fn find_first(tx: &mut Tx, place: Key) -> Result<Option<Timestamp>> {
    let sql = "SELECT key FROM message WHERE sub_channel = $1 ORDER BY key LIMIT 1";
    Ok(tx.row(sql, values![place], read::<MessageKey>)?.map(|key| key.created()))
}

/// Notes that a message of an app instance that has an index is about to be changed, or deleted.
pub(crate) fn note_changed(tx: &mut Tx, instance: Option<Key>, place: Key, key: MessageKey) -> Result<()> {
    let is_searched = |instance| tx.outlets().is_some_and(|outlets| outlets.is_searched(instance));
    if instance.is_some_and(is_searched) { note_late(tx, place, key) } else { Ok(()) }
}

/// Notes that a message is about to be changed, or deleted, by whoever changes it in a way of their own.
pub fn note_late(tx: &mut Tx, place: Key, key: MessageKey) -> Result<()> {
    tx.defer(
        "INSERT INTO search_late (place, message, times) VALUES ($1, $2, 1)
         ON CONFLICT (place, message) DO UPDATE SET times = search_late.times + 1",
        values![place, key],
    )
}

/// Up to `limit` messages of a place that were changed, and how often.
pub fn list_late(tx: &mut Tx, place: Key, limit: i64) -> Result<Vec<(MessageKey, i64)>> {
    let sql = "SELECT message, times FROM search_late WHERE place = $1 ORDER BY message LIMIT $2";
    tx.rows(sql, values![place, limit], read)
}

/// A run of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Its level.
    pub level: i64,
    /// Its number.
    pub run: i64,
}

/// A row of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Of which run.
    pub name: Name,
    /// Which part it is.
    pub part: i64,
    /// Between which times the run's messages are, both within.
    pub span: (i64, i64),
    /// What it holds.
    pub body: Vec<u8>,
}

/// All runs of a place, with the times of their messages.
pub fn list_runs(tx: &mut Tx, place: Key) -> Result<Vec<(Name, (i64, i64))>> {
    tx.rows(
        "SELECT level, run, least, greatest FROM search_run
         WHERE place = $1 AND level BETWEEN 0 AND 9 AND part = -1 ORDER BY level, run",
        values![place],
        |row| Ok((Name { level: row.read()?, run: row.read()? }, row.read()?)),
    )
}

/// All rows of a run, its head first.
pub fn read_run(tx: &mut Tx, place: Key, name: Name) -> Result<Vec<Part>> {
    tx.rows(
        "SELECT part, least, greatest, body FROM search_run
         WHERE place = $1 AND level = $2 AND part BETWEEN -1 AND 65535 AND run = $3 ORDER BY part",
        values![place, name.level, name.run],
        |row| Ok(Part { name, part: row.read()?, span: row.read()?, body: row.read()? }),
    )
}

/// The head of a run.
pub fn read_head(tx: &mut Tx, place: Key, name: Name) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT body FROM search_run WHERE place = $1 AND level = $2 AND part = -1 AND run = $3";
    tx.row(sql, values![place, name.level, name.run], read)
}

/// Takes the next turn of a place, which must be as it was seen and whose channel must be there; false where it is not.
/// What follows in the transaction holds with it.
pub fn take_turn(tx: &mut Tx, place: &Place, state: &State) -> Result<bool> {
    crate::claim::hold(tx, place.channel)?;
    let is_there = "SELECT 1 FROM channel c WHERE c.key = $2 AND c.deleted_at IS NULL AND (c.key = $1
         OR EXISTS (SELECT 1 FROM sub_channel s WHERE s.channel = c.key AND s.key = $1))";
    if tx.row(is_there, values![place.key, place.channel], |_| Ok(()))?.is_none() {
        return Ok(false);
    }
    let State { version, position, sequence, turn } = state;
    let taken = match &place.state {
        None => tx.execute(
            "INSERT INTO search_place (place, channel, version, position, sequence, turn)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (place) DO NOTHING",
            values![place.key, place.channel, version, position, sequence, turn],
        )?,
        Some(seen) => tx.execute(
            "UPDATE search_place SET version = $2, position = $3, sequence = $4, turn = $5
             WHERE place = $1 AND turn = $6",
            values![place.key, version, position, sequence, turn, seen.turn],
        )?,
    };
    Ok(taken == 1)
}

/// Adds a row of a run.
pub fn insert(tx: &mut Tx, place: Key, part: &Part) -> Result<()> {
    let (Name { level, run }, (least, greatest)) = (part.name, part.span);
    tx.append(
        "INSERT INTO search_run (place, level, part, run, least, greatest, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        values![place, level, part.part, run, least, greatest, part.body],
    )
}

/// Puts another head into a run.
pub fn set_head(tx: &mut Tx, place: Key, name: Name, body: &[u8]) -> Result<()> {
    let sql = "UPDATE search_run SET body = $4 WHERE place = $1 AND level = $2 AND part = -1 AND run = $3";
    tx.defer(sql, values![place, name.level, name.run, body])
}

/// Takes a run away.
pub fn delete_run(tx: &mut Tx, place: Key, name: Name) -> Result<()> {
    tx.defer(
        "DELETE FROM search_run WHERE place = $1 AND level = $2 AND part BETWEEN -1 AND 65535 AND run = $3",
        values![place, name.level, name.run],
    )
}

/// Takes away the note that a message was changed, unless it was changed again.
pub fn delete_late(tx: &mut Tx, place: Key, (key, times): (MessageKey, i64)) -> Result<()> {
    tx.defer(
        "DELETE FROM search_late WHERE place = $1 AND message = $2 AND times = $3",
        values![place, key, times],
    )
}

/// Forgets up to `limit` rows of what was taken in of a place; answers how many.
pub fn forget_some(tx: &mut Tx, place: Key, limit: i64) -> Result<u64> {
    let runs = tx.execute(
        "DELETE FROM search_run WHERE place = $1 AND (level, part, run) IN
           (SELECT level, part, run FROM search_run WHERE place = $1 ORDER BY level, part, run LIMIT $2)",
        values![place, limit],
    )?;
    if runs != 0 {
        return Ok(runs);
    }
    let late = tx.execute(
        "DELETE FROM search_late WHERE place = $1 AND message IN
           (SELECT message FROM search_late WHERE place = $1 ORDER BY message LIMIT $2)",
        values![place, limit],
    )?;
    if late != 0 {
        return Ok(late);
    }
    tx.execute("DELETE FROM search_place WHERE place = $1", values![place])
}

/// Takes back that anything was taken in: whoever changes messages in a way of their own cannot say which.
pub fn distrust(tx: &mut Tx) -> Result<()> {
    tx.defer("UPDATE search_place SET version = 0 WHERE place <> $1", values![Key([0; 16])])
}

/// Whether an app instance has an index that can be relied on.
pub fn is_kept(tx: &mut Tx, instance: Key) -> Result<bool> {
    let sql = "SELECT 1 FROM search_instance WHERE app_instance = $1 AND is_ending = 0";
    Ok(tx.row(sql, values![instance], |_| Ok(()))?.is_some())
}

/// Takes away what is said of an app instance.
pub fn delete_instance(tx: &mut Tx, instance: Key) -> Result<()> {
    tx.alter_outlet(instance, Alteration::Searched(false));
    tx.defer("DELETE FROM search_instance WHERE app_instance = $1", values![instance])
}
