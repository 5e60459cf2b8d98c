//! Leases: what only one node may do at a time.
//!
//! An owner changes its lease again and again, and whoever wants it watches by its own clock: a lease that does not
//! move for long enough has lost its owner. So no clocks of two nodes are compared. What an owner does under its lease
//! it does in a transaction that replaces what it knows of it: one that was stopped, and whose lease another took
//! meanwhile, can commit nothing more.

use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::settlement::Shared;
use crate::{Result, Tx};

/// Gives a lease back, where this owner has it.
pub fn release(tx: &mut Tx, name: &str, owner: Key) -> Result<()> {
    let sql = "DELETE FROM lease WHERE name = $1 AND owner = $2";
    tx.settle_if_there(Shared::Lease(name.to_owned()), sql, values![name, owner])
}

/// A lease as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Whose it is.
    pub owner: Key,
    /// Until when. Each time that its owner keeps it, this changes: whoever watches sees that the owner lives, without
    /// comparing clocks.
    pub until: Timestamp,
}

/// All leases that somebody has, by their names.
pub fn list(tx: &mut Tx) -> Result<Vec<(String, Held)>> {
    let sql = "SELECT name, owner, until FROM lease ORDER BY name";
    tx.rows(sql, &[], |row| Ok((row.read()?, Held { owner: row.read()?, until: row.read()? })))
}

/// Who has a lease, if anybody.
pub fn find(tx: &mut Tx, name: &str) -> Result<Option<Held>> {
    let sql = "SELECT owner, until FROM lease WHERE name = $1";
    tx.row(sql, values![name], |row| Ok(Held { owner: row.read()?, until: row.read()? }))
}

/// Puts a lease in the place of what was seen of it; false when that has changed.
pub fn replace(tx: &mut Tx, name: &str, seen: Option<Held>, by: Held) -> Result<bool> {
    if find(tx, name)? != seen {
        return Ok(false);
    }
    let row = Shared::Lease(name.to_owned());
    match seen {
        None => tx.settle(
            row,
            "INSERT INTO lease (name, owner, until) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING",
            values![name, by.owner, by.until],
        )?,
        Some(seen) => tx.settle(
            row,
            "UPDATE lease SET owner = $2, until = $3 WHERE name = $1 AND owner = $4 AND until = $5",
            values![name, by.owner, by.until, seen.owner, seen.until],
        )?,
    }
    Ok(true)
}

/// Takes a lease that nobody else has, or one of which just this is `known`: what its owner wrote last, or what was
/// seen of an owner who is gone. Nothing where it is another's by now, or was.
pub fn keep(
    tx: &mut Tx,
    name: &str,
    owner: Key,
    known: Option<Held>,
    now: Timestamp,
) -> Result<Option<Held>> {
    let seen = find(tx, name)?;
    let is_free = match known {
        Some(known) => seen == Some(known),
        None => seen.is_none_or(|seen| seen.owner == owner),
    };
    if !is_free {
        return Ok(None);
    }
    // Another instant than what was seen, whatever the clocks say.
    let until = seen.map_or(now, |seen| now.max(seen.until.plus_ms(1)));
    let by = Held { owner, until };
    Ok(replace(tx, name, seen, by)?.then_some(by))
}
