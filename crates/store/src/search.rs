//! Channels that certain people share, for those who look for them.

use std::sync::LazyLock;

use carillon_model::arn::AppInstanceArn;
use carillon_model::channel::Channel;
use carillon_model::{Key, Timestamp};

use crate::channel::{self, channel_columns};
use crate::engine::{MANY, ToValue, Value, parameters, several, values};
use crate::row::read;
use crate::{Result, Tx};

/// A part of a walk along the channels of somebody, in the order of their keys.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// Whose channels.
    pub walker: Key,
    /// The first key.
    pub from: Key,
    /// The last key.
    pub until: Key,
    /// How many channels that are found end it before.
    pub limit: i64,
}

/// Who else must belong, and how that is found out.
#[derive(Debug, Clone, Copy)]
pub enum Beside {
    /// Nobody.
    Nobody,
    /// Somebody in many more channels: each of the walker's is looked up among theirs.
    Sought(Key),
    /// Somebody in not many more: both walk along theirs, and meet in what they share.
    Met(Key),
}

/// A channel, as someone who may belong to it sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The channel.
    pub channel: Channel,
    /// The last message that only the viewer, or they and the sender, could see.
    pub last_target_at: Option<Timestamp>,
    /// Whether somebody is hidden in it.
    pub has_hidden: bool,
}

/// What was found along a stretch.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The channels, in the order of their keys.
    pub seen: Vec<Seen>,
    /// Where it ended before its last key, because it found as many as were asked for.
    pub stopped_at: Option<Key>,
}

/// The channels of a stretch.
macro_rules! of_walker {
    () => {
        "SELECT DISTINCT w.channel FROM membership w WHERE w.member = $1 AND $2 <= w.channel AND w.channel <= $3"
    };
}

/// The channels along a stretch to which somebody else belongs, too, as `viewer` sees them. They are chosen from
/// indexes alone, and no more of them than is asked for, before anything else of them is read.
pub fn walk(
    tx: &mut Tx,
    (instance, viewer): (&AppInstanceArn, Key),
    stretch: &Stretch,
    beside: Beside,
) -> Result<Found> {
    static NOBODY: LazyLock<String> =
        LazyLock::new(|| seen_sql(concat!(of_walker!(), " ORDER BY w.channel LIMIT $4")));
    static SOUGHT: LazyLock<String> = LazyLock::new(|| {
        seen_sql(concat!(
            of_walker!(),
            " AND EXISTS (SELECT 1 FROM membership o WHERE o.member = $6 AND o.channel = w.channel)
             ORDER BY w.channel LIMIT $4"
        ))
    });
    // Both lists are in order, and engines go along them side by side.
    static MET: LazyLock<String> = LazyLock::new(|| {
        seen_sql(
            "SELECT channel FROM membership WHERE member = $1 AND $2 <= channel AND channel <= $3
             INTERSECT SELECT channel FROM membership WHERE member = $6 AND $2 <= channel AND channel <= $3
             ORDER BY channel LIMIT $4",
        )
    });
    let Stretch { walker, from, until, limit } = *stretch;
    let mut values = values![walker, from, until, limit, viewer].to_vec();
    let (sql, other) = match &beside {
        Beside::Nobody => (&NOBODY, None),
        Beside::Sought(other) => (&SOUGHT, Some(other)),
        Beside::Met(other) => (&MET, Some(other)),
    };
    values.extend(other.map(ToValue::to_value));
    let mut rows: Vec<(Seen, Option<Timestamp>)> = tx.rows(sql, &values, |row| {
        let channel = channel::named(row, instance)?;
        let seen = Seen { channel, last_target_at: row.read()?, has_hidden: row.read()? };
        Ok((seen, row.read()?))
    })?;
    rows.sort_by_key(|(seen, _)| seen.channel.key);
    let is_full = i64::try_from(rows.len()) == Ok(limit);
    let stopped_at = rows.last().filter(|_| is_full).map(|(seen, _)| seen.channel.key);
    rows.retain(|(_, deleted_at)| deleted_at.is_none());
    Ok(Found { seen: rows.into_iter().map(|(seen, _)| seen).collect(), stopped_at })
}

