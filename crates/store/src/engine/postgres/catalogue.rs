//! What the server knows of itself: its clock, and the columns of its tables.

use super::Postgres;
use crate::Result;
use crate::engine::{Declared, Driver as _, values};

/// The time by its clock, in milliseconds.
pub(super) fn time(postgres: &mut Postgres) -> Result<Option<i64>> {
    let mut time = None;
    let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
    postgres.query(sql, &[], &mut |row| {
        time = Some(row.read()?);
        Ok(())
    })?;
    Ok(time)
}

/// The columns of a table, in their order; none where there is no such table.
pub(super) fn columns(postgres: &mut Postgres, table: &str) -> Result<Vec<Declared>> {
    let sql = "SELECT CAST(attname AS TEXT), CAST(CAST(atttypid = 'bytea'::regtype AS INT) AS BIGINT)
               FROM pg_attribute WHERE attrelid = to_regclass($1) AND 0 < attnum AND NOT attisdropped
               ORDER BY attnum";
    let mut columns = Vec::new();
    postgres.query(sql, values![table], &mut |row| {
        columns.push(Declared { name: row.read()?, is_bytes: row.read()? });
        Ok(())
    })?;
    Ok(columns)
}
