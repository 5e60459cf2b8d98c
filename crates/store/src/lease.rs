//! Leases: what only one node may do at a time. An owner that dies is replaced when its time is over.

use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::settlement::Shared;
use crate::{Result, Tx};

/// Takes a lease, or keeps it, until then; false while another owner has it.
pub fn hold(tx: &mut Tx, name: &str, owner: Key, now: Timestamp, until: Timestamp) -> Result<bool> {
    if find(tx, name)?.is_some_and(|held| held.owner != owner && now < held.until) {
        return Ok(false);
    }
    tx.settle(
        Shared::Lease(name.to_owned()),
        "INSERT INTO lease (name, owner, until) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, until = EXCLUDED.until
           WHERE lease.owner = EXCLUDED.owner OR lease.until <= $4",
        values![name, owner, until, now],
    )?;
    Ok(true)
}

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

/// Who has a lease, if anybody.
pub fn find(tx: &mut Tx, name: &str) -> Result<Option<Held>> {
    let sql = "SELECT owner, until FROM lease WHERE name = $1";
    tx.row(sql, values![name], |row| Ok(Held { owner: row.get(0)?, until: row.get(1)? }))
}

/// Puts a lease in the place of what was seen of it; false when that has changed.
pub fn replace(tx: &mut Tx, name: &str, seen: Option<Held>, by: Held) -> Result<bool> {
    if find(tx, name)? != seen {
        return Ok(false);
    }
    let (owner, until) = seen.map(|seen| (seen.owner, seen.until)).unzip();
    tx.settle(
        Shared::Lease(name.to_owned()),
        "INSERT INTO lease (name, owner, until) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, until = EXCLUDED.until
           WHERE lease.owner = $4 AND lease.until = $5",
        values![name, by.owner, by.until, owner, until],
    )?;
    Ok(true)
}
