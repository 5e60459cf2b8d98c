//! The sub-channels of elastic channels, and how far their balancing has come.
//!
//! Every function that writes is called under the channel's claim.

use carillon_model::arn::Home;
use carillon_model::channel::Channel;
use carillon_model::{ChannelArn, Key, Timestamp};

use crate::engine::{Column, FromColumn, ToValue, Value, values};
use crate::row::{read, row, sql};
use crate::{Result, Tx};

/// A sub-channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubChannel {
    /// Its key, which its `SubChannelId` spells.
    pub key: Key,
    /// How many regular members it has.
    pub regular_count: i64,
    /// Them, and those who are on their way from one that drains into it.
    pub taken: i64,
    /// What balancing has yet to do with it.
    pub task: Option<Task>,
    /// Where its members go while it drains.
    pub receiver: Option<Key>,
}

/// What balancing has yet to do with a sub-channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// It is new: members of full ones move here. It takes newcomers.
    Fill,
    /// It is to go: its regular members move away, and nobody regular comes.
    Drain,
    /// It has no regular members any more: its moderators leave.
    Close,
    /// It is no more: its messages are deleted.
    Destroy,
}

impl Task {
    fn as_str(self) -> &'static str {
        match self {
            Self::Fill => "FILL",
            Self::Drain => "DRAIN",
            Self::Close => "CLOSE",
            Self::Destroy => "DESTROY",
        }
    }
}

impl ToValue for Task {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self.as_str().into())
    }
}

impl FromColumn for Task {
    fn from_column(column: Column<'_>) -> Option<Self> {
        let Column::Text(text) = column else { return None };
        [Self::Fill, Self::Drain, Self::Close, Self::Destroy].into_iter().find(|task| task.as_str() == text)
    }
}

row! { ($) sub_channel_columns:
    fn sub_channel(row) -> SubChannel { key, regular_count, taken, task, receiver }
}

/// Sub-channels as [`sub_channel`] reads them; the rest of the statement follows.
macro_rules! select {
    ($rest:literal) => {
        sql!("SELECT " sub_channel_columns!() " FROM sub_channel " $rest)
    };
}

/// Adds an empty sub-channel.
pub fn insert(tx: &mut Tx, channel: Key, key: Key, task: Option<Task>, now: Timestamp) -> Result<()> {
    let sql =
        "INSERT INTO sub_channel (channel, key, created_at, regular_count, task) VALUES ($1, $2, $3, 0, $4)";
    tx.defer(sql, values![channel, key, now, task])?;
    add_live(tx, channel, 1)
}

fn add_live(tx: &mut Tx, channel: Key, by: i64) -> Result<()> {
    let sql = "UPDATE channel SET sub_channel_count = sub_channel_count + $2 WHERE key = $1";
    tx.defer(sql, values![channel, by])
}

/// How many sub-channels members can be in.
pub fn count(tx: &mut Tx, channel: Key) -> Result<i64> {
    let sql = "SELECT sub_channel_count FROM channel WHERE key = $1";
    Ok(tx.row(sql, values![channel], read)?.unwrap_or_default())
}

/// Whether a channel has this sub-channel.
pub fn exists(tx: &mut Tx, channel: Key, key: Key) -> Result<bool> {
    let sql = "SELECT 1 FROM sub_channel WHERE channel = $1 AND key = $2
                 AND (task IS NULL OR task = 'FILL' OR task = 'DRAIN')";
    Ok(tx.row(sql, values![channel, key], |_| Ok(()))?.is_some())
}

/// The fullest of those that take newcomers and have less than `below` places taken, the oldest of equals.
pub fn find_fullest(
    tx: &mut Tx,
    channel: Key,
    below: i64,
    except: Option<Key>,
) -> Result<Option<SubChannel>> {
    tx.row(
        select!(
            "WHERE channel = $1 AND is_open = 1 AND taken < $2 AND key <> $3
         ORDER BY taken DESC, created_at, key LIMIT 1"
        ),
        values![channel, below, except.unwrap_or(Key([0; 16]))],
        sub_channel,
    )
}

