//! Beats: what each node of a cluster told the others of lately. They are kept for a while, for nodes that were away.

use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::row::read;
use crate::{Result, Tx};

/// A beat of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Its number: each is one more than the one before.
    pub number: i64,
    /// All that the node committed before this, it told of in this beat or in an earlier one.
    pub floor: Timestamp,
    /// What it told of, in words of those who read it.
    pub body: String,
}

/// Adds a beat of a node.
pub fn insert(tx: &mut Tx, node: Key, beat: &Beat) -> Result<()> {
    let sql = "INSERT INTO beat (node, number, floor, body) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, values![node, beat.number, beat.floor, beat.body]).map(drop)
}

/// The nodes of which there are beats, each with the number of its latest.
pub fn list_nodes(tx: &mut Tx) -> Result<Vec<(Key, i64)>> {
    tx.rows("SELECT node, MAX(number) FROM beat GROUP BY node", &[], read)
}

/// Up to `limit` beats of a node after the number `after`, in their order.
pub fn list(tx: &mut Tx, node: Key, after: i64, limit: i64) -> Result<Vec<Beat>> {
    tx.rows(
        "SELECT number, floor, body FROM beat WHERE node = $1 AND $2 < number ORDER BY number LIMIT $3",
        values![node, after, limit],
        |row| Ok(Beat { number: row.read()?, floor: row.read()?, body: row.read()? }),
    )
}

/// Deletes the beats of a node up to this number.
pub fn delete_old(tx: &mut Tx, node: Key, until: i64) -> Result<()> {
    tx.execute("DELETE FROM beat WHERE node = $1 AND number <= $2", values![node, until]).map(drop)
}
