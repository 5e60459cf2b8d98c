//! Channels, their moderators, and how someone stands to a channel.

use carillon_model::arn::{AppInstanceArn, ChannelArn, Home, IdentityArn};
use carillon_model::channel::{Channel, ElasticChannelConfiguration};
use carillon_model::identity::Identity;
use carillon_model::text::{ChannelMembershipType, ChannelPrivacy};
use carillon_model::{Key, MessageKey, Timestamp};

use crate::engine::{Row, values};
use crate::{Error, Result, Tx};

/// How a user or bot stands to a channel: everything that the rules ask, in one read.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Who it is.
    pub identity: Identity,
    /// Whether it administers the app instance.
    pub is_admin: bool,
    /// Whether it moderates the channel.
    pub is_moderator: bool,
    /// Where and how it belongs; one place at most, but for the moderators of an elastic channel.
    pub memberships: Vec<Place>,
    /// The channel, where it exists.
    pub channel: Option<Channel>,
    /// The key of the flow that its messages pass.
    pub flow: Option<Key>,
}

/// One place of a member.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The sub-channel; of an ordinary channel, the channel itself.
    pub sub_channel: Key,
    /// How it belongs.
    pub kind: ChannelMembershipType,
    /// The last message that only it, or it and the sender, could see.
    pub last_target_at: Option<Timestamp>,
}

/// Adds a channel; false when its id is taken.
pub fn insert(tx: &mut Tx, instance: Key, channel: &Channel) -> Result<bool> {
    let (days, criterion) = channel.expiration.unzip();
    let elastic = channel.elastic;
    let count = tx.execute(
        "INSERT INTO channel (key, app_instance, id, name, mode, privacy, metadata, created_by, created_at,
           updated_at, last_message_at, sequence, clock, member_count, maximum_sub_channels,
           target_memberships_per_sub_channel, minimum_membership_percentage, expiration_days,
           expiration_criterion)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
         ON CONFLICT DO NOTHING",
        values![
            channel.key,
            instance,
            channel.arn.id(),
            channel.name,
            channel.mode,
            channel.privacy,
            channel.metadata,
            channel.created_by,
            channel.created_at,
            channel.updated_at,
            channel.last_message_at,
            channel.sequence,
            channel.clock,
            channel.member_count,
            elastic.map(|elastic| elastic.maximum_sub_channels),
            elastic.map(|elastic| elastic.target_memberships_per_sub_channel),
            elastic.map(|elastic| elastic.minimum_membership_percentage),
            days,
            criterion,
        ],
    )?;
    Ok(count == 1)
}

/// How `who` stands to the channel that `arn` names; nothing when `who` does not exist.
pub fn find_standing(tx: &mut Tx, who: &IdentityArn, arn: &ChannelArn) -> Result<Option<Standing>> {
    let Some(home) = who.app_instance_key() else { return Ok(None) };
    // No channel is in an app instance whose id no server makes, and whoever asks exists nevertheless.
    let instance = arn.app_instance_key();
    let rows = tx.rows(
        "SELECT c.key, c.name, c.mode, c.privacy, c.metadata, c.created_by, c.created_at, c.updated_at,
           c.last_message_at, c.sequence, c.clock, c.member_count, c.maximum_sub_channels,
           c.target_memberships_per_sub_channel, c.minimum_membership_percentage, c.expiration_days,
           c.expiration_criterion, i.key, i.name, i.admin_since, o.created_at, m.sub_channel, m.kind,
           m.last_target_at, c.flow
         FROM identity i
         JOIN app_instance a ON a.key = i.app_instance AND a.deleted_at IS NULL
         LEFT JOIN channel c ON c.app_instance = $4 AND c.id = $5 AND c.deleted_at IS NULL
         LEFT JOIN moderator o ON o.channel = c.key AND o.member = i.key
         LEFT JOIN membership m ON m.channel = c.key AND m.member = i.key
         WHERE i.app_instance = $1 AND i.kind = $2 AND i.id = $3 AND i.deleted_at IS NULL",
        values![home, who.kind(), who.id(), instance, arn.id()],
        |row| standing(row, who, arn),
    )?;
    Ok(rows.into_iter().reduce(|mut all, next| {
        all.memberships.extend(next.memberships);
        all
    }))
}

