//! What is to leave the server: rows that a transaction adds to what it does, and that are deleted when a consumer has
//! handed them over.
//!
//! A queue is the kind of its consumer and what it is for: `stream arn:aws:kinesis:…`. Its rows of one channel go out
//! in their order; those of different channels need not. The table is led by a shard, and whoever hands over owns
//! shards ([`SHARDS`]): rows of one shard in one queue are a [`Line`].
//!
//! The row is the proof that something is still to be done. Whoever did it, and writes what became of it, deletes the
//! row in the same transaction and supposes that it is there: so it is written once, whoever believes to own the shard.

use carillon_model::event::Event;
use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::{Result, Row, Tx, Work};

/// How many shards there are: what nodes share among them.
pub const SHARDS: i64 = 16;
/// What the queues of streams begin with; a space and the ARN follow.
pub const STREAM: &str = "stream";

/// The rows of one shard in one queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The shard.
    pub shard: i64,
    /// The queue.
    pub queue: String,
}

/// Where a row stands in its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The channel, or whatever else is to go out in its order.
    pub channel: Key,
    /// The number of what happened there.
    pub sequence: i64,
    /// Which part of it.
    pub part: i64,
}

impl Place {
    /// Before all of them.
    pub const FIRST: Self = Self { channel: Key([0; 16]), sequence: i64::MIN, part: i64::MIN };

    /// After all of a channel.
    pub fn after(channel: Key) -> Self {
        Self { channel, sequence: i64::MAX, part: i64::MAX }
    }

    /// The shard of its channel.
    pub fn shard(self) -> i64 {
        i64::from(self.channel.0[0]) % SHARDS
    }
}

/// Something that is to leave the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it stands.
    pub place: Place,
    /// Since when.
    pub at: Timestamp,
    /// What it is; its consumer knows.
    pub body: String,
}

/// Adds a row, in the lane of its channel.
pub fn insert(tx: &mut Tx, queue: &str, row: &Outgoing) -> Result<()> {
    let Place { channel, sequence, part } = row.place;
    tx.wake(Work::Outgoing);
    tx.append(
        "INSERT INTO outgoing (shard, queue, channel, sequence, part, at, body) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        values![row.place.shard(), queue, channel, sequence, part, row.at, row.body],
    )
}

/// Adds the record of an event, where a stream of its app instance is for its kind.
pub(crate) fn record(tx: &mut Tx, event: &Event, part: i64) -> Result<()> {
    let Some(queue) = tx.outlets().and_then(|outlets| outlets.stream_of(event)).map(queue_of) else {
        return Ok(());
    };
    let place = Place { channel: event.channel, sequence: event.sequence, part };
    insert(tx, &queue, &Outgoing { place, at: event.at, body: event.record() })
}

fn queue_of(stream: &str) -> String {
    format!("{STREAM} {stream}")
}

// The statements that a backlog must not slow.
const LIST_LINES: &str = "WITH RECURSIVE line (shard, queue) AS (
       SELECT CAST($1 AS BIGINT), (SELECT MIN(queue) FROM outgoing WHERE shard = $1)
       UNION ALL
       SELECT line.shard + CASE WHEN line.queue IS NULL THEN 1 ELSE 0 END,
         CASE WHEN line.queue IS NULL
           THEN (SELECT MIN(o.queue) FROM outgoing o WHERE o.shard = line.shard + 1)
           ELSE (SELECT MIN(o.queue) FROM outgoing o WHERE o.shard = line.shard AND line.queue < o.queue) END
       FROM line WHERE line.queue IS NOT NULL OR line.shard + 1 < $2)
     SELECT shard, queue FROM line WHERE queue IS NOT NULL";
const LIST: &str = "SELECT channel, sequence, part, at, body FROM outgoing
     WHERE shard = $1 AND queue = $2 AND ($3, $4, $5) < (channel, sequence, part)
     ORDER BY channel, sequence, part LIMIT $6";

/// The lines that have rows.
pub fn list_lines(tx: &mut Tx) -> Result<Vec<Line>> {
    tx.rows(LIST_LINES, values![0_i64, SHARDS], |row| Ok(Line { shard: row.read()?, queue: row.read()? }))
}

/// Up to `limit` rows of a line after `after`, in their order.
pub fn list(tx: &mut Tx, line: &Line, after: Place, limit: i64) -> Result<Vec<Outgoing>> {
    let Place { channel, sequence, part } = after;
    tx.rows(LIST, values![line.shard, line.queue, channel, sequence, part, limit], outgoing)
}

fn outgoing(row: &mut Row<'_>) -> Result<Outgoing> {
    let place = Place { channel: row.read()?, sequence: row.read()?, part: row.read()? };
    Ok(Outgoing { place, at: row.read()?, body: row.read()? })
}

const DELETE: &str =
    "DELETE FROM outgoing WHERE shard = $1 AND queue = $2 AND channel = $3 AND sequence = $4 AND part = $5";

/// Deletes a row, where it still is: it was handed over, and nothing else is said of it.
pub fn delete_done(tx: &mut Tx, queue: &str, place: Place) -> Result<()> {
    let Place { channel, sequence, part } = place;
    tx.defer(DELETE, values![place.shard(), queue, channel, sequence, part])
}

/// Deletes a row that must be there: whoever does this writes in the same transaction what became of it.
pub fn delete(tx: &mut Tx, queue: &str, place: Place) -> Result<()> {
    let Place { channel, sequence, part } = place;
    tx.suppose(DELETE, values![place.shard(), queue, channel, sequence, part])
}

/// Puts another body into a row that must be there.
pub fn rewrite(tx: &mut Tx, queue: &str, place: Place, body: &str) -> Result<()> {
    let Place { channel, sequence, part } = place;
    tx.suppose(
        "UPDATE outgoing SET body = $6
         WHERE shard = $1 AND queue = $2 AND channel = $3 AND sequence = $4 AND part = $5",
        values![place.shard(), queue, channel, sequence, part, body],
    )
}

/// How many rows a line has, and since when its oldest waits.
pub fn measure(tx: &mut Tx, line: &Line) -> Result<(i64, Option<Timestamp>)> {
    let sql = "SELECT COUNT(*), MIN(at) FROM outgoing WHERE shard = $1 AND queue = $2";
    let read = |row: &mut Row<'_>| Ok((row.read()?, row.read()?));
    Ok(tx.row(sql, values![line.shard, line.queue], read)?.unwrap_or_default())
}