/// The emptiest of those that balancing has nothing to do with, where it has less than `below` members; the
/// youngest of equals.
pub fn find_emptiest(tx: &mut Tx, channel: Key, below: i64) -> Result<Option<SubChannel>> {
    tx.row(
        select!(
            "WHERE channel = $1 AND is_open = 1 AND taken < $2 AND taken = regular_count AND task IS NULL
         ORDER BY taken, created_at DESC, key DESC LIMIT 1"
        ),
        values![channel, below],
        sub_channel,
    )
}

/// One that drains.
pub fn find_draining(tx: &mut Tx, channel: Key) -> Result<Option<SubChannel>> {
    tx.row(
        select!("WHERE channel = $1 AND task = 'DRAIN' ORDER BY key LIMIT 1"),
        values![channel],
        sub_channel,
    )
}

/// One that balancing has something to do with; those whose members move before those that have none.
pub fn find_busy(tx: &mut Tx, channel: Key) -> Result<Option<SubChannel>> {
    tx.row(
        select!(
            "WHERE channel = $1 AND task IS NOT NULL
         ORDER BY CASE task WHEN 'DESTROY' THEN 1 ELSE 0 END, key LIMIT 1"
        ),
        values![channel],
        sub_channel,
    )
}

/// Up to `limit` channels after `after` that balancing has something to do in, in the order of their keys.
pub fn list_busy_channels(
    tx: &mut Tx,
    home: &Home,
    after: Key,
    limit: i64,
) -> Result<Vec<(ChannelArn, Key)>> {
    tx.rows(
        "SELECT c.key, c.app_instance, c.id
         FROM (SELECT DISTINCT channel FROM sub_channel WHERE task IS NOT NULL AND $1 < channel
               ORDER BY channel LIMIT $2) AS busy
         JOIN channel c ON c.key = busy.channel ORDER BY c.key",
        values![after, limit],
        |row| {
            let (key, instance, id) = row.read::<(Key, Key, String)>()?;
            Ok((home.app_instance(instance).channel(&id), key))
        },
    )
}

/// Counts regular members that came.
pub fn add_regulars(tx: &mut Tx, channel: Key, key: Key, by: i64) -> Result<()> {
    let sql = "UPDATE sub_channel SET regular_count = regular_count + $3, taken = taken + $3
               WHERE channel = $1 AND key = $2";
    tx.defer(sql, values![channel, key, by])
}

/// Counts a regular member that left; where the sub-channel drains, nobody keeps a place for them any more.
pub fn remove_regular(tx: &mut Tx, channel: Key, key: Key) -> Result<()> {
    add_regulars(tx, channel, key, -1)?;
    tx.defer(
        "UPDATE sub_channel SET taken = taken - 1 WHERE channel = $1 AND key =
           (SELECT s.receiver FROM sub_channel s WHERE s.channel = $1 AND s.key = $2)",
        values![channel, key],
    )
}

/// Counts regular members that moved.
pub fn move_regulars(tx: &mut Tx, channel: Key, from: Key, to: Key, moved: i64) -> Result<()> {
    // Where the one drains into the other, their places were taken already.
    tx.defer(
        "UPDATE sub_channel SET regular_count = regular_count + $4, taken = taken +
           CASE WHEN EXISTS (SELECT 1 FROM sub_channel s WHERE s.channel = $1 AND s.key = $2 AND s.receiver = $3)
             THEN 0 ELSE CAST($4 AS BIGINT) END
         WHERE channel = $1 AND key = $3",
        values![channel, from, to, moved],
    )?;
    add_regulars(tx, channel, from, -moved)
}

