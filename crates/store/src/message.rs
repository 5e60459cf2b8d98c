//! Messages.

use carillon_model::arn::AppInstanceArn;
use carillon_model::message::Message;
use carillon_model::text::{ChannelMessageStatus, SortOrder, StatusDetail};
use carillon_model::{Key, MessageKey, Timestamp};

use crate::engine::{Query, Value, values};
use crate::identity::{any_identity, identity, identity_columns};
use crate::row::{Written, read, row, sql};
use crate::{Result, Tx, index};

row! { ($) message_columns:
    fn message(row, instance: &AppInstanceArn) -> Message {
        sub_channel, key, channel, kind, persistence, status, status_detail, content, metadata, content_type,
        attributes, redacted, edited_at, updated_at, released;
        sender: identity(row, instance)?,
        target: any_identity(row, instance)?
    }
}

/// Messages as [`message`] reads them; the rest of the statement follows.
macro_rules! select {
    ($rest:literal) => {
        sql!("SELECT " message_columns!(m) ", " identity_columns!(s) ", " identity_columns!(t)
             " FROM message m JOIN identity s ON s.key = m.sender LEFT JOIN identity t ON t.key = m.target " $rest)
    };
}

/// Adds a message; `push_notification` is what its push will say, as JSON.
pub fn insert(tx: &mut Tx, message: &Message, push_notification: Option<&str>) -> Result<()> {
    let target = message.target.as_ref().map(|target| target.key);
    tx.append(
        message_columns!(INSERT INTO message (sender, target, push_notification, ..)),
        &message.values(values![message.sender.key, target, push_notification]),
    )
}

/// The message with this key.
pub fn find(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    sub_channel: Key,
    key: MessageKey,
) -> Result<Option<Message>> {
    let sql = select!("WHERE m.sub_channel = $1 AND m.key = $2");
    tx.row(sql, values![sub_channel, key], |row| message(row, instance))
}

/// The messages with these keys in these places, each of which is there.
pub fn find_all(tx: &mut Tx, instance: &AppInstanceArn, at: &[(Key, MessageKey)]) -> Result<Vec<Message>> {
    let query = |(place, key): &(Key, MessageKey)| Query {
        sql: select!("WHERE m.sub_channel = $1 AND m.key = $2"),
        values: values![place, key].iter().map(Value::to_owned).collect(),
    };
    let queries: Vec<Query> = at.iter().map(query).collect();
    let mut found = Vec::with_capacity(at.len());
    if !queries.is_empty() {
        tx.rows_of_all(&queries, &mut |_, row| {
            found.push(message(row, instance)?);
            Ok(())
        })?;
    }
    Ok(found)
}

/// How far a message has come, and for whom that is to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Who sent it.
    pub sender: Key,
    /// How far it has come.
    pub status: ChannelMessageStatus,
    /// Why.
    pub detail: Option<StatusDetail>,
}

/// How far the message with this key has come: one read by the primary key.
pub fn find_status(tx: &mut Tx, sub_channel: Key, key: MessageKey) -> Result<Option<Status>> {
    if let Some(asked) = tx.looked().take_status(sub_channel, key) {
        return Ok(asked.found);
    }
    tx.row(
        "SELECT sender, status, status_detail FROM message WHERE sub_channel = $1 AND key = $2",
        values![sub_channel, key],
        |row| Ok(Status { sender: row.read()?, status: row.read()?, detail: row.read()? }),
    )
}

/// What the push notification of a message will say, as JSON.
pub fn find_push_notification(tx: &mut Tx, sub_channel: Key, key: MessageKey) -> Result<Option<String>> {
    let sql = "SELECT push_notification FROM message WHERE sub_channel = $1 AND key = $2";
    Ok(tx.row(sql, values![sub_channel, key], read)?.flatten())
}

/// Notes how far a message has come. Once the channel was shown it, the time of its last change is that of what
/// everyone sees.
pub fn set_status(
    tx: &mut Tx,
    (sub_channel, key): (Key, MessageKey),
    status: ChannelMessageStatus,
    detail: Option<&StatusDetail>,
    at: Timestamp,
) -> Result<()> {
    tx.defer(
        "UPDATE message SET status = $3, status_detail = $4,
           updated_at = CASE WHEN released = 0 THEN $5 ELSE updated_at END
         WHERE sub_channel = $1 AND key = $2",
        values![sub_channel, key, status, detail, at],
    )
}

