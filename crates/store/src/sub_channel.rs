//! The sub-channels of elastic channels.

use carillon_model::channel::Channel;
use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::{Result, Tx};

/// A sub-channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubChannel {
    /// Its key, which its `SubChannelId` spells.
    pub key: Key,
    /// How many regular members it has.
    pub regular_count: i64,
}

/// Adds a sub-channel.
pub fn insert(tx: &mut Tx, channel: Key, key: Key, now: Timestamp) -> Result<()> {
    let sql = "INSERT INTO sub_channel (channel, key, created_at, regular_count) VALUES ($1, $2, $3, 0)";
    tx.defer(sql, values![channel, key, now])
}

/// All sub-channels of a channel, the oldest first. Their number has a quota.
pub fn list(tx: &mut Tx, channel: Key) -> Result<Vec<SubChannel>> {
    tx.rows(
        "SELECT key, regular_count FROM sub_channel WHERE channel = $1 ORDER BY created_at, key",
        values![channel],
        |row| Ok(SubChannel { key: row.get(0)?, regular_count: row.get(1)? }),
    )
}

/// Counts regular members that came, or went where `by` is negative.
pub fn add_regulars(tx: &mut Tx, channel: Key, key: Key, by: i64) -> Result<()> {
    let sql = "UPDATE sub_channel SET regular_count = regular_count + $3 WHERE channel = $1 AND key = $2";
    tx.defer(sql, values![channel, key, by])
}

/// Where the members of a channel are told: in all its sub-channels; of an ordinary channel, in itself.
pub fn list_places(tx: &mut Tx, channel: &Channel) -> Result<Vec<Key>> {
    if channel.elastic.is_none() {
        return Ok(vec![channel.key]);
    }
    Ok(list(tx, channel.key)?.into_iter().map(|sub_channel| sub_channel.key).collect())
}

/// Up to `limit` sub-channels after `after`, in the order of their keys, each with all its members: the regular
/// ones, which are counted, and the moderators, who are few.
pub fn list_counted(tx: &mut Tx, channel: Key, after: Option<Key>, limit: i64) -> Result<Vec<(Key, i64)>> {
    tx.rows(
        "SELECT s.key, s.regular_count +
           (SELECT COUNT(*) FROM moderator o JOIN membership m ON m.channel = o.channel AND m.member = o.member
            WHERE o.channel = $1 AND m.sub_channel = s.key)
         FROM sub_channel s WHERE s.channel = $1 AND $2 < s.key ORDER BY s.key LIMIT $3",
        values![channel, after.unwrap_or(Key([0; 16])), limit],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// Deletes a sub-channel of a deleted channel.
pub fn delete(tx: &mut Tx, channel: Key, key: Key) -> Result<()> {
    tx.defer("DELETE FROM sub_channel WHERE channel = $1 AND key = $2", values![channel, key])
}
