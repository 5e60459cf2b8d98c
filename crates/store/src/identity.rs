//! Users and bots.

use carillon_model::arn::{AppInstanceArn, ChannelArn, Home, IdentityArn, IdentityKind};
use carillon_model::identity::{AppInstanceUser, Identity};
use carillon_model::text::{ExpirationDays, Metadata, UserExpirationCriterion, UserName};
use carillon_model::{Key, Timestamp};

use crate::engine::{Row, values};
use crate::settlement::Shared;
use crate::{Result, Tx};

/// An identity with what the rules ask of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Who it is.
    pub identity: Identity,
    /// Whether it administers its app instance.
    pub is_admin: bool,
    /// How many channels it belongs to.
    pub membership_count: i64,
}

/// Adds a user; false when its id is taken.
pub fn insert_user(tx: &mut Tx, instance: Key, user: &AppInstanceUser) -> Result<bool> {
    let (days, criterion) = user.expiration.unzip();
    let count = tx.execute(
        "INSERT INTO identity (key, app_instance, kind, id, name, metadata, created_at, updated_at,
           expiration_days, expiration_criterion, membership_count)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0) ON CONFLICT DO NOTHING",
        values![
            user.key,
            instance,
            user.arn.kind(),
            user.arn.id(),
            user.name,
            user.metadata,
            user.created_at,
            user.updated_at,
            days,
            criterion,
        ],
    )?;
    Ok(count == 1)
}

/// The user or bot that an ARN names.
pub fn find(tx: &mut Tx, arn: &IdentityArn) -> Result<Option<Found>> {
    let Some(instance) = arn.app_instance_key() else { return Ok(None) };
    tx.row(
        "SELECT i.key, i.name, i.admin_since, i.membership_count
         FROM identity i JOIN app_instance a ON a.key = i.app_instance AND a.deleted_at IS NULL
         WHERE i.app_instance = $1 AND i.kind = $2 AND i.id = $3 AND i.deleted_at IS NULL",
        values![instance, arn.kind(), arn.id()],
        |row| {
            let identity = Identity { key: row.get(0)?, arn: arn.clone(), name: row.get(1)? };
            let is_admin = row.get::<Option<i64>>(2)?.is_some();
            Ok(Found { identity, is_admin, membership_count: row.get(3)? })
        },
    )
}

/// The user or bot with this key, deleted or not: what old messages and old channels name.
pub fn get(tx: &mut Tx, instance: &AppInstanceArn, key: Key) -> Result<Option<Identity>> {
    let sql = "SELECT key, kind, id, name FROM identity WHERE key = $1";
    tx.row(sql, values![key], |row| identity(row, instance, 0))
}

/// The user that an ARN names, whole.
pub fn find_user(tx: &mut Tx, arn: &IdentityArn) -> Result<Option<AppInstanceUser>> {
    let Some(instance) = arn.app_instance_key() else { return Ok(None) };
    tx.row(
        "SELECT i.key, i.id, i.name, i.metadata, i.created_at, i.updated_at, i.expiration_days,
           i.expiration_criterion
         FROM identity i JOIN app_instance a ON a.key = i.app_instance AND a.deleted_at IS NULL
         WHERE i.app_instance = $1 AND i.kind = 'user' AND i.id = $2 AND i.deleted_at IS NULL",
        values![instance, arn.id()],
        |row| user(row, &arn.app_instance()),
    )
}

/// Up to `limit` users whose ids come after `after`, in the order of their ids.
pub fn list_users(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    after: &str,
    limit: i64,
) -> Result<Vec<AppInstanceUser>> {
    let Some(key) = instance.key() else { return Ok(Vec::new()) };
    tx.rows(
        "SELECT key, id, name, metadata, created_at, updated_at, expiration_days, expiration_criterion
         FROM identity WHERE app_instance = $1 AND kind = 'user' AND $2 < id AND deleted_at IS NULL
         ORDER BY id LIMIT $3",
        values![key, after, limit],
        |row| user(row, instance),
    )
}

/// Makes an identity that is none an administrator.
pub fn promote(tx: &mut Tx, key: Key, now: Timestamp) -> Result<()> {
    let sql =
        "UPDATE identity SET admin_since = $2 WHERE key = $1 AND admin_since IS NULL AND deleted_at IS NULL";
    tx.settle(Shared::Person(key), sql, values![key, now])
}

/// Makes an administrator an ordinary identity.
pub fn demote(tx: &mut Tx, key: Key) -> Result<()> {
    let sql = "UPDATE identity SET admin_since = NULL WHERE key = $1 AND admin_since IS NOT NULL";
    tx.settle(Shared::Person(key), sql, values![key])
}

