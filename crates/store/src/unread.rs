//! What a member has not read, counted from the keys of messages.

use carillon_model::arn::{AppInstanceArn, ChannelArn};
use carillon_model::message::Attributes;
use carillon_model::{Key, MessageKey, Timestamp};

use crate::engine::{Query, values};
use crate::row::read;
use crate::{Result, Tx};

/// A channel of a member, and how far they have read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Followed {
    /// Its key.
    pub channel: Key,
    /// The channel.
    pub arn: ChannelArn,
    /// Up to when they have read it; where they never said so, since when they belong to it.
    pub since: Timestamp,
    /// The last message that they can see; the beginning of time, where there is none.
    pub last_at: Timestamp,
}

/// Up to `limit` channels of a member after `after`, the one with the latest message that they can see first. Elastic
/// channels are left out: they have no read markers.
pub fn list(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    member: Key,
    after: Option<(Timestamp, Key)>,
    limit: i64,
) -> Result<Vec<Followed>> {
    let (before, key) = after.unwrap_or((Timestamp::from_ms(i64::MAX), Key([0xff; 16])));
    // Not `IS NULL`, of which an engine without statistics would begin with all channels ([`crate::paging`]).
    let sql = "SELECT id, channel, since, last_at FROM (
           SELECT c.id AS id, c.key AS channel, COALESCE(m.read_at, m.created_at) AS since,
             CASE WHEN COALESCE(c.last_message_at, 0) < COALESCE(m.last_target_at, 0) THEN m.last_target_at
               ELSE COALESCE(c.last_message_at, 0) END AS last_at
           FROM membership m JOIN channel c ON c.key = m.channel AND COALESCE(c.deleted_at, 0) = 0
           WHERE m.member = $1 AND m.sub_channel = m.channel AND c.maximum_sub_channels IS NULL
         ) AS place
         WHERE last_at < $2 OR (last_at = $2 AND $3 < channel)
         ORDER BY last_at DESC, channel LIMIT $4";
    tx.rows(sql, values![member, before, key, limit], |row| {
        let id: String = row.read()?;
        let arn = instance.channel(&id);
        Ok(Followed { channel: row.read()?, arn, since: row.read()?, last_at: row.read()? })
    })
}

/// Where to count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// In this channel,
    pub channel: Key,
    /// from this key on.
    pub least: MessageKey,
}

/// For each place, of the newest `examined` messages in it the attributes of those, up to `counted`, that a viewer has
/// not sent, sees, and would read: no control messages, nothing redacted, nothing that is in a flow or was denied.
pub fn find(
    tx: &mut Tx,
    places: &[Place],
    viewer: Key,
    (examined, counted): (i64, i64),
) -> Result<Vec<Vec<Option<Attributes>>>> {
    let sql = "SELECT attributes FROM (
           SELECT sender, target, kind, released, redacted, attributes, key FROM message
           WHERE sub_channel = $1 AND $2 <= key ORDER BY key DESC LIMIT $4
         ) AS latest
         WHERE sender <> $3 AND kind = 'STANDARD' AND released = 1 AND redacted = 0
           AND (target IS NULL OR target = $3)
         LIMIT $5";
    let queries: Vec<Query> = places
        .iter()
        .map(|place| Query {
            sql,
            values: values![place.channel, place.least, viewer, examined, counted]
                .iter()
                .map(crate::engine::Value::to_owned)
                .collect(),
        })
        .collect();
    tx.answers(&queries, read)
}
