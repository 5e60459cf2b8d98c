//! App instances.

use carillon_model::arn::Home;
use carillon_model::identity::AppInstance;
use carillon_model::text::{Metadata, NonEmptyResourceName, RetentionDays};
use carillon_model::{Key, Timestamp};

use crate::engine::{Row, values};
use crate::settlement::Shared;
use crate::{Result, Tx};

/// What an app instance holds, counted as it changes so that a quota costs no scan.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Users.
    pub users: i64,
    /// Bots.
    pub bots: i64,
    /// Administrators.
    pub admins: i64,
    /// Channels, elastic ones among them.
    pub channels: i64,
    /// Elastic channels.
    pub elastic_channels: i64,
}

impl Counts {
    /// More than there ever are: no quota.
    pub const MAX: Self = Self {
        users: i64::MAX,
        bots: i64::MAX,
        admins: i64::MAX,
        channels: i64::MAX,
        elastic_channels: i64::MAX,
    };
}

/// Adds an app instance.
pub fn insert(tx: &mut Tx, instance: &AppInstance) -> Result<()> {
    tx.defer(
        "INSERT INTO app_instance (key, name, metadata, created_at, updated_at, user_count, admin_count,
           channel_count, elastic_channel_count)
         VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0)",
        values![instance.key, instance.name, instance.metadata, instance.created_at, instance.updated_at],
    )
}

/// The app instance with this key.
pub fn find(tx: &mut Tx, home: &Home, key: Key) -> Result<Option<AppInstance>> {
    tx.row(
        "SELECT key, name, metadata, created_at, updated_at FROM app_instance
         WHERE key = $1 AND deleted_at IS NULL",
        values![key],
        |row| app_instance(row, home),
    )
}

/// Whether it exists.
pub fn exists(tx: &mut Tx, key: Key) -> Result<bool> {
    let sql = "SELECT 1 FROM app_instance WHERE key = $1 AND deleted_at IS NULL";
    Ok(tx.row(sql, values![key], |_| Ok(()))?.is_some())
}

/// Up to `limit` app instances after `after`, in the order of their keys.
pub fn list(tx: &mut Tx, home: &Home, after: Option<Key>, limit: i64) -> Result<Vec<AppInstance>> {
    tx.rows(
        "SELECT key, name, metadata, created_at, updated_at FROM app_instance
         WHERE key > $1 AND deleted_at IS NULL ORDER BY key LIMIT $2",
        values![after.unwrap_or(Key([0; 16])), limit],
        |row| app_instance(row, home),
    )
}

/// How many there are, counting no further than `most`.
pub fn count(tx: &mut Tx, most: i64) -> Result<i64> {
    let sql =
        "SELECT COUNT(*) FROM (SELECT 1 FROM app_instance WHERE deleted_at IS NULL LIMIT $1) AS counted";
    Ok(tx.row(sql, values![most], |row| row.get(0))?.unwrap_or_default())
}

/// Replaces its name and metadata.
pub fn update(
    tx: &mut Tx,
    key: Key,
    name: &NonEmptyResourceName,
    metadata: Option<&Metadata>,
    now: Timestamp,
) -> Result<()> {
    let sql = "UPDATE app_instance SET name = $2, metadata = $3, updated_at = $4
               WHERE key = $1 AND deleted_at IS NULL";
    tx.settle(Shared::Instance(key), sql, values![key, name, metadata, now])
}

/// How long messages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// For how many days they are seen.
    pub days: RetentionDays,
    /// From when on those that are older are destroyed.
    pub destroys_at: Timestamp,
}

/// How long an app instance keeps messages; nothing where it keeps them for ever.
pub fn find_retention(tx: &mut Tx, key: Key) -> Result<Option<Retention>> {
    let sql = "SELECT retention_days, retention_destroys_at FROM app_instance WHERE key = $1";
    let found = tx.row(sql, values![key], |row| {
        let columns = row.get::<Option<_>>(0)?.zip(row.get(1)?);
        Ok(columns.map(|(days, destroys_at)| Retention { days, destroys_at }))
    })?;
    Ok(found.flatten())
}

/// Sets how long an app instance keeps messages, which was `former` so far.
pub fn set_retention(
    tx: &mut Tx,
    key: Key,
    former: Option<Retention>,
    retention: Option<Retention>,
) -> Result<()> {
    let columns = |retention: Option<Retention>| retention.map(|some| (some.days, some.destroys_at)).unzip();
    let ((former_days, former_at), (days, destroys_at)) = (columns(former), columns(retention));
    tx.settle(
        Shared::Instance(key),
        "UPDATE app_instance SET retention_days = $2, retention_destroys_at = $3
         WHERE key = $1 AND deleted_at IS NULL AND COALESCE(retention_days, 0) = COALESCE(CAST($4 AS BIGINT), 0)
           AND COALESCE(retention_destroys_at, 0) = COALESCE(CAST($5 AS BIGINT), 0)",
        values![key, days, destroys_at, former_days, former_at],
    )
}

