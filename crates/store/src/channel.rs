//! Channels.

use carillon_model::arn::{AppInstanceArn, ChannelArn, Home};
use carillon_model::channel::{Channel, ElasticChannelConfiguration};
use carillon_model::text::ChannelPrivacy;
use carillon_model::{Key, MessageKey, Timestamp};

use crate::engine::{ToValue, Value, values};
use crate::row::{FromRow, ToColumns, Written, read, read_of, row, sql};
use crate::{Result, Row, Tx, claim};

row! { ($) channel_columns:
    /// Reads a channel, whose ARN is known.
    pub(crate) fn channel(row, arn: &ChannelArn) -> Channel {
        key, name, mode, privacy, metadata, created_by, created_at, updated_at, last_message_at, sequence, clock,
        member_count,
        elastic: (maximum_sub_channels, target_memberships_per_sub_channel, minimum_membership_percentage),
        expiration: (expiration_days, expiration_criterion);
        arn: arn.clone()
    }
}
pub(crate) use channel_columns;

/// Reads a channel of an app instance behind its id.
pub(crate) fn named(row: &mut Row<'_>, instance: &AppInstanceArn) -> Result<Channel> {
    let id: String = row.read()?;
    channel(row, &instance.channel(&id))
}

/// Adds a channel; false when its id is taken.
pub fn insert(tx: &mut Tx, instance: Key, channel: &Channel) -> Result<bool> {
    let sql = sql!(channel_columns!(INSERT INTO channel (app_instance, id, ..)) " ON CONFLICT DO NOTHING");
    Ok(tx.execute(sql, &channel.values(values![instance, channel.arn.id()]))? == 1)
}

/// The channel that an ARN names, where it exists.
pub fn find_by_arn(tx: &mut Tx, arn: &ChannelArn) -> Result<Option<Channel>> {
    let Some(instance) = arn.app_instance_key() else { return Ok(None) };
    tx.row(
        sql!("SELECT " channel_columns!()
             " FROM channel WHERE app_instance = $1 AND id = $2 AND deleted_at IS NULL
               AND EXISTS (SELECT 1 FROM app_instance a WHERE a.key = $1 AND a.deleted_at IS NULL)"),
        values![instance, arn.id()],
        |row| channel(row, arn),
    )
}

/// Whether the channel that an ARN names exists.
pub fn exists(tx: &mut Tx, arn: &ChannelArn) -> Result<bool> {
    let Some(instance) = arn.app_instance_key() else { return Ok(false) };
    let sql = "SELECT 1 FROM channel c JOIN app_instance a ON a.key = c.app_instance AND a.deleted_at IS NULL
               WHERE c.app_instance = $1 AND c.id = $2 AND c.deleted_at IS NULL";
    Ok(tx.row(sql, values![instance, arn.id()], |_| Ok(()))?.is_some())
}

/// Sets the number of memberships of a claimed channel.
pub fn set_member_count(tx: &mut Tx, channel: &Channel) -> Result<()> {
    claim::note_member_count(tx, channel);
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

/// Makes a claimed channel inaccessible; its id is free again. Its rows wait for [`list_deleted`].
pub fn set_deleted(tx: &mut Tx, channel: &Channel) -> Result<()> {
    claim::note_deleted(tx, channel);
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

/// Up to `limit` deleted channels after `after`, in the order of their keys, whose rows are still there.
pub fn list_deleted(tx: &mut Tx, after: Key, limit: i64) -> Result<Vec<Key>> {
    let sql = "SELECT key FROM channel WHERE deleted_at IS NOT NULL AND $1 < key ORDER BY key LIMIT $2";
    tx.rows(sql, values![after, limit], read)
}

/// Deletes the last row of a deleted channel.
pub fn delete(tx: &mut Tx, channel: Key) -> Result<()> {
    tx.defer("DELETE FROM channel WHERE key = $1 AND deleted_at IS NOT NULL", values![channel])
}

/// The channel with this key, where it exists.
pub fn find(tx: &mut Tx, instance: &AppInstanceArn, key: Key) -> Result<Option<Channel>> {
    let sql = sql!("SELECT id, " channel_columns!() " FROM channel WHERE key = $1 AND deleted_at IS NULL");
    tx.row(sql, values![key], |row| named(row, instance))
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
        sql!("SELECT key, app_instance, id, " channel_columns!()
             " FROM channel WHERE expiration_days IS NOT NULL AND deleted_at IS NULL AND $1 < key
             ORDER BY key LIMIT $2"),
        values![after, limit],
        |row| Ok((row.read()?, read_of(row, home, named))),
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
        |row| Ok(LookedAt { id: row.read()?, key: row.read()?, has_old: row.read()? }),
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
        sql!("SELECT id, " channel_columns!()
             ", (SELECT MAX(m.last_target_at) FROM membership m WHERE m.channel = channel.key AND m.member = $5)
             FROM channel WHERE app_instance = $1 AND privacy = $2 AND $3 < id AND deleted_at IS NULL
             ORDER BY id LIMIT $4"),
        values![key, privacy, after, limit, viewer],
        |row| Ok((named(row, instance)?, row.read()?)),
    )
}

/// An ordinary channel has none.
impl FromRow for Option<ElasticChannelConfiguration> {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let (sizes, minimum): (Option<_>, Option<_>) = row.read()?;
        Ok(sizes.zip(minimum).map(|((maximum, target), minimum)| ElasticChannelConfiguration {
            maximum_sub_channels: maximum,
            target_memberships_per_sub_channel: target,
            minimum_membership_percentage: minimum,
        }))
    }
}

impl ToColumns for Option<ElasticChannelConfiguration> {
    fn add_to<'a>(&'a self, values: &mut Vec<Value<'a>>) {
        let numbers = self.as_ref().map(|elastic| {
            [
                elastic.maximum_sub_channels.to_value(),
                elastic.target_memberships_per_sub_channel.to_value(),
                elastic.minimum_membership_percentage.to_value(),
            ]
        });
        values.extend(numbers.unwrap_or([Value::Null, Value::Null, Value::Null]));
    }
}
