//! Single values that outlive the process.

use crate::engine::values;
use crate::{Result, Tx};

/// The value under this name.
pub fn find(tx: &mut Tx, name: &str) -> Result<Option<String>> {
    tx.row("SELECT value FROM setting WHERE name = $1", values![name], |row| row.get(0))
}

/// Sets the value under this name.
pub fn set(tx: &mut Tx, name: &str, value: &str) -> Result<()> {
    let sql = "INSERT INTO setting (name, value) VALUES ($1, $2)
               ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value";
    tx.defer(sql, values![name, value])
}