/// The administrator that an ARN names, and since when it is one.
pub fn find_admin(tx: &mut Tx, arn: &IdentityArn) -> Result<Option<(Identity, Timestamp)>> {
    let Some(instance) = arn.app_instance_key() else { return Ok(None) };
    tx.row(
        "SELECT i.key, i.kind, i.id, i.name, i.admin_since
         FROM identity i JOIN app_instance a ON a.key = i.app_instance AND a.deleted_at IS NULL
         WHERE i.app_instance = $1 AND i.kind = $2 AND i.id = $3 AND i.deleted_at IS NULL
           AND i.admin_since IS NOT NULL",
        values![instance, arn.kind(), arn.id()],
        |row| Ok((identity(row, &arn.app_instance(), 0)?, row.get(4)?)),
    )
}

/// Up to `limit` administrators after `after`, in the order of their keys.
pub fn list_admins(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<Identity>> {
    let Some(key) = instance.key() else { return Ok(Vec::new()) };
    tx.rows(
        "SELECT key, kind, id, name FROM identity
         WHERE app_instance = $1 AND key > $2 AND admin_since IS NOT NULL AND deleted_at IS NULL
         ORDER BY key LIMIT $3",
        values![key, after.unwrap_or(Key([0; 16])), limit],
        |row| identity(row, instance, 0),
    )
}

/// Replaces the name and the metadata of a user.
pub fn update_user(
    tx: &mut Tx,
    key: Key,
    name: &UserName,
    metadata: Option<&Metadata>,
    now: Timestamp,
) -> Result<()> {
    let sql = "UPDATE identity SET name = $2, metadata = $3, updated_at = $4
               WHERE key = $1 AND deleted_at IS NULL";
    tx.settle(Shared::Person(key), sql, values![key, name, metadata, now])
}

/// Sets when a user goes away by itself.
pub fn set_expiration(
    tx: &mut Tx,
    key: Key,
    expiration: Option<(ExpirationDays, UserExpirationCriterion)>,
) -> Result<()> {
    let (days, criterion) = expiration.unzip();
    let sql = "UPDATE identity SET expiration_days = $2, expiration_criterion = $3
               WHERE key = $1 AND deleted_at IS NULL";
    tx.settle(Shared::Person(key), sql, values![key, days, criterion])
}

/// Counts a channel that these identities are about to join, and holds them, so that none of them is deleted
/// meanwhile.
pub fn join(tx: &mut Tx, keys: &[Key]) -> Result<()> {
    let sql =
        "UPDATE identity SET membership_count = membership_count + 1 WHERE key = $1 AND deleted_at IS NULL";
    keys.iter().try_for_each(|key| tx.settle(Shared::Person(*key), sql, values![key]))
}

/// Counts channels joined, or left where `by` is negative.
pub fn add_memberships(tx: &mut Tx, key: Key, by: i64) -> Result<()> {
    let sql = "UPDATE identity SET membership_count = membership_count + $2 WHERE key = $1";
    tx.settle_if_there(Shared::Person(key), sql, values![key, by])
}

/// Counts a channel less, which was deleted, and is being destroyed.
pub(crate) fn bereave(tx: &mut Tx, key: Key, channel: Key) -> Result<()> {
    tx.settle_if_there(
        Shared::Person(key),
        "UPDATE identity SET membership_count = membership_count - 1, bereft_at = COALESCE(
           (SELECT c.deleted_at FROM channel c WHERE c.key = $2 AND COALESCE(identity.bereft_at, 0) < c.deleted_at),
           bereft_at)
         WHERE key = $1",
        values![key, channel],
    )
}

/// When a channel of someone's was last deleted of those that are destroyed.
pub fn find_bereft(tx: &mut Tx, key: Key) -> Result<Option<Timestamp>> {
    let sql = "SELECT bereft_at FROM identity WHERE key = $1";
    Ok(tx.row(sql, values![key], |row| row.get(0))?.flatten())
}

/// Holds an identity that something is about to be given to, so that nobody deletes it meanwhile.
pub fn hold(tx: &mut Tx, key: Key) -> Result<()> {
    let sql = "UPDATE identity SET membership_count = membership_count WHERE key = $1 AND deleted_at IS NULL";
    tx.settle(Shared::Person(key), sql, values![key])
}

/// Whether an identity is there and not deleted.
pub fn exists(tx: &mut Tx, key: Key) -> Result<bool> {
    let sql = "SELECT 1 FROM identity WHERE key = $1 AND deleted_at IS NULL";
    Ok(tx.row(sql, values![key], |_| Ok(()))?.is_some())
}

/// Makes an identity inaccessible; its id is free again. Of what it was, its ARN and its last name stay, for what
/// it said and did. It has still to leave its channels: [`find_leaving`]. Whether it is an administrator was counted.
pub fn set_deleted(tx: &mut Tx, key: Key, is_admin: bool, now: Timestamp) -> Result<()> {
    let sql = "UPDATE identity SET deleted_at = $2, leaving = 1, admin_since = NULL, metadata = NULL,
                 configuration = NULL, expiration_days = NULL, expiration_criterion = NULL
               WHERE key = $1 AND deleted_at IS NULL
                 AND CASE WHEN admin_since IS NULL THEN 0 ELSE 1 END = CAST($3 AS BIGINT)";
    tx.settle(Shared::Person(key), sql, values![key, now, is_admin])
}

