//! Leases: what only one node may do at a time. An owner that dies is replaced when its time is over.

use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::{Result, Tx};

/// Takes a lease, or keeps it, until then; false while another owner has it.
pub fn hold(tx: &mut Tx, name: &str, owner: Key, now: Timestamp, until: Timestamp) -> Result<bool> {
    let count = tx.execute(
        "INSERT INTO lease (name, owner, until) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, until = EXCLUDED.until
           WHERE lease.owner = EXCLUDED.owner OR lease.until <= $4",
        values![name, owner, until, now],
    )?;
    Ok(count == 1)
}

/// Gives a lease back, where this owner has it.
pub fn release(tx: &mut Tx, name: &str, owner: Key) -> Result<()> {
    tx.defer("DELETE FROM lease WHERE name = $1 AND owner = $2", values![name, owner])
}
