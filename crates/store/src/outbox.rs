//! The outbox: the event of every change, written in the transaction that made it.
//!
//! Live delivery takes a copy after the commit and does not read it; whatever must not be lost in a crash
//! (streams, push, other nodes) will. Rows older than a named window are deleted.

use carillon_model::event::Event;
use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::{Error, Result, Tx};

/// Adds an event.
pub(crate) fn insert(tx: &mut Tx, event: &Event) -> Result<()> {
    let audience = serde_json::to_string(&event.audience).expect("keys and flags always serialize");
    let changes = (!event.changes.is_empty())
        .then(|| serde_json::to_string(&event.changes).expect("keys and flags always serialize"));
    tx.defer(
        "INSERT INTO outbox (channel, sequence, at, kind, message_type, audience, change, payload, message,
           reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
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
            event.reason
        ],
    )
}

/// Up to `limit` events of a channel after the number `after`, in their order.
pub fn list(tx: &mut Tx, channel: Key, after: i64, limit: i64) -> Result<Vec<Event>> {
    let json = |error: serde_json::Error| Error::broken(format!("a stored event is not JSON: {error}"));
    tx.rows(
        "SELECT sequence, at, kind, message_type, audience, change, payload, message, reason FROM outbox
         WHERE channel = $1 AND $2 < sequence ORDER BY sequence LIMIT $3",
        values![channel, after, limit],
        |row| {
            let (audience, changes): (String, Option<String>) = (row.get(4)?, row.get(5)?);
            Ok(Event {
                channel,
                sequence: row.get(0)?,
                at: row.get(1)?,
                kind: row.get(2)?,
                message_type: row.get(3)?,
                audience: serde_json::from_str(&audience).map_err(json)?,
                changes: changes
                    .map(|changes| serde_json::from_str(&changes).map_err(json))
                    .transpose()?
                    .unwrap_or_default(),
                payload: row.get(6)?,
                message: row.get(7)?,
                reason: row.get(8)?,
            })
        },
    )
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
