//! The sub-channels of elastic channels.

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
