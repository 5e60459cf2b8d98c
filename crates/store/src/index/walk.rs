//! Walking over the channels whose messages are to be taken in.

use carillon_model::{Key, Timestamp};

use super::{Place, State, state};
use crate::engine::values;
use crate::outlets::Alteration;
use crate::row::read;
use crate::{Result, Row, Tx};

/// Events that are looked at for where something happened; what is beyond, the walk finds.
const EVENTS_MAX: i64 = 50_000;

/// How far the walk over the channels of an app instance has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// The app instance.
    pub instance: Key,
    /// Since when it has an index.
    pub since: Timestamp,
    /// Whether it is to have none any more.
    pub is_ending: bool,
    /// The last channel that was walked over.
    pub after: String,
    /// How many were.
    pub walked: i64,
    /// When the last walk ended.
    pub ended_at: Option<Timestamp>,
    /// Whether messages are destroyed there by their age.
    pub is_retaining: bool,
    /// How many channels it has, as far as they are counted.
    pub channels: i64,
}

/// All walks.
pub fn list_walks(tx: &mut Tx) -> Result<Vec<Walk>> {
    tx.rows(
        "SELECT s.app_instance, s.since, s.is_ending, s.after, s.walked, s.ended_at,
           CAST(CASE WHEN a.retention_days IS NULL THEN 0 ELSE 1 END AS BIGINT),
           COALESCE(a.channel_count + a.elastic_channel_count, 0)
         FROM search_instance s LEFT JOIN app_instance a ON a.key = s.app_instance ORDER BY s.app_instance",
        &[],
        |row| {
            Ok(Walk {
                instance: row.read()?,
                since: row.read()?,
                is_ending: row.read()?,
                after: row.read()?,
                walked: row.read()?,
                ended_at: row.read()?,
                is_retaining: row.read::<i64>()? != 0,
                channels: row.read()?,
            })
        },
    )
}

/// App instances that have no index.
pub fn list_unwalked(tx: &mut Tx) -> Result<Vec<Key>> {
    tx.rows(
        "SELECT a.key FROM app_instance a WHERE a.deleted_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM search_instance s WHERE s.app_instance = a.key) ORDER BY a.key",
        &[],
        read,
    )
}

/// Begins an index of an app instance that is there.
pub fn begin(tx: &mut Tx, instance: Key, now: Timestamp) -> Result<()> {
    if !crate::app_instance::exists(tx, instance)? {
        return Ok(());
    }
    tx.alter_outlet(instance, Alteration::Searched(true));
    tx.defer(
        "INSERT INTO search_instance (app_instance, since, is_ending, after, walked, ended_at)
         VALUES ($1, $2, 0, '', 0, NULL) ON CONFLICT (app_instance) DO NOTHING",
        values![instance, now],
    )
}

/// Begins to take an index away.
pub fn set_ending(tx: &mut Tx, instance: Key) -> Result<()> {
    let sql = "UPDATE search_instance SET is_ending = 1, after = '', walked = 0 WHERE app_instance = $1";
    tx.defer(sql, values![instance])
}

/// Notes how far a walk has come.
pub fn set_walk(tx: &mut Tx, walk: &Walk) -> Result<()> {
    tx.defer(
        "UPDATE search_instance SET after = $2, walked = $3, ended_at = $4 WHERE app_instance = $1",
        values![walk.instance, walk.after, walk.walked, walk.ended_at],
    )
}

/// A channel that was walked over, with those of its places that are to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// Its id.
    pub id: String,
    /// Its places.
    pub places: Vec<Place>,
}