/// The channel that an ARN names, where it exists.
pub fn find_by_arn(tx: &mut Tx, arn: &ChannelArn) -> Result<Option<Channel>> {
    let Some(instance) = arn.app_instance_key() else { return Ok(None) };
    tx.row(
        "SELECT key, name, mode, privacy, metadata, created_by, created_at, updated_at, last_message_at, sequence,
           clock, member_count, maximum_sub_channels, target_memberships_per_sub_channel,
           minimum_membership_percentage, expiration_days, expiration_criterion
         FROM channel WHERE app_instance = $1 AND id = $2 AND deleted_at IS NULL
           AND EXISTS (SELECT 1 FROM app_instance a WHERE a.key = $1 AND a.deleted_at IS NULL)",
        values![instance, arn.id()],
        |row| channel(row, arn, 0),
    )
}

/// Whether the channel that an ARN names exists.
pub fn exists(tx: &mut Tx, arn: &ChannelArn) -> Result<bool> {
    let Some(instance) = arn.app_instance_key() else { return Ok(false) };
    let sql = "SELECT 1 FROM channel c JOIN app_instance a ON a.key = c.app_instance AND a.deleted_at IS NULL
               WHERE c.app_instance = $1 AND c.id = $2 AND c.deleted_at IS NULL";
    Ok(tx.row(sql, values![instance, arn.id()], |_| Ok(()))?.is_some())
}