/// Counts moderators that came, or went where `by` is negative.
pub fn add_moderators(tx: &mut Tx, channel: Key, key: Key, by: i64) -> Result<()> {
    let sql = "UPDATE sub_channel SET moderator_count = moderator_count + $3 WHERE channel = $1 AND key = $2";
    tx.defer(sql, values![channel, key, by])
}

/// Begins to drain one into another, which keeps places for all its members.
pub fn start_drain(tx: &mut Tx, channel: Key, from: &SubChannel, receiver: Key) -> Result<()> {
    let sql =
        "UPDATE sub_channel SET is_open = 0, task = 'DRAIN', receiver = $3 WHERE channel = $1 AND key = $2";
    tx.defer(sql, values![channel, from.key, receiver])?;
    let sql = "UPDATE sub_channel SET taken = taken + $3 WHERE channel = $1 AND key = $2";
    tx.defer(sql, values![channel, receiver, from.regular_count])
}

/// Has one that drained take newcomers again. Those who have moved stay where they are.
pub fn stop_drain(tx: &mut Tx, channel: Key, from: &SubChannel) -> Result<()> {
    let sql = "UPDATE sub_channel SET taken = taken - $3 WHERE channel = $1 AND key = $2";
    tx.defer(sql, values![channel, from.receiver, from.regular_count])?;
    let sql =
        "UPDATE sub_channel SET is_open = 1, task = NULL, receiver = NULL WHERE channel = $1 AND key = $2";
    tx.defer(sql, values![channel, from.key])
}

/// Ends the filling of a new one.
pub fn end_fill(tx: &mut Tx, channel: Key, key: Key) -> Result<()> {
    tx.defer("UPDATE sub_channel SET task = NULL WHERE channel = $1 AND key = $2", values![channel, key])
}

/// Takes one that drained off the channel: another may come into being in its place.
pub fn close(tx: &mut Tx, channel: Key, key: Key) -> Result<()> {
    let sql = "UPDATE sub_channel SET task = 'CLOSE', receiver = NULL WHERE channel = $1 AND key = $2";
    tx.defer(sql, values![channel, key])?;
    add_live(tx, channel, -1)
}

/// Leaves one to the deletion of its messages.
pub fn destroy(tx: &mut Tx, channel: Key, key: Key) -> Result<()> {
    tx.defer("UPDATE sub_channel SET task = 'DESTROY' WHERE channel = $1 AND key = $2", values![channel, key])
}

/// Where the members of a channel are told: in all its sub-channels; of an ordinary channel, in itself.
pub fn list_places(tx: &mut Tx, channel: &Channel) -> Result<Vec<Key>> {
    if channel.elastic.is_none() {
        return Ok(vec![channel.key]);
    }
    let sql = "SELECT key FROM sub_channel WHERE channel = $1 AND (task IS NULL OR task <> 'DESTROY')";
    tx.rows(sql, values![channel.key], read)
}

/// Up to `limit` sub-channels after `after`, in the order of their keys, each with the number of its members.
pub fn list_counted(tx: &mut Tx, channel: Key, after: Option<Key>, limit: i64) -> Result<Vec<(Key, i64)>> {
    tx.rows(
        "SELECT key, regular_count + moderator_count FROM sub_channel
         WHERE channel = $1 AND $2 < key AND (task IS NULL OR task = 'FILL' OR task = 'DRAIN')
         ORDER BY key LIMIT $3",
        values![channel, after.unwrap_or(Key([0; 16])), limit],
        read,
    )
}

/// Any sub-channel of a channel that was deleted.
pub fn find_left(tx: &mut Tx, channel: Key) -> Result<Option<Key>> {
    let sql = "SELECT key FROM sub_channel WHERE channel = $1 ORDER BY key LIMIT 1";
    tx.row(sql, values![channel], read)
}

/// Deletes the last row of a sub-channel that is no more.
pub fn delete(tx: &mut Tx, channel: Key, key: Key) -> Result<()> {
    tx.defer("DELETE FROM sub_channel WHERE channel = $1 AND key = $2", values![channel, key])
}
