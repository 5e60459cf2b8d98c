//! Channels that certain people share, for those who look for them.

use std::sync::LazyLock;

use carillon_model::arn::AppInstanceArn;
use carillon_model::channel::Channel;
use carillon_model::text::ChannelMembershipType;
use carillon_model::{Key, Timestamp};

use crate::channel::{self, channel_columns};
use crate::engine::{MANY, ToValue, Value, parameters, several, values};
use crate::{Result, Tx};

/// A channel that someone belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walked {
    /// The channel.
    pub channel: Key,
    /// Whether all the others belong, too.
    pub is_common: bool,
    /// Whether who sees no hidden members sees all of them, or is one of them.
    pub is_seen: bool,
}

/// Up to `limit` channels of `walker`, from `from` on, in the order of their keys, and whether all of up to
/// [`crate::LIST_LEN_MAX`] others belong. A seek for each of them.
pub fn walk(
    tx: &mut Tx,
    (walker, from, limit): (Key, Key, i64),
    others: &[Key],
    viewer: Key,
) -> Result<Vec<Walked>> {
    static ONE: LazyLock<String> = LazyLock::new(|| walk_sql(1));
    static ALL: LazyLock<String> = LazyLock::new(|| walk_sql(MANY));
    let count = others.len();
    let mut values = values![walker, from, limit, viewer].to_vec();
    let sql = several(&ONE, &ALL, &mut values, others.iter().map(ToValue::to_value));
    tx.rows(sql, &values, |row| {
        let (channel, common, seen) = row.read::<(Key, usize, usize)>()?;
        Ok(Walked { channel, is_common: common == count, is_seen: seen == count })
    })
}

fn walk_sql(count: usize) -> String {
    let others = parameters(5, count);
    format!(
        "SELECT w.channel,
           (SELECT COUNT(DISTINCT o.member) FROM membership o WHERE o.channel = w.channel AND o.member IN ({others})),
           (SELECT COUNT(DISTINCT o.member) FROM membership o WHERE o.channel = w.channel AND o.member IN ({others})
              AND (o.kind = 'DEFAULT' OR o.member = $4))
         FROM (SELECT DISTINCT channel FROM membership WHERE member = $1 AND $2 <= channel
               ORDER BY channel LIMIT $3) AS w
         ORDER BY w.channel"
    )
}

/// A channel, as someone who may belong to it sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The channel.
    pub channel: Channel,
    /// How the viewer belongs, if they do.
    pub own: Option<ChannelMembershipType>,
    /// The last message that only the viewer, or they and the sender, could see.
    pub last_target_at: Option<Timestamp>,
    /// Whether the viewer moderates it.
    pub is_moderator: bool,
    /// How many belong, counted no further than was asked.
    pub member_count: i64,
    /// How many of them somebody sees who sees no hidden members, themselves among them.
    pub seen_count: i64,
}

/// Those of up to [`crate::LIST_LEN_MAX`] channels that exist, in the order of their keys, as `viewer` sees them.
/// Members are counted up to `most`.
pub fn list(
    tx: &mut Tx,
    (instance, viewer): (&AppInstanceArn, Key),
    channels: &[Key],
    most: i64,
) -> Result<Vec<Seen>> {
    static ONE: LazyLock<String> = LazyLock::new(|| list_sql(1));
    static ALL: LazyLock<String> = LazyLock::new(|| list_sql(MANY));
    if channels.is_empty() {
        return Ok(Vec::new());
    }
    let mut values: Vec<Value<'_>> = values![viewer, most].to_vec();
    let sql = several(&ONE, &ALL, &mut values, channels.iter().map(ToValue::to_value));
    tx.rows(sql, &values, |row| {
        Ok(Seen {
            channel: channel::named(row, instance)?,
            own: row.read()?,
            last_target_at: row.read()?,
            is_moderator: row.read()?,
            member_count: row.read()?,
            seen_count: row.read()?,
        })
    })
}

fn list_sql(count: usize) -> String {
    format!(
        "SELECT c.id, {},
           (SELECT o.kind FROM membership o WHERE o.channel = c.key AND o.member = $1 ORDER BY o.sub_channel LIMIT 1),
           (SELECT o.last_target_at FROM membership o WHERE o.channel = c.key AND o.member = $1
            ORDER BY o.sub_channel LIMIT 1),
           (SELECT COUNT(*) FROM moderator d WHERE d.channel = c.key AND d.member = $1),
           (SELECT COUNT(*) FROM
             (SELECT DISTINCT o.member FROM membership o WHERE o.channel = c.key LIMIT $2) AS counted),
           (SELECT COUNT(*) FROM (SELECT DISTINCT o.member FROM membership o WHERE o.channel = c.key
              AND (o.kind = 'DEFAULT' OR o.member = $1) LIMIT $2) AS seen)
         FROM channel c WHERE c.deleted_at IS NULL AND c.key IN ({}) ORDER BY c.key",
        channel_columns!(c),
        parameters(3, count)
    )
}
