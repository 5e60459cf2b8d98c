//! Users and bots.

use std::sync::LazyLock;

use carillon_model::arn::{AppInstanceArn, ChannelArn, Home, IdentityArn, IdentityKind};
use carillon_model::identity::{AppInstanceUser, Identity};
use carillon_model::text::{ExpirationDays, Metadata, UserExpirationCriterion, UserName};
use carillon_model::{Key, Timestamp};

use crate::engine::{MANY, Value, parameters, several, values};
use crate::paging;
use crate::row::{Written, read, read_of, row, sql};
use crate::settlement::Shared;
use crate::{Result, Row, Tx};

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

/// The columns that [`identity`] reads.
macro_rules! identity_columns {
    ($($alias:ident)?) => { $crate::row::columns!([$($alias)?] key kind id name) };
}
pub(crate) use identity_columns;

/// Reads an identity of an app instance.
pub(crate) fn identity(row: &mut Row<'_>, instance: &AppInstanceArn) -> Result<Identity> {
    let (key, kind, id) = row.read::<(Key, IdentityKind, String)>()?;
    Ok(Identity { key, arn: instance.identity(kind, &id), name: row.read()? })
}

/// Reads an identity where there is one.
pub(crate) fn any_identity(row: &mut Row<'_>, instance: &AppInstanceArn) -> Result<Option<Identity>> {
    let (key, kind, id) = row.read::<(Option<Key>, Option<IdentityKind>, Option<String>)>()?;
    let named = key.zip(kind.zip(id)).zip(row.read()?);
    Ok(named.map(|((key, (kind, id)), name)| Identity { key, arn: instance.identity(kind, &id), name }))
}

row! { ($) user_columns:
    fn user_with(row, arn: IdentityArn) -> AppInstanceUser {
        key, name, metadata, created_at, updated_at, expiration: (expiration_days, expiration_criterion);
        arn: arn
    }
}

/// Reads a user of an app instance behind their id.
fn user(row: &mut Row<'_>, instance: &AppInstanceArn) -> Result<AppInstanceUser> {
    let id: String = row.read()?;
    user_with(row, instance.user(&id))
}

/// Adds a user; false when its id is taken.
pub fn insert_user(tx: &mut Tx, instance: Key, user: &AppInstanceUser) -> Result<bool> {
    let sql = sql!(user_columns!(INSERT INTO identity (app_instance, kind, id, membership_count, ..))
                   " ON CONFLICT DO NOTHING");
    Ok(tx.execute(sql, &user.values(values![instance, user.arn.kind(), user.arn.id(), 0_i64]))? == 1)
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
            let identity = Identity { key: row.read()?, arn: arn.clone(), name: row.read()? };
            let is_admin = row.read::<Option<Timestamp>>()?.is_some();
            Ok(Found { identity, is_admin, membership_count: row.read()? })
        },
    )
}

/// Those of up to [`crate::LIST_LEN_MAX`] users, or bots, of one app instance who exist. One read, however many.
pub fn find_all(tx: &mut Tx, arns: &[&IdentityArn]) -> Result<Vec<Found>> {
    static ONE: LazyLock<String> = LazyLock::new(|| find_all_sql(1));
    static ALL: LazyLock<String> = LazyLock::new(|| find_all_sql(MANY));
    let Some(first) = arns.first() else { return Ok(Vec::new()) };
    let (instance, key, kind) = (first.app_instance(), first.app_instance_key(), first.kind());
    let mut values = values![key, kind].to_vec();
    let sql = several(&ONE, &ALL, &mut values, arns.iter().map(|arn| Value::Text(arn.id().into())));
    tx.rows(sql, &values, |row| {
        let identity = identity(row, &instance)?;
        let is_admin = row.read::<Option<Timestamp>>()?.is_some();
        Ok(Found { identity, is_admin, membership_count: row.read()? })
    })
}

fn find_all_sql(count: usize) -> String {
    format!(
        "SELECT {}, i.admin_since, i.membership_count
         FROM identity i JOIN app_instance a ON a.key = i.app_instance AND a.deleted_at IS NULL
         WHERE i.app_instance = $1 AND i.kind = $2 AND i.deleted_at IS NULL AND i.id IN ({})",
        identity_columns!(i),
        parameters(3, count)
    )
}