/// Up to `limit` places in whose channels something happened since `since`, and at least so much since they were
/// taken in, where an index was announced by then; as many of elastic channels, of which sub-channels that end are
/// left out.
pub fn list_recent(
    tx: &mut Tx,
    (since, announced): (Timestamp, Timestamp),
    least: i64,
    limit: i64,
) -> Result<Vec<Place>> {
    // The order of the events leads engines to the index by time; the joins keep them from beginning with all channels.
    let mut places = tx.rows(
        "SELECT c.key, c.key, c.sequence, p.version, p.position, p.sequence, p.turn
         FROM (SELECT DISTINCT l.channel AS key
               FROM (SELECT o.channel FROM outbox o WHERE $1 <= o.at ORDER BY o.at LIMIT $5) l) r
         CROSS JOIN channel c
         CROSS JOIN search_instance i
         LEFT JOIN search_place p ON p.place = c.key
         WHERE c.key = r.key AND c.deleted_at IS NULL AND c.maximum_sub_channels IS NULL
           AND i.app_instance = c.app_instance AND i.is_ending = 0 AND i.since <= $4
           AND $2 <= c.sequence - COALESCE(p.sequence, 0)
         ORDER BY c.key LIMIT $3",
        values![since, least, limit, announced, EVENTS_MAX],
        place,
    )?;
    places.extend(tx.rows(
        "SELECT s.key, c.key, c.sequence, p.version, p.position, p.sequence, p.turn
         FROM (SELECT DISTINCT l.channel AS key
               FROM (SELECT o.channel FROM outbox o WHERE $1 <= o.at ORDER BY o.at LIMIT $5) l) r
         CROSS JOIN channel c
         CROSS JOIN search_instance i
         CROSS JOIN sub_channel s
         LEFT JOIN search_place p ON p.place = s.key
         WHERE c.key = r.key AND c.deleted_at IS NULL AND c.maximum_sub_channels IS NOT NULL
           AND i.app_instance = c.app_instance AND i.is_ending = 0 AND i.since <= $4
           AND s.channel = c.key AND (s.task IS NULL OR s.task NOT IN ('CLOSE', 'DESTROY'))
           AND $2 <= c.sequence - COALESCE(p.sequence, 0)
         ORDER BY s.key LIMIT $3",
        values![since, least, limit, announced, EVENTS_MAX],
        place,
    )?);
    Ok(places)
}

fn place(row: &mut Row<'_>) -> Result<Place> {
    Ok(Place { key: row.read()?, channel: row.read()?, sequence: row.read()?, state: state(row)? })
}

impl Walk {
    /// Goes on with up to `limit` channels, in the order of their ids; places that were taken in with terms of another
    /// version are to be looked at.
    pub fn list(&self, tx: &mut Tx, version: i64, limit: i64) -> Result<Vec<Walked>> {
        let channels = tx.rows(
            "SELECT c.id, c.maximum_sub_channels,
               (SELECT MIN(l.times) FROM search_late l WHERE l.place = c.key),
               c.key, c.key, c.sequence, p.version, p.position, p.sequence, p.turn
             FROM channel c LEFT JOIN search_place p ON p.place = c.key
             WHERE c.app_instance = $1 AND $2 < c.id AND c.deleted_at IS NULL ORDER BY c.id LIMIT $3",
            values![self.instance, self.after, limit],
            |row| {
                let (id, elastic, late): (String, Option<i64>, Option<i64>) = row.read()?;
                Ok((id, elastic.is_some(), late.is_some(), place(row)?))
            },
        )?;
        let mut walked = Vec::with_capacity(channels.len());
        for (id, is_elastic, is_late, channel) in channels {
            let all = if is_elastic { Self::sub_channels(tx, &channel)? } else { vec![(is_late, channel)] };
            let places = all.into_iter().filter(|(is_late, place)| *is_late || self.concerns(place, version));
            walked.push(Walked { id, places: places.map(|(_, place)| place).collect() });
        }
        Ok(walked)
    }

    /// Whether something may have happened in a place since it was taken in with these terms.
    fn concerns(&self, place: &Place, version: i64) -> bool {
        let is_as_it_was = |state: State| state.sequence == place.sequence && state.version == version;
        let is_as_it_was = place.state.is_some_and(is_as_it_was);
        self.is_ending || self.is_retaining || !is_as_it_was
    }

    fn sub_channels(tx: &mut Tx, channel: &Place) -> Result<Vec<(bool, Place)>> {
        tx.rows(
            "SELECT (SELECT MIN(l.times) FROM search_late l WHERE l.place = s.key),
               s.key, s.channel, CAST($2 AS BIGINT), p.version, p.position, p.sequence, p.turn
             FROM sub_channel s LEFT JOIN search_place p ON p.place = s.key
             WHERE s.channel = $1 AND (s.task IS NULL OR s.task NOT IN ('CLOSE', 'DESTROY')) ORDER BY s.key",
            values![channel.key, channel.sequence],
            |row| Ok((row.read::<Option<i64>>()?.is_some(), place(row)?)),
        )
    }
}