fn seen_sql(chosen: &str) -> String {
    format!(
        "SELECT c.id, {},
           (SELECT o.last_target_at FROM membership o WHERE o.channel = c.key AND o.member = $5
            ORDER BY o.sub_channel LIMIT 1),
           (SELECT COUNT(*) FROM
             (SELECT 1 FROM membership o WHERE o.channel = c.key AND o.kind = 'HIDDEN' LIMIT 1) AS hidden),
           c.deleted_at
         FROM ({chosen}) AS w JOIN channel c ON c.key = w.channel",
        channel_columns!(c)
    )
}

/// Those of up to [`crate::LIST_LEN_MAX`] channels to which all of up to [`crate::LIST_LEN_MAX`] members belong, in the
/// order of their keys.
pub fn list_common(tx: &mut Tx, channels: &[Key], members: &[Key]) -> Result<Vec<Key>> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let (channels, members) = (parameters(2, MANY), parameters(2 + MANY, MANY));
        format!(
            "SELECT channel FROM membership WHERE channel IN ({channels}) AND member IN ({members})
             GROUP BY channel HAVING COUNT(DISTINCT member) = $1 ORDER BY channel"
        )
    });
    let Some(keys) = both(channels, members) else { return Ok(Vec::new()) };
    let mut values = vec![Value::Int(i64::try_from(members.len()).unwrap_or(i64::MAX))];
    values.extend(keys.iter().map(ToValue::to_value));
    tx.rows(&SQL, &values, read)
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
    let Some(keys) = both(channels, members) else { return Ok(Vec::new()) };
    let values: Vec<Value<'_>> = keys.iter().map(ToValue::to_value).collect();
    tx.rows(&SQL, &values, read)
}

/// Two lists, each as long as a statement takes; nothing where one of them is empty.
fn both(channels: &[Key], members: &[Key]) -> Option<Vec<Key>> {
    let filled = |list: &[Key]| {
        let last = *list.last()?;
        debug_assert!(list.len() <= MANY, "a statement takes up to {MANY} values, not {}", list.len());
        let rest = MANY.saturating_sub(list.len());
        Some(list.iter().copied().chain(std::iter::repeat_n(last, rest)).collect::<Vec<_>>())
    };
    Some([filled(channels)?, filled(members)?].concat())
}

/// How many belong to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The channel.
    pub channel: Key,
    /// Whether the viewer moderates it.
    pub is_moderator: bool,
    /// How many belong, counted no further than was asked.
    pub member_count: i64,
    /// How many of them somebody sees who sees no hidden members, themselves among them.
    pub seen_count: i64,
}

/// How many belong to each of up to [`crate::LIST_LEN_MAX`] channels, counted up to `most`: for those whose own count
/// is not what is asked, because some are hidden, or because moderators have several places.
pub fn count(tx: &mut Tx, viewer: Key, channels: &[Key], most: i64) -> Result<Vec<Counted>> {
    static ONE: LazyLock<String> = LazyLock::new(|| count_sql(1));
    static ALL: LazyLock<String> = LazyLock::new(|| count_sql(MANY));
    if channels.is_empty() {
        return Ok(Vec::new());
    }
    let mut values: Vec<Value<'_>> = values![viewer, most].to_vec();
    let sql = several(&ONE, &ALL, &mut values, channels.iter().map(ToValue::to_value));
    tx.rows(sql, &values, |row| {
        Ok(Counted {
            channel: row.read()?,
            is_moderator: row.read()?,
            member_count: row.read()?,
            seen_count: row.read()?,
        })
    })
}

fn count_sql(count: usize) -> String {
    format!(
        "SELECT c.key,
           (SELECT COUNT(*) FROM moderator d WHERE d.channel = c.key AND d.member = $1),
           (SELECT COUNT(*) FROM
             (SELECT DISTINCT o.member FROM membership o WHERE o.channel = c.key LIMIT $2) AS counted),
           (SELECT COUNT(*) FROM (SELECT DISTINCT o.member FROM membership o WHERE o.channel = c.key
              AND (o.kind = 'DEFAULT' OR o.member = $1) LIMIT $2) AS seen)
         FROM channel c WHERE c.key IN ({})",
        parameters(3, count)
    )
}