/// The user or bot with this key, deleted or not: what old messages and old channels name.
pub fn get(tx: &mut Tx, instance: &AppInstanceArn, key: Key) -> Result<Option<Identity>> {
    let sql = sql!("SELECT " identity_columns!() " FROM identity WHERE key = $1");
    tx.row(sql, values![key], |row| identity(row, instance))
}

/// The user that an ARN names, whole.
pub fn find_user(tx: &mut Tx, arn: &IdentityArn) -> Result<Option<AppInstanceUser>> {
    let Some(instance) = arn.app_instance_key() else { return Ok(None) };
    tx.row(
        sql!("SELECT " user_columns!(i)
             " FROM identity i JOIN app_instance a ON a.key = i.app_instance AND a.deleted_at IS NULL
             WHERE i.app_instance = $1 AND i.kind = 'user' AND i.id = $2 AND i.deleted_at IS NULL"),
        values![instance, arn.id()],
        |row| user_with(row, arn.clone()),
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
        sql!("SELECT id, " user_columns!()
             " FROM identity WHERE app_instance = $1 AND kind = 'user' AND $2 < id AND deleted_at IS NULL
             ORDER BY id LIMIT $3"),
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
        sql!("SELECT " identity_columns!(i) ", i.admin_since
             FROM identity i JOIN app_instance a ON a.key = i.app_instance AND a.deleted_at IS NULL
             WHERE i.app_instance = $1 AND i.kind = $2 AND i.id = $3 AND i.deleted_at IS NULL
               AND i.admin_since IS NOT NULL"),
        values![instance, arn.kind(), arn.id()],
        |row| Ok((identity(row, &arn.app_instance())?, row.read()?)),
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
        sql!("SELECT " identity_columns!() " FROM identity
             WHERE app_instance = $1 AND key > $2 AND admin_since IS NOT NULL AND deleted_at IS NULL
             ORDER BY key LIMIT $3"),
        values![key, after.unwrap_or(Key([0; 16])), limit],
        |row| identity(row, instance),
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
    Ok(tx.row(sql, values![key], read)?.flatten())
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
        sql!("SELECT key, app_instance, " identity_columns!()
             " FROM identity WHERE leaving IS NOT NULL AND $1 < key ORDER BY key LIMIT 1"),
        values![after],
        |row| Ok((row.read()?, read_of(row, home, identity))),
    )
}

/// Up to `limit` channels after `after`, in the order of their keys, that an identity is something to, as a member, as
/// a moderator or by a ban.
pub fn list_involved(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    key: Key,
    (after, limit): (Key, i64),
) -> Result<Vec<(Key, ChannelArn)>> {
    paging::there(limit, after, |after, limit| {
        tx.rows(
            "SELECT c.key, c.id, c.deleted_at FROM (
               SELECT key FROM (
                 SELECT DISTINCT m.channel AS key FROM membership m
                 WHERE m.member = $1 AND $2 < m.channel ORDER BY m.channel LIMIT $3) AS joined
               UNION SELECT key FROM (
                 SELECT m.channel AS key FROM moderator m
                 WHERE m.member = $1 AND $2 < m.channel ORDER BY m.channel LIMIT $3) AS moderated
               UNION SELECT key FROM (
                 SELECT b.channel AS key FROM ban b
                 WHERE b.member = $1 AND $2 < b.channel ORDER BY b.channel LIMIT $3) AS banned
               ORDER BY key LIMIT $3
             ) AS involved JOIN channel c ON c.key = involved.key",
            values![key, after, limit],
            |row| {
                let (key, id): (Key, String) = (row.read()?, row.read()?);
                Ok(((key, instance.channel(&id)), key, row.read()?))
            },
        )
    })
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
        sql!("SELECT key, app_instance, id, " user_columns!()
             " FROM identity WHERE expiration_days IS NOT NULL AND deleted_at IS NULL AND $1 < key
             ORDER BY key LIMIT $2"),
        values![after, limit],
        |row| Ok((row.read()?, read_of(row, home, user))),
    )
}

/// Makes up to `limit` identities of a deleted app instance inaccessible each by itself, and tells which. They need
/// not leave its channels, which end with it.
pub fn end_some(tx: &mut Tx, instance: Key, now: Timestamp, limit: i64) -> Result<Vec<Key>> {
    let sql = "SELECT key FROM identity WHERE app_instance = $1 AND deleted_at IS NULL LIMIT $2";
    let keys = tx.rows(sql, values![instance, limit], read)?;
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
