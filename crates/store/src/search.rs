//! Channels that certain people share, for those who look for them.

use std::sync::LazyLock;

use carillon_model::arn::AppInstanceArn;
use carillon_model::channel::Channel;
use carillon_model::{Key, Timestamp};

use crate::channel::{self, channel_columns};
use crate::engine::{MANY, ToValue, Value, parameters, several, values};
use crate::row::read;
use crate::{Result, Tx};

/// How far a walk along the channels of somebody has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Those of the channels to which all others belong, too, in the order of their keys.
    pub common: Vec<Key>,
    /// The last channel that was looked at; nothing where there are no more.
    pub last: Option<Key>,
}

/// Walks along up to `most` channels of `walker`, from `from` on. A seek for each of the others, in an index that holds
/// all that is asked; where there are none, one for all.
pub fn walk(tx: &mut Tx, (walker, from, most): (Key, Key, i64), others: &[Key]) -> Result<Walk> {
    let sql = "SELECT channel FROM membership WHERE member = $1 AND $2 <= channel
               ORDER BY channel, sub_channel LIMIT 1 OFFSET $3";
    let last: Option<Key> = tx.row(sql, values![walker, from, most - 1], read)?;
    let until = last.unwrap_or(Key([0xff; 16]));
    let (some, rest) = others.split_at(others.len().min(MANY));
    let mut common = list_common(tx, (walker, from, until), some)?;
    for some in rest.chunks(MANY) {
        let also = list_common(tx, (walker, from, until), some)?;
        common.retain(|channel| also.binary_search(channel).is_ok());
    }
    Ok(Walk { common, last })
}

/// The channels of the walker, each once.
macro_rules! common_sql {
    () => {
        "SELECT DISTINCT w.channel FROM membership w
         WHERE w.member = $1 AND $2 <= w.channel AND w.channel <= $3"
    };
}

/// The channels of `walker`, from `from` to `until`, to which all of up to [`MANY`] others belong.
fn list_common(tx: &mut Tx, (walker, from, until): (Key, Key, Key), others: &[Key]) -> Result<Vec<Key>> {
    static ALL: LazyLock<String> = LazyLock::new(|| {
        let (others, all) = (parameters(4, MANY), 4 + MANY);
        let count = "SELECT COUNT(DISTINCT o.member) FROM membership o WHERE o.channel = w.channel";
        format!("{} AND ({count} AND o.member IN ({others})) = ${all} ORDER BY w.channel", common_sql!())
    });
    // Most searches are for what two people share.
    const ONE: &str = concat!(
        common_sql!(),
        " AND EXISTS (SELECT 1 FROM membership o WHERE o.member = $4 AND o.channel = w.channel) ORDER BY w.channel"
    );
    const NONE: &str = concat!(common_sql!(), " ORDER BY w.channel");
    let mut values = values![walker, from, until].to_vec();
    if others.is_empty() {
        return tx.rows(NONE, &values, read);
    }
    let sql = several(ONE, &ALL, &mut values, others.iter().map(ToValue::to_value));
    if 1 < others.len() {
        values.push(Value::Int(i64::try_from(others.len()).unwrap_or(i64::MAX)));
    }
    tx.rows(sql, &values, read)
}

/// Which of up to [`crate::LIST_LEN_MAX`] members are hidden in which of up to [`crate::LIST_LEN_MAX`] channels.
pub fn list_hidden(tx: &mut Tx, channels: &[Key], members: &[Key]) -> Result<Vec<(Key, Key)>> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let (channels, members) = (parameters(1, MANY), parameters(1 + MANY, MANY));
        format!(
            "SELECT channel, member FROM membership
             WHERE kind = 'HIDDEN' AND channel IN ({channels}) AND member IN ({members})"
        )
    });
    let (Some(channel), Some(member)) = (channels.last(), members.last()) else { return Ok(Vec::new()) };
    let filled = |list: &[Key], last: Key| {
        let rest = MANY.saturating_sub(list.len());
        list.iter().copied().chain(std::iter::repeat_n(last, rest)).collect::<Vec<_>>()
    };
    let keys = [filled(channels, *channel), filled(members, *member)].concat();
    let values: Vec<Value<'_>> = keys.iter().map(ToValue::to_value).collect();
    tx.rows(&SQL, &values, read)
}

/// A channel, as someone who may belong to it sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The channel.
    pub channel: Channel,
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
