//! Messages.

use carillon_model::arn::AppInstanceArn;
use carillon_model::identity::Identity;
use carillon_model::message::{Attributes, Message};
use carillon_model::text::{ChannelMessageStatus, SortOrder, StatusDetail};
use carillon_model::{Key, MessageKey, Timestamp};

use crate::engine::{Row, values};
use crate::{Error, Result, Tx, identity};

/// Adds a message; `push_notification` is what its push will say, as JSON.
pub fn insert(tx: &mut Tx, message: &Message, push_notification: Option<&str>) -> Result<()> {
    let attributes = message.attributes.as_ref().map(attributes_json);
    tx.defer(
        "INSERT INTO message (sub_channel, key, channel, sender, target, kind, persistence, status, status_detail,
           content, metadata, content_type, attributes, push_notification, redacted, edited_at, updated_at, released)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        values![
            message.sub_channel, message.key, message.channel, message.sender.key,
            message.target.as_ref().map(|target| target.key), message.kind, message.persistence, message.status,
            message.status_detail, message.content, message.metadata, message.content_type, attributes,
            push_notification, message.redacted, message.edited_at, message.updated_at, message.released,
        ],
    )
}

/// The message with this key.
pub fn find(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    sub_channel: Key,
    key: MessageKey,
) -> Result<Option<Message>> {
    tx.row(
        "SELECT m.sub_channel, m.key, m.channel, m.kind, m.persistence, m.status, m.status_detail, m.content,
           m.metadata, m.content_type, m.attributes, m.redacted, m.edited_at, m.updated_at, m.released,
           s.key, s.kind, s.id, s.name, t.key, t.kind, t.id, t.name
         FROM message m JOIN identity s ON s.key = m.sender LEFT JOIN identity t ON t.key = m.target
         WHERE m.sub_channel = $1 AND m.key = $2",
        values![sub_channel, key],
        |row| message(row, instance),
    )
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
    tx.row(
        "SELECT sender, status, status_detail FROM message WHERE sub_channel = $1 AND key = $2",
        values![sub_channel, key],
        |row| Ok(Status { sender: row.get(0)?, status: row.get(1)?, detail: row.get(2)? }),
    )
}

/// What the push notification of a message will say, as JSON.
pub fn find_push_notification(tx: &mut Tx, sub_channel: Key, key: MessageKey) -> Result<Option<String>> {
    let sql = "SELECT push_notification FROM message WHERE sub_channel = $1 AND key = $2";
    Ok(tx.row(sql, values![sub_channel, key], |row| row.get(0))?.flatten())
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
            message.attributes.as_ref().map(attributes_json),
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
    let sql = "DELETE FROM message WHERE sub_channel = $1 AND key = $2";
    tx.defer(sql, values![message.sub_channel, message.key])
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
            "SELECT m.sub_channel, m.key, m.channel, m.kind, m.persistence, m.status, m.status_detail, m.content,
               m.metadata, m.content_type, m.attributes, m.redacted, m.edited_at, m.updated_at, m.released,
               s.key, s.kind, s.id, s.name, t.key, t.kind, t.id, t.name
             FROM message m JOIN identity s ON s.key = m.sender LEFT JOIN identity t ON t.key = m.target
             WHERE m.sub_channel = $1 AND $2 <= m.key AND m.key <= $3 ORDER BY m.key LIMIT $4"
        }
        SortOrder::Descending => {
            "SELECT m.sub_channel, m.key, m.channel, m.kind, m.persistence, m.status, m.status_detail, m.content,
               m.metadata, m.content_type, m.attributes, m.redacted, m.edited_at, m.updated_at, m.released,
               s.key, s.kind, s.id, s.name, t.key, t.kind, t.id, t.name
             FROM message m JOIN identity s ON s.key = m.sender LEFT JOIN identity t ON t.key = m.target
             WHERE m.sub_channel = $1 AND $2 <= m.key AND m.key <= $3 ORDER BY m.key DESC LIMIT $4"
        }
    };
    tx.rows(sql, values![sub_channel, least, greatest, limit], |row| message(row, instance))
}

/// Deletes up to `limit` messages of a sub-channel that is no more; answers how many.
pub fn delete_some(tx: &mut Tx, sub_channel: Key, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM message WHERE sub_channel = $1 AND key IN
           (SELECT key FROM message WHERE sub_channel = $1 ORDER BY key LIMIT $2)",
        values![sub_channel, limit],
    )
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

fn message(row: &Row<'_>, instance: &AppInstanceArn) -> Result<Message> {
    Ok(Message {
        sub_channel: row.get(0)?,
        key: row.get(1)?,
        channel: row.get(2)?,
        kind: row.get(3)?,
        persistence: row.get(4)?,
        status: row.get(5)?,
        status_detail: row.get(6)?,
        content: row.get(7)?,
        metadata: row.get(8)?,
        content_type: row.get(9)?,
        attributes: row.get::<Option<String>>(10)?.map(|text| attributes(&text)).transpose()?,
        redacted: row.get::<i64>(11)? != 0,
        edited_at: row.get(12)?,
        updated_at: row.get(13)?,
        released: row.get::<i64>(14)? != 0,
        sender: identity::identity(row, instance, 15)?,
        target: target(row, instance)?,
    })
}

fn target(row: &Row<'_>, instance: &AppInstanceArn) -> Result<Option<Identity>> {
    row.get::<Option<Key>>(19)?.map(|_| identity::identity(row, instance, 19)).transpose()
}

fn attributes_json(attributes: &Attributes) -> String {
    serde_json::to_string(attributes).expect("texts and lists always serialize")
}

fn attributes(text: &str) -> Result<Attributes> {
    serde_json::from_str(text)
        .map_err(|error| Error::broken(format!("stored attributes are not JSON: {error}")))
}