/// The first deleted identity after `after` that has still to leave its channels; where its row cannot be read, why.
pub fn find_leaving(tx: &mut Tx, home: &Home, after: Key) -> Result<Option<(Key, Result<Identity>)>> {
    tx.row(
        "SELECT key, kind, id, name, app_instance FROM identity WHERE leaving IS NOT NULL AND $1 < key
         ORDER BY key LIMIT 1",
        values![after],
        |row| {
            let read = || identity(row, &home.app_instance(row.get(4)?), 0);
            Ok((row.get(0)?, read()))
        },
    )
}

/// Up to `limit` channels that an identity is something to, as a member, as a moderator or by a ban.
pub fn list_involved(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    key: Key,
    limit: i64,
) -> Result<Vec<(Key, ChannelArn)>> {
    tx.rows(
        "SELECT key, id FROM (
           SELECT key, id FROM (
             SELECT DISTINCT c.key AS key, c.id AS id FROM membership m JOIN channel c ON c.key = m.channel
             WHERE m.member = $1 AND c.deleted_at IS NULL ORDER BY c.key LIMIT $2) AS joined
           UNION SELECT key, id FROM (
             SELECT c.key AS key, c.id AS id FROM moderator m JOIN channel c ON c.key = m.channel
             WHERE m.member = $1 AND c.deleted_at IS NULL ORDER BY c.key LIMIT $2) AS moderated
           UNION SELECT key, id FROM (
             SELECT c.key AS key, c.id AS id FROM ban b JOIN channel c ON c.key = b.channel
             WHERE b.member = $1 AND c.deleted_at IS NULL ORDER BY c.key LIMIT $2) AS banned
         ) AS involved ORDER BY key LIMIT $2",
        values![key, limit],
        |row| Ok((row.get(0)?, instance.channel(&row.get::<String>(1)?))),
    )
}

/// Notes that a deleted identity left all its channels.
pub fn set_left(tx: &mut Tx, key: Key) -> Result<()> {
    let sql = "UPDATE identity SET leaving = NULL WHERE key = $1";
    tx.settle_if_there(Shared::Person(key), sql, values![key])
}

/// Up to `limit` users after `after` that will expire some day, in the order of their keys; of a row that cannot be
/// read, why.
pub fn list_expiring(
    tx: &mut Tx,
    home: &Home,
    after: Key,
    limit: i64,
) -> Result<Vec<(Key, Result<AppInstanceUser>)>> {
    tx.rows(
        "SELECT key, id, name, metadata, created_at, updated_at, expiration_days, expiration_criterion, app_instance
         FROM identity WHERE expiration_days IS NOT NULL AND deleted_at IS NULL AND $1 < key
         ORDER BY key LIMIT $2",
        values![after, limit],
        |row| {
            let read = || user(row, &home.app_instance(row.get(8)?));
            Ok((row.get(0)?, read()))
        },
    )
}

/// Makes up to `limit` identities of a deleted app instance inaccessible each by itself, and tells which. They need
/// not leave its channels, which end with it.
pub fn end_some(tx: &mut Tx, instance: Key, now: Timestamp, limit: i64) -> Result<Vec<Key>> {
    let sql = "SELECT key FROM identity WHERE app_instance = $1 AND deleted_at IS NULL LIMIT $2";
    let keys = tx.rows(sql, values![instance, limit], |row| row.get(0))?;
    for key in &keys {
        let sql = "UPDATE identity SET deleted_at = $2 WHERE key = $1";
        tx.settle_if_there(Shared::Person(*key), sql, values![key, now])?;
    }
    Ok(keys)
}

/// Deletes up to `limit` identities of a deleted app instance whose channels are gone; answers how many.
pub fn delete_some(tx: &mut Tx, instance: Key, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM identity WHERE key IN
           (SELECT key FROM identity WHERE app_instance = $1 AND deleted_at IS NOT NULL ORDER BY key LIMIT $2)",
        values![instance, limit],
    )
}

/// Reads an identity from four columns: key, kind, id, name.
pub(crate) fn identity(row: &Row<'_>, instance: &AppInstanceArn, at: usize) -> Result<Identity> {
    let (kind, id): (IdentityKind, String) = (row.get(at + 1)?, row.get(at + 2)?);
    Ok(Identity { key: row.get(at)?, arn: instance.identity(kind, &id), name: row.get(at + 3)? })
}

fn user(row: &Row<'_>, instance: &AppInstanceArn) -> Result<AppInstanceUser> {
    let id: String = row.get(1)?;
    Ok(AppInstanceUser {
        key: row.get(0)?,
        arn: instance.user(&id),
        name: row.get(2)?,
        metadata: row.get(3)?,
        created_at: row.get(4)?,
        updated_at: row.get(5)?,
        expiration: row.get::<Option<_>>(6)?.zip(row.get(7)?),
    })
}
