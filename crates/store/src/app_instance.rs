//! App instances.

use carillon_model::arn::Home;
use carillon_model::identity::AppInstance;
use carillon_model::text::{Metadata, NonEmptyResourceName, RetentionDays};
use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::outlets::Alteration;
use crate::row::{FromRow, Written, read, row, sql};
use crate::settlement::Shared;
use crate::{Result, Row, Tx};

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

row! { ($) count_columns:
    fn counts(row) -> Counts {
        users: (user_count), bots: (bot_count), admins: (admin_count), channels: (channel_count),
        elastic_channels: (elastic_channel_count)
    }
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

row! { ($) app_instance_columns:
    fn app_instance(row, home: &Home) -> AppInstance {
        key, name, metadata, created_at, updated_at;
        arn: home.app_instance(key)
    }
}

/// Adds an app instance.
pub fn insert(tx: &mut Tx, instance: &AppInstance) -> Result<()> {
    tx.defer(
        app_instance_columns!(INSERT INTO app_instance
            (user_count, admin_count, channel_count, elastic_channel_count, ..)),
        &instance.values(values![0_i64, 0_i64, 0_i64, 0_i64]),
    )
}

/// The app instance with this key.
pub fn find(tx: &mut Tx, home: &Home, key: Key) -> Result<Option<AppInstance>> {
    let sql = sql!("SELECT " app_instance_columns!()
                   " FROM app_instance WHERE key = $1 AND deleted_at IS NULL");
    tx.row(sql, values![key], |row| app_instance(row, home))
}

/// Whether it exists.
pub fn exists(tx: &mut Tx, key: Key) -> Result<bool> {
    let sql = "SELECT 1 FROM app_instance WHERE key = $1 AND deleted_at IS NULL";
    Ok(tx.row(sql, values![key], |_| Ok(()))?.is_some())
}

/// Up to `limit` app instances after `after`, in the order of their keys.
pub fn list(tx: &mut Tx, home: &Home, after: Option<Key>, limit: i64) -> Result<Vec<AppInstance>> {
    let sql = sql!("SELECT " app_instance_columns!()
                   " FROM app_instance WHERE key > $1 AND deleted_at IS NULL ORDER BY key LIMIT $2");
    tx.rows(sql, values![after.unwrap_or(Key([0; 16])), limit], |row| app_instance(row, home))
}

/// How many there are, counting no further than `most`.
pub fn count(tx: &mut Tx, most: i64) -> Result<i64> {
    let sql =
        "SELECT COUNT(*) FROM (SELECT 1 FROM app_instance WHERE deleted_at IS NULL LIMIT $1) AS counted";
    Ok(tx.row(sql, values![most], read)?.unwrap_or_default())
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
    Ok(tx.row(sql, values![key], read)?.flatten())
}

impl FromRow for Option<Retention> {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let columns: Option<(_, _)> = row.read()?;
        Ok(columns.map(|(days, destroys_at)| Retention { days, destroys_at }))
    }
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

/// The first app instance after `after` whose hidden messages are to be destroyed at `now`, and for how many days its
/// messages are kept.
pub fn find_destroying(tx: &mut Tx, after: Key, now: Timestamp) -> Result<Option<(Key, RetentionDays)>> {
    tx.row(
        "SELECT key, retention_days FROM app_instance
         WHERE retention_days IS NOT NULL AND $1 < key AND retention_destroys_at <= $2 ORDER BY key LIMIT 1",
        values![after, now],
        read,
    )
}

/// What it holds, of one that exists.
pub fn find_counts(tx: &mut Tx, key: Key) -> Result<Option<Counts>> {
    tx.row(
        sql!("SELECT " count_columns!() " FROM app_instance WHERE key = $1 AND deleted_at IS NULL"),
        values![key],
        counts,
    )
}

/// Counts what comes into being in an app instance that exists. It was looked at before: there was room for this.
pub fn grow(tx: &mut Tx, key: Key, by: Counts, most: Counts) -> Result<()> {
    if 0 < by.bots {
        tx.alter_outlet(key, Alteration::Bot);
    }
    tx.settle(
        Shared::Instance(key),
        "UPDATE app_instance SET user_count = user_count + $2, bot_count = bot_count + $3,
           admin_count = admin_count + $4, channel_count = channel_count + $5,
           elastic_channel_count = elastic_channel_count + $6
         WHERE key = $1 AND deleted_at IS NULL AND user_count + $2 <= $7 AND bot_count + $3 <= $8
           AND admin_count + $4 <= $9 AND channel_count + $5 <= $10 AND elastic_channel_count + $6 <= $11",
        &[&by.values(values![key])[..], &most.values(&[])].concat(),
    )
}

/// Counts what ends in an app instance, if that is still there.
pub fn shrink(tx: &mut Tx, key: Key, by: Counts) -> Result<()> {
    tx.settle_if_there(
        Shared::Instance(key),
        "UPDATE app_instance SET user_count = user_count - $2, bot_count = bot_count - $3,
           admin_count = admin_count - $4, channel_count = channel_count - $5,
           elastic_channel_count = elastic_channel_count - $6 WHERE key = $1",
        &by.values(values![key]),
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

/// Up to `limit` deleted app instances after `after`, in the order of their keys, whose rows are still there.
pub fn list_deleted(tx: &mut Tx, after: Key, limit: i64) -> Result<Vec<Key>> {
    let sql = "SELECT key FROM app_instance WHERE deleted_at IS NOT NULL AND $1 < key ORDER BY key LIMIT $2";
    tx.rows(sql, values![after, limit], read)
}

/// Deletes the last row of a deleted app instance.
pub fn delete(tx: &mut Tx, key: Key) -> Result<()> {
    tx.defer("DELETE FROM lane WHERE key = $1", values![key])?;
    let sql = "DELETE FROM app_instance WHERE key = $1 AND deleted_at IS NOT NULL";
    tx.settle_if_there(Shared::Instance(key), sql, values![key])
}