/// Shows a message to the channel as its flow left it; false where it is no longer there.
pub fn release(tx: &mut Tx, message: &Message, push_notification: Option<&str>) -> Result<bool> {
    note_changed(tx, message)?;
    let count = tx.execute(
        "UPDATE message SET released = 1, status = $3, status_detail = NULL, content = $4, metadata = $5,
           content_type = $6, attributes = $7, push_notification = $8, edited_at = $9, updated_at = $10
         WHERE sub_channel = $1 AND key = $2",
        values![
            message.sub_channel,
            message.key,
            message.status,
            message.content,
            message.metadata,
            message.content_type,
            message.attributes,
            push_notification,
            message.edited_at,
            message.updated_at,
        ],
    )?;
    Ok(count == 1)
}

/// Writes what an edit or a redaction changed of a message. A redacted one says nothing any more, nor does its
/// push notification.
pub fn revise(tx: &mut Tx, message: &Message) -> Result<()> {
    note_changed(tx, message)?;
    tx.defer(
        "UPDATE message SET content = $3, metadata = $4, content_type = $5, edited_at = $6, updated_at = $7,
           status = $8, status_detail = $9
         WHERE sub_channel = $1 AND key = $2",
        values![
            message.sub_channel,
            message.key,
            message.content,
            message.metadata,
            message.content_type,
            message.edited_at,
            message.updated_at,
            message.status,
            message.status_detail,
        ],
    )?;
    if !message.redacted {
        return Ok(());
    }
    tx.defer(
        "UPDATE message SET redacted = 1, attributes = NULL, push_notification = NULL
         WHERE sub_channel = $1 AND key = $2",
        values![message.sub_channel, message.key],
    )
}

/// Takes a message away.
pub fn delete(tx: &mut Tx, message: &Message) -> Result<()> {
    note_changed(tx, message)?;
    let sql = "DELETE FROM message WHERE sub_channel = $1 AND key = $2";
    tx.defer(sql, values![message.sub_channel, message.key])
}

/// Tells the index for searches, where there is one.
fn note_changed(tx: &mut Tx, message: &Message) -> Result<()> {
    index::note_changed(tx, message.sender.arn.app_instance_key(), message.sub_channel, message.key)
}

/// Up to `limit` messages between two keys, both within, in this order.
pub fn list(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    sub_channel: Key,
    (least, greatest): (MessageKey, MessageKey),
    order: SortOrder,
    limit: i64,
) -> Result<Vec<Message>> {
    let sql = match order {
        SortOrder::Ascending => {
            select!("WHERE m.sub_channel = $1 AND $2 <= m.key AND m.key <= $3 ORDER BY m.key LIMIT $4")
        }
        SortOrder::Descending => {
            select!("WHERE m.sub_channel = $1 AND $2 <= m.key AND m.key <= $3 ORDER BY m.key DESC LIMIT $4")
        }
    };
    tx.rows(sql, values![sub_channel, least, greatest, limit], |row| message(row, instance))
}

/// Deletes up to `limit` messages of a sub-channel that is no more, or rows of its index when there are none left;
/// answers how many.
pub fn delete_some(tx: &mut Tx, sub_channel: Key, limit: i64) -> Result<u64> {
    let messages = tx.execute(
        "DELETE FROM message WHERE sub_channel = $1 AND key IN
           (SELECT key FROM message WHERE sub_channel = $1 ORDER BY key LIMIT $2)",
        values![sub_channel, limit],
    )?;
    if messages == 0 { index::forget_some(tx, sub_channel, limit) } else { Ok(messages) }
}

/// Deletes up to `limit` messages of a channel, its sub-channels among it, with keys below `bound`.
pub fn delete_before(tx: &mut Tx, channel: Key, bound: MessageKey, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM message WHERE (sub_channel, key) IN (
           SELECT sub_channel, key FROM message
           WHERE sub_channel IN (
             SELECT key FROM channel WHERE key = $1 UNION SELECT key FROM sub_channel WHERE channel = $1)
             AND key < $2
           LIMIT $3)",
        values![channel, bound, limit],
    )
}