/// Claims a channel for `events` events at `now`: it waits for whoever else claimed it, takes their numbers,
/// and moves the channel's clock, which never runs backwards. `message` says that the channel's last message
/// is of this instant. False when something happened in the channel since it was read: read it again.
pub fn claim(tx: &mut Tx, channel: &mut Channel, events: i64, now: Timestamp, message: bool) -> Result<bool> {
    let seen = channel.sequence;
    let now = tx.instant(now);
    let claimed = tx.change(
        "UPDATE channel SET sequence = sequence + $2, clock = CASE WHEN clock < $3 THEN $3 ELSE clock END,
           last_message_at = CASE WHEN CAST($4 AS BIGINT) = 0 THEN last_message_at
             WHEN clock < $3 THEN $3 ELSE clock END
         WHERE key = $1 AND deleted_at IS NULL RETURNING sequence, clock, last_message_at, member_count",
        values![channel.key, events, now, message],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    let Some((sequence, clock, last_message_at, member_count)) = claimed else { return Ok(false) };
    (channel.sequence, channel.clock) = (sequence, clock);
    (channel.last_message_at, channel.member_count) = (last_message_at, member_count);
    Ok(sequence == seen + events)
}

/// Sets the number of memberships of a claimed channel.
pub fn set_member_count(tx: &mut Tx, channel: &Channel) -> Result<()> {
    let sql = "UPDATE channel SET member_count = $2 WHERE key = $1";
    tx.defer(sql, values![channel.key, channel.member_count])
}

/// Writes what can change of a claimed channel's record.
pub fn update(tx: &mut Tx, channel: &Channel) -> Result<()> {
    let (days, criterion) = channel.expiration.unzip();
    tx.defer(
        "UPDATE channel SET name = $2, mode = $3, metadata = $4, expiration_days = $5, expiration_criterion = $6,
           updated_at = $7 WHERE key = $1",
        values![
            channel.key,
            channel.name,
            channel.mode,
            channel.metadata,
            days,
            criterion,
            channel.updated_at,
        ],
    )
}

/// Makes a claimed channel inaccessible; its id is free again. Its rows wait for [`find_deleted`].
pub fn set_deleted(tx: &mut Tx, channel: &Channel) -> Result<()> {
    tx.defer("UPDATE channel SET deleted_at = $2 WHERE key = $1", values![channel.key, channel.clock])
}

/// Makes up to `limit` channels of a deleted app instance inaccessible each by itself, without telling anybody;
/// answers how many.
pub fn end_some(tx: &mut Tx, instance: Key, now: Timestamp, limit: i64) -> Result<u64> {
    tx.execute(
        "UPDATE channel SET deleted_at = $2 WHERE key IN
           (SELECT key FROM channel WHERE app_instance = $1 AND deleted_at IS NULL LIMIT $3)",
        values![instance, now, limit],
    )
}

/// The first deleted channel after `after` whose rows are still there.
pub fn find_deleted(tx: &mut Tx, after: Key) -> Result<Option<Key>> {
    let sql = "SELECT key FROM channel WHERE deleted_at IS NOT NULL AND $1 < key ORDER BY key LIMIT 1";
    tx.row(sql, values![after], |row| row.get(0))
}

/// Deletes the last row of a deleted channel.
pub fn delete(tx: &mut Tx, channel: Key) -> Result<()> {
    tx.defer("DELETE FROM channel WHERE key = $1 AND deleted_at IS NOT NULL", values![channel])
}

/// The channel with this key, where it exists.
pub fn find(tx: &mut Tx, instance: &AppInstanceArn, key: Key) -> Result<Option<Channel>> {
    tx.row(
        "SELECT key, name, mode, privacy, metadata, created_by, created_at, updated_at, last_message_at, sequence,
           clock, member_count, maximum_sub_channels, target_memberships_per_sub_channel,
           minimum_membership_percentage, expiration_days, expiration_criterion, id
         FROM channel WHERE key = $1 AND deleted_at IS NULL",
        values![key],
        |row| {
            let id: String = row.get(17)?;
            channel(row, &instance.channel(&id), 0)
        },
    )
}

/// Up to `limit` channels after `after` that will expire some day, in the order of their keys; of a row that cannot be
/// read, why.
pub fn list_expiring(
    tx: &mut Tx,
    home: &Home,
    after: Key,
    limit: i64,
) -> Result<Vec<(Key, Result<Channel>)>> {
    tx.rows(
        "SELECT key, name, mode, privacy, metadata, created_by, created_at, updated_at, last_message_at, sequence,
           clock, member_count, maximum_sub_channels, target_memberships_per_sub_channel,
           minimum_membership_percentage, expiration_days, expiration_criterion, id, app_instance
         FROM channel WHERE expiration_days IS NOT NULL AND deleted_at IS NULL AND $1 < key
         ORDER BY key LIMIT $2",
        values![after, limit],
        |row| {
            let read = || {
                let id: String = row.get(17)?;
                channel(row, &home.app_instance(row.get(18)?).channel(&id), 0)
            };
            Ok((row.get(0)?, read()))
        },
    )
}

/// A channel that retention looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedAt {
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: Key,
    /// Whether it holds a message, stored or in a flow, from before the bound.
    pub has_old: bool,
}

/// Up to `limit` channels of an app instance whose ids come after `after`, in the order of their ids, and whether each
/// holds messages with keys below `bound`: a seek for each of its places.
pub fn list_with_old(
    tx: &mut Tx,
    instance: Key,
    bound: MessageKey,
    after: &str,
    limit: i64,
) -> Result<Vec<LookedAt>> {
    tx.rows(
        "SELECT c.id, c.key, CAST(CASE
             WHEN EXISTS (SELECT 1 FROM message m WHERE m.sub_channel = c.key AND m.key < $2)
               OR EXISTS (SELECT 1 FROM in_flight f WHERE f.sub_channel = c.key AND f.message < $2)
               OR EXISTS (SELECT 1 FROM sub_channel s WHERE s.channel = c.key
                 AND (EXISTS (SELECT 1 FROM message m WHERE m.sub_channel = s.key AND m.key < $2)
                   OR EXISTS (SELECT 1 FROM in_flight f WHERE f.sub_channel = s.key AND f.message < $2)))
             THEN 1 ELSE 0 END AS BIGINT)
         FROM channel c WHERE c.app_instance = $1 AND $3 < c.id AND c.deleted_at IS NULL ORDER BY c.id LIMIT $4",
        values![instance, bound, after, limit],
        |row| Ok(LookedAt { id: row.get(0)?, key: row.get(1)?, has_old: row.get::<i64>(2)? != 0 }),
    )
}

