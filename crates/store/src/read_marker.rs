//! Read markers: up to when each member has read a channel. They are of its memberships, and move without its claim.

use std::sync::LazyLock;

use carillon_model::arn::{AppInstanceArn, ChannelArn};
use carillon_model::channel::Channel;
use carillon_model::identity::Identity;
use carillon_model::{Key, Timestamp};

use crate::engine::{MANY, ToValue, parameters, several, values};
use crate::identity::{identity, identity_columns};
use crate::row::sql;
use crate::{Result, Tx, claim};

/// How far a member has read; nothing, where they never said so.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadMarker {
    /// Who.
    pub member: Identity,
    /// Up to when.
    pub read_at: Option<Timestamp>,
}

/// How far up to `limit` members of an ordinary channel after `after`, who are not hidden, have read it.
pub fn list(tx: &mut Tx, channel: &Channel, after: Option<Key>, limit: i64) -> Result<Vec<ReadMarker>> {
    // Cut before it is joined, as a page of members is.
    let sql = sql!("SELECT " identity_columns!(i) ", m.read_at FROM
         (SELECT p.member, p.read_at FROM membership p
          WHERE p.channel = $1 AND p.member > $2 AND p.kind = 'DEFAULT' ORDER BY p.member LIMIT $3) AS m
         JOIN identity i ON i.key = m.member ORDER BY m.member");
    tx.rows(sql, values![channel.key, after.unwrap_or(Key([0; 16])), limit], |row| {
        Ok(ReadMarker { member: identity(row, &channel.arn.app_instance())?, read_at: row.read()? })
    })
}

/// How far some of the members of an ordinary channel have read it, up to [`crate::LIST_LEN_MAX`] of them: those who
/// are still there, are not hidden, and have read at all.
pub fn find(
    tx: &mut Tx,
    (channel, instance): (Key, &AppInstanceArn),
    members: &[Key],
) -> Result<Vec<(Identity, Timestamp)>> {
    static ONE: LazyLock<String> = LazyLock::new(|| read_sql(1));
    static ALL: LazyLock<String> = LazyLock::new(|| read_sql(MANY));
    if members.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = values![channel].to_vec();
    let sql = several(&ONE, &ALL, &mut values, members.iter().map(ToValue::to_value));
    tx.rows(sql, &values, |row| Ok((identity(row, instance)?, row.read()?)))
}

fn read_sql(count: usize) -> String {
    format!(
        "SELECT {}, m.read_at FROM membership m JOIN identity i ON i.key = m.member
         WHERE m.channel = $1 AND m.kind = 'DEFAULT' AND m.read_at IS NOT NULL AND m.member IN ({})
         ORDER BY m.read_at, m.member",
        identity_columns!(i),
        parameters(2, count)
    )
}

/// Moves a member's read marker forward to `time`, never back; false when there is no such member.
pub fn set(tx: &mut Tx, channel: Key, member: Key, time: Timestamp) -> Result<bool> {
    claim::hold(tx, channel)?;
    let sql = "UPDATE membership SET read_at = CASE WHEN $3 < read_at THEN read_at ELSE $3 END
               WHERE channel = $1 AND member = $2";
    Ok(tx.execute(sql, values![channel, member, time])? == 1)
}

/// A read marker that moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// In this channel,
    pub channel: Key,
    /// which this names.
    pub arn: ChannelArn,
    /// Whose it is.
    pub member: Key,
}

/// Lets those who may learn of a read marker be told that it moved, once that is committed.
pub fn tell(tx: &mut Tx, channel: &Channel, member: Key) {
    tx.note_read(Moved { channel: channel.key, arn: channel.arn.clone(), member });
}
