//! Single values that outlive the process.

use crate::engine::values;
use crate::row::read;
use crate::{Result, Tx};

/// The value under this name.
pub fn find(tx: &mut Tx, name: &str) -> Result<Option<String>> {
    tx.row("SELECT value FROM setting WHERE name = $1", values![name], read)
}

/// Adds to the number under this name, which is nothing where there is none; answers what it is then.
pub fn add(tx: &mut Tx, name: &str, by: i64) -> Result<i64> {
    let sql = "INSERT INTO setting (name, value) VALUES ($1, $2)
               ON CONFLICT (name) DO UPDATE
                 SET value = CAST(CAST(setting.value AS BIGINT) + CAST(EXCLUDED.value AS BIGINT) AS TEXT)
               RETURNING CAST(value AS BIGINT)";
    Ok(tx.change(sql, values![name, by.to_string()], read)?.unwrap_or_default())
}

/// Sets the value under this name.
pub fn set(tx: &mut Tx, name: &str, value: &str) -> Result<()> {
    let sql = "INSERT INTO setting (name, value) VALUES ($1, $2)
               ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value";
    tx.defer(sql, values![name, value])
}
