//! What a search reads of the index, and of messages: of many places in one go.

use std::ops::RangeInclusive;

use carillon_model::text::SortOrder;
use carillon_model::{Key, MessageKey};

use super::{Name, Said, State, said, select_said, state};
use crate::engine::{Query, ToValue, Value, values};
use crate::paging;
use crate::row::read;
use crate::{Result, Tx};

/// Where somebody belongs, or may look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The channel.
    pub channel: Key,
    /// Its id.
    pub channel_id: String,
    /// The place.
    pub place: Key,
}

/// Up to `limit` places of somebody after this one, in the order of their channels.
pub fn list_members(tx: &mut Tx, member: Key, after: (Key, Key), limit: i64) -> Result<Vec<Member>> {
    paging::there(limit, after, |after, limit| {
        tx.rows(
            "SELECT m.channel, c.id, m.sub_channel, c.deleted_at
             FROM (SELECT p.channel, p.sub_channel FROM membership p
                   WHERE p.member = $1 AND ($2, $3) < (p.channel, p.sub_channel)
                   ORDER BY p.channel, p.sub_channel LIMIT $4) AS m
             JOIN channel c ON c.key = m.channel",
            values![member, after.0, after.1, limit],
            |row| {
                let found = Member { channel: row.read()?, channel_id: row.read()?, place: row.read()? };
                let place = (found.channel, found.place);
                Ok((found, place, row.read()?))
            },
        )
    })
}

fn owned(values: &[Value<'_>]) -> Vec<Value<'static>> {
    values.iter().map(Value::to_owned).collect()
}

/// How far a place is taken in, and up to `late_max` messages that were changed since.
pub type End = (Option<State>, Vec<MessageKey>);

/// Of each place, how far it is taken in, and what was changed.
pub fn list_ends(tx: &mut Tx, places: &[Key], late_max: i64) -> Result<Vec<End>> {
    let query = |place: &Key| Query {
        sql: "SELECT p.version, p.position, p.sequence, p.turn FROM search_place p WHERE p.place = $1",
        values: owned(values![place]),
    };
    let queries: Vec<_> = places.iter().map(query).collect();
    let states = tx.answers(&queries, state)?;
    let query = |place: &Key| Query {
        sql: "SELECT message FROM search_late WHERE place = $1 ORDER BY message LIMIT $2",
        values: owned(values![place, late_max]),
    };
    let queries: Vec<_> = places.iter().map(query).collect();
    let late = tx.answers(&queries, read)?;
    Ok(states.into_iter().map(|states| states.into_iter().flatten().next()).zip(late).collect())
}

/// A row of a run that may hold what is sought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Of which run.
    pub name: Name,
    /// Between which times the run's messages are, both within.
    pub span: (i64, i64),
    /// What it holds.
    pub body: Vec<u8>,
}

/// For each place and its parts on the three levels, the rows of runs that have messages between these times.
pub fn find_fragments(
    tx: &mut Tx,
    sought: &[(Key, [i64; 3])],
    (least, greatest): (i64, i64),
) -> Result<Vec<Vec<Fragment>>> {
    const SQL: &str = "SELECT level, run, least, greatest, body FROM search_run
           WHERE place = $1 AND level = 0 AND part = $2 AND least <= $6 AND $5 <= greatest
         UNION ALL
         SELECT level, run, least, greatest, body FROM search_run
           WHERE place = $1 AND level = 1 AND part = $3 AND least <= $6 AND $5 <= greatest
         UNION ALL
         SELECT level, run, least, greatest, body FROM search_run
           WHERE place = $1 AND level = 2 AND part = $4 AND least <= $6 AND $5 <= greatest";
    let query = |(place, [zero, one, two]): &(Key, [i64; 3])| Query {
        sql: SQL,
        values: owned(values![place, zero, one, two, least, greatest]),
    };
    let queries: Vec<_> = sought.iter().map(query).collect();
    tx.answers(&queries, |row| {
        let name = Name { level: row.read()?, run: row.read()? };
        Ok(Fragment { name, span: row.read()?, body: row.read()? })
    })
}

/// The heads of runs; nothing of one that is not there.
pub fn find_heads(tx: &mut Tx, runs: &[(Key, Name)]) -> Result<Vec<Option<Vec<u8>>>> {
    let query = |(place, name): &(Key, Name)| Query {
        sql: "SELECT body FROM search_run WHERE place = $1 AND level = $2 AND part = -1 AND run = $3",
        values: owned(values![place, name.level, name.run]),
    };
    let queries: Vec<_> = runs.iter().map(query).collect();
    Ok(tx.answers(&queries, read)?.into_iter().map(|bodies| bodies.into_iter().next()).collect())
}

/// Messages of a place, between two keys, both within.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The place.
    pub place: Key,
    /// The keys.
    pub keys: RangeInclusive<MessageKey>,
}

/// A message that was looked at.
pub type Hit = Said;

/// Of each slice up to `limit` messages in this order.
pub fn list_hits(tx: &mut Tx, slices: &[Slice], order: SortOrder, limit: i64) -> Result<Vec<Vec<Hit>>> {
    let sql = match order {
        SortOrder::Ascending => {
            select_said!("WHERE m.sub_channel = $1 AND $2 <= m.key AND m.key <= $3 ORDER BY m.key LIMIT $4")
        }
        SortOrder::Descending => {
            select_said!(
                "WHERE m.sub_channel = $1 AND $2 <= m.key AND m.key <= $3 ORDER BY m.key DESC LIMIT $4"
            )
        }
    };
    let query = |slice: &Slice| Query {
        sql,
        values: vec![
            slice.place.to_value().to_owned(),
            slice.keys.start().to_value().to_owned(),
            slice.keys.end().to_value().to_owned(),
            Value::Int(limit),
        ],
    };
    let queries: Vec<_> = slices.iter().map(query).collect();
    tx.answers(&queries, said)
}