/// Up to `limit` app instances after `after`, in the order of their keys, whose hidden messages are to be destroyed at
/// `now`; each with the days that messages are kept.
pub fn list_destroying(
    tx: &mut Tx,
    after: Key,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<(Key, RetentionDays)>> {
    tx.rows(
        "SELECT key, retention_days FROM app_instance
         WHERE retention_days IS NOT NULL AND key > $1 AND retention_destroys_at <= $2 ORDER BY key LIMIT $3",
        values![after, now, limit],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// What it holds, of one that exists.
pub fn find_counts(tx: &mut Tx, key: Key) -> Result<Option<Counts>> {
    tx.row(
        "SELECT user_count, bot_count, admin_count, channel_count, elastic_channel_count FROM app_instance
         WHERE key = $1 AND deleted_at IS NULL",
        values![key],
        |row| {
            let (users, bots, admins) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Counts { users, bots, admins, channels: row.get(3)?, elastic_channels: row.get(4)? })
        },
    )
}

/// Counts what comes into being in an app instance that exists. It was looked at before: there was room for this.
pub fn grow(tx: &mut Tx, key: Key, by: Counts, most: Counts) -> Result<()> {
    tx.settle(
        Shared::Instance(key),
        "UPDATE app_instance SET user_count = user_count + $2, bot_count = bot_count + $3,
           admin_count = admin_count + $4, channel_count = channel_count + $5,
           elastic_channel_count = elastic_channel_count + $6
         WHERE key = $1 AND deleted_at IS NULL AND user_count + $2 <= $7 AND bot_count + $3 <= $8
           AND admin_count + $4 <= $9 AND channel_count + $5 <= $10 AND elastic_channel_count + $6 <= $11",
        values![
            key,
            by.users,
            by.bots,
            by.admins,
            by.channels,
            by.elastic_channels,
            most.users,
            most.bots,
            most.admins,
            most.channels,
            most.elastic_channels,
        ],
    )
}

/// Counts what ends in an app instance, if that is still there.
pub fn shrink(tx: &mut Tx, key: Key, by: Counts) -> Result<()> {
    tx.settle_if_there(
        Shared::Instance(key),
        "UPDATE app_instance SET user_count = user_count - $2, bot_count = bot_count - $3,
           admin_count = admin_count - $4, channel_count = channel_count - $5,
           elastic_channel_count = elastic_channel_count - $6 WHERE key = $1",
        values![key, by.users, by.bots, by.admins, by.channels, by.elastic_channels],
    )
}

/// Holds an app instance that something is about to be given to, so that nobody deletes it meanwhile.
pub fn hold(tx: &mut Tx, key: Key) -> Result<()> {
    let sql = "UPDATE app_instance SET user_count = user_count WHERE key = $1 AND deleted_at IS NULL";
    tx.settle(Shared::Instance(key), sql, values![key])
}

/// Makes an app instance and all that it holds inaccessible; its rows wait for [`list_deleted`].
pub fn set_deleted(tx: &mut Tx, key: Key, now: Timestamp) -> Result<()> {
    let sql = "UPDATE app_instance SET deleted_at = $2 WHERE key = $1 AND deleted_at IS NULL";
    tx.settle(Shared::Instance(key), sql, values![key, now])
}

/// Up to `limit` deleted app instances whose rows are still there.
pub fn list_deleted(tx: &mut Tx, limit: i64) -> Result<Vec<Key>> {
    let sql = "SELECT key FROM app_instance WHERE deleted_at IS NOT NULL ORDER BY key LIMIT $1";
    tx.rows(sql, values![limit], |row| row.get(0))
}

/// Deletes the last row of a deleted app instance.
pub fn delete(tx: &mut Tx, key: Key) -> Result<()> {
    let sql = "DELETE FROM app_instance WHERE key = $1 AND deleted_at IS NOT NULL";
    tx.settle_if_there(Shared::Instance(key), sql, values![key])
}

fn app_instance(row: &Row<'_>, home: &Home) -> Result<AppInstance> {
    let key: Key = row.get(0)?;
    let (created_at, updated_at): (Timestamp, Timestamp) = (row.get(3)?, row.get(4)?);
    let (arn, name, metadata) = (home.app_instance(key), row.get(1)?, row.get(2)?);
    Ok(AppInstance { key, arn, name, metadata, created_at, updated_at })
}
