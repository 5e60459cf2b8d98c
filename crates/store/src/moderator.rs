//! Who moderates a channel. Their making, and whether someone is one, stand with the channel.

use carillon_model::arn::AppInstanceArn;
use carillon_model::channel::{Appointment, Channel};
use carillon_model::identity::Identity;
use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::{Result, Tx, channel, identity};

/// Since when and by whom an identity moderates a channel, if it is.
pub fn find(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    channel: Key,
    member: &Identity,
) -> Result<Option<Appointment>> {
    tx.row(
        "SELECT o.created_at, i.key, i.kind, i.id, i.name
         FROM moderator o JOIN identity i ON i.key = o.created_by WHERE o.channel = $1 AND o.member = $2",
        values![channel, member.key],
        |row| {
            let (created_at, created_by) = (row.get(0)?, identity::identity(row, instance, 1)?);
            Ok(Appointment { member: member.clone(), created_by, created_at })
        },
    )
}

/// Up to `limit` moderators of a channel after `after`, in the order of their keys.
pub fn list(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    channel: Key,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<Identity>> {
    tx.rows(
        "SELECT i.key, i.kind, i.id, i.name FROM moderator o JOIN identity i ON i.key = o.member
         WHERE o.channel = $1 AND $2 < o.member ORDER BY o.member LIMIT $3",
        values![channel, after.unwrap_or(Key([0; 16])), limit],
        |row| identity::identity(row, instance, 0),
    )
}

/// How many a channel has, counting no further than `most`.
pub fn count(tx: &mut Tx, channel: Key, most: i64) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM moderator WHERE channel = $1 LIMIT $2) AS counted";
    Ok(tx.row(sql, values![channel, most], |row| row.get(0))?.unwrap_or_default())
}

/// Takes the role away, where there is one.
pub fn delete(tx: &mut Tx, channel: Key, member: Key) -> Result<()> {
    tx.defer("DELETE FROM moderator WHERE channel = $1 AND member = $2", values![channel, member])
}

/// Takes up to `limit` rows of a deleted channel away; answers how many.
pub fn delete_some(tx: &mut Tx, channel: Key, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM moderator WHERE channel = $1 AND member IN
           (SELECT member FROM moderator WHERE channel = $1 LIMIT $2)",
        values![channel, limit],
    )
}

/// Up to `limit` channels after `after` that someone moderates, in the order of their keys, each with the last
/// message that only they, or they and the sender, could see.
pub fn list_channels(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    member: Key,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<(Channel, Option<Timestamp>)>> {
    tx.rows(
        "SELECT c.key, c.name, c.mode, c.privacy, c.metadata, c.created_by, c.created_at, c.updated_at,
           c.last_message_at, c.sequence, c.clock, c.member_count, c.maximum_sub_channels,
           c.target_memberships_per_sub_channel, c.minimum_membership_percentage, c.expiration_days,
           c.expiration_criterion, c.id,
           (SELECT MAX(m.last_target_at) FROM membership m WHERE m.channel = c.key AND m.member = $1)
         FROM moderator o JOIN channel c ON c.key = o.channel AND c.deleted_at IS NULL
         WHERE o.member = $1 AND $2 < o.channel ORDER BY o.channel LIMIT $3",
        values![member, after.unwrap_or(Key([0; 16])), limit],
        |row| {
            let id: String = row.get(17)?;
            Ok((channel::channel(row, &instance.channel(&id), 0)?, row.get(18)?))
        },
    )
}
