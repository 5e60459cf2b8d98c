//! Who is banned from a channel.

use crate::engine::values;
use crate::{Result, Tx, identity};
use carillon_model::Key;
use carillon_model::Timestamp;
use carillon_model::arn::AppInstanceArn;
use carillon_model::channel::Appointment;
use carillon_model::identity::Identity;

/// Bans an identity; false when it is banned.
pub fn insert(tx: &mut Tx, channel: Key, member: Key, by: Key, now: Timestamp) -> Result<bool> {
    let sql = "INSERT INTO ban (channel, member, created_by, created_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, values![channel, member, by, now])? == 1)
}

/// Whether an identity is banned from a channel.
pub fn exists(tx: &mut Tx, channel: Key, member: Key) -> Result<bool> {
    let sql = "SELECT 1 FROM ban WHERE channel = $1 AND member = $2";
    Ok(tx.row(sql, values![channel, member], |_| Ok(()))?.is_some())
}

/// Since when and by whom an identity is banned from a channel, if it is.
pub fn find(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    channel: Key,
    member: &Identity,
) -> Result<Option<Appointment>> {
    tx.row(
        "SELECT o.created_at, i.key, i.kind, i.id, i.name
         FROM ban o JOIN identity i ON i.key = o.created_by WHERE o.channel = $1 AND o.member = $2",
        values![channel, member.key],
        |row| {
            let (created_at, created_by) = (row.get(0)?, identity::identity(row, instance, 1)?);
            Ok(Appointment { member: member.clone(), created_by, created_at })
        },
    )
}

/// Up to `limit` banned identities of a channel after `after`, in the order of their keys.
pub fn list(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    channel: Key,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<Identity>> {
    tx.rows(
        "SELECT i.key, i.kind, i.id, i.name FROM ban o JOIN identity i ON i.key = o.member
         WHERE o.channel = $1 AND $2 < o.member ORDER BY o.member LIMIT $3",
        values![channel, after.unwrap_or(Key([0; 16])), limit],
        |row| identity::identity(row, instance, 0),
    )
}

/// How many a channel has, counting no further than `most`.
pub fn count(tx: &mut Tx, channel: Key, most: i64) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM ban WHERE channel = $1 LIMIT $2) AS counted";
    Ok(tx.row(sql, values![channel, most], |row| row.get(0))?.unwrap_or_default())
}

/// Lifts a ban, where there is one.
pub fn delete(tx: &mut Tx, channel: Key, member: Key) -> Result<()> {
    tx.defer("DELETE FROM ban WHERE channel = $1 AND member = $2", values![channel, member])
}

/// Takes up to `limit` rows of a deleted channel away; answers how many.
pub fn delete_some(tx: &mut Tx, channel: Key, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM ban WHERE channel = $1 AND member IN
           (SELECT member FROM ban WHERE channel = $1 LIMIT $2)",
        values![channel, limit],
    )
}