/// Up to `limit` channels of this privacy whose ids come after `after`, in the order of their ids, each with the
/// last message that only `viewer`, or it and the sender, could see.
pub fn list(
    tx: &mut Tx,
    (instance, viewer): (&AppInstanceArn, Key),
    privacy: ChannelPrivacy,
    after: &str,
    limit: i64,
) -> Result<Vec<(Channel, Option<Timestamp>)>> {
    let Some(key) = instance.key() else { return Ok(Vec::new()) };
    tx.rows(
        "SELECT key, name, mode, privacy, metadata, created_by, created_at, updated_at, last_message_at, sequence,
           clock, member_count, maximum_sub_channels, target_memberships_per_sub_channel,
           minimum_membership_percentage, expiration_days, expiration_criterion, id,
           (SELECT MAX(m.last_target_at) FROM membership m WHERE m.channel = channel.key AND m.member = $5)
         FROM channel WHERE app_instance = $1 AND privacy = $2 AND $3 < id AND deleted_at IS NULL
         ORDER BY id LIMIT $4",
        values![key, privacy, after, limit, viewer],
        |row| {
            let id: String = row.get(17)?;
            Ok((channel(row, &instance.channel(&id), 0)?, row.get(18)?))
        },
    )
}

/// Makes an identity a moderator; false when it is one.
pub fn insert_moderator(tx: &mut Tx, channel: Key, member: Key, by: Key, now: Timestamp) -> Result<bool> {
    let sql = "INSERT INTO moderator (channel, member, created_by, created_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, values![channel, member, by, now])? == 1)
}

/// Whether an identity moderates a channel.
pub fn is_moderator(tx: &mut Tx, channel: Key, member: Key) -> Result<bool> {
    let sql = "SELECT 1 FROM moderator WHERE channel = $1 AND member = $2";
    Ok(tx.row(sql, values![channel, member], |_| Ok(()))?.is_some())
}

fn standing(row: &Row<'_>, who: &IdentityArn, arn: &ChannelArn) -> Result<Standing> {
    let place =
        |sub_channel| Ok::<_, Error>(Place { sub_channel, kind: row.get(22)?, last_target_at: row.get(23)? });
    Ok(Standing {
        identity: Identity { key: row.get(17)?, arn: who.clone(), name: row.get(18)? },
        is_admin: row.get::<Option<i64>>(19)?.is_some(),
        is_moderator: row.get::<Option<i64>>(20)?.is_some(),
        memberships: row.get::<Option<Key>>(21)?.map(place).transpose()?.into_iter().collect(),
        channel: row.get::<Option<Key>>(0)?.map(|_| channel(row, arn, 0)).transpose()?,
        flow: row.get(24)?,
    })
}

/// Reads a channel from seventeen columns.
pub(crate) fn channel(row: &Row<'_>, arn: &ChannelArn, at: usize) -> Result<Channel> {
    let elastic = match row.get::<Option<_>>(at + 12)? {
        None => None,
        Some(maximum_sub_channels) => Some(ElasticChannelConfiguration {
            maximum_sub_channels,
            target_memberships_per_sub_channel: row.get(at + 13)?,
            minimum_membership_percentage: row.get(at + 14)?,
        }),
    };
    Ok(Channel {
        key: row.get(at)?,
        arn: arn.clone(),
        name: row.get(at + 1)?,
        mode: row.get(at + 2)?,
        privacy: row.get(at + 3)?,
        metadata: row.get(at + 4)?,
        created_by: row.get(at + 5)?,
        created_at: row.get(at + 6)?,
        updated_at: row.get(at + 7)?,
        last_message_at: row.get(at + 8)?,
        sequence: row.get(at + 9)?,
        clock: row.get(at + 10)?,
        member_count: row.get(at + 11)?,
        elastic,
        expiration: row.get::<Option<_>>(at + 15)?.zip(row.get(at + 16)?),
    })
}
