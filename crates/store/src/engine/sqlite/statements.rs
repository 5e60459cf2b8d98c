//! The statements of a connection, which are compiled once.
//!
//! Each is known by the address of its text: a text is `'static`, so no other can ever stand there, and nothing of it
//! is read to find the statement again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

#[cfg(debug_assertions)]
use rusqlite::StatementStatus;
use rusqlite::{Connection, Statement};

use super::altering::alters;
use super::broken;
use crate::Result;

/// The statements of a connection, as many as there are texts.
#[derive(Default)]
pub(super) struct Statements<'c> {
    compiled: HashMap<usize, Compiled<'c>, BuildHasherDefault<Address>>,
    /// Whether one was run that may alter how somebody stands to a channel.
    pub(super) has_altered: bool,
    /// Whether this connection itself has altered the schema, or has begun to.
    #[cfg(debug_assertions)]
    pub(super) has_defined: bool,
}

struct Compiled<'c> {
    statement: Statement<'c>,
    alters: bool,
    /// Of which version of the schema.
    #[cfg(debug_assertions)]
    schema: i64,
    /// It may be compiled again at its first run: the connection learns only then that the schema is another.
    #[cfg(debug_assertions)]
    is_new: bool,
}

impl<'c> Statements<'c> {
    /// Does something with the statement of a text.
    pub(super) fn with<T>(
        &mut self,
        connection: &'c Connection,
        sql: &'static str,
        run: impl FnOnce(&mut Statement<'_>) -> Result<T>,
    ) -> Result<T> {
        let compiled = match self.compiled.entry(sql.as_ptr() as usize) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                // Looked at before, because others may alter it meanwhile.
                #[cfg(debug_assertions)]
                let schema = schema(connection);
                new.insert(Compiled {
                    statement: compile(connection, sql)?,
                    alters: alters(sql),
                    #[cfg(debug_assertions)]
                    schema,
                    #[cfg(debug_assertions)]
                    is_new: true,
                })
            }
        };
        self.has_altered |= compiled.alters;
        let done = run(&mut compiled.statement);
        // What was written or asked is kept no longer than it is needed.
        compiled.statement.clear_bindings();
        #[cfg(debug_assertions)]
        if !self.has_defined {
            compiled.check(connection, sql);
        }
        done
    }
}

/// A statement is compiled once, whatever values it is given. A plan that goes by a value is made anew at every run,
/// which once took a third of the time of a send; so every test that runs a statement sees to it that its plan does
/// not. Where the schema is another, all are compiled anew.
#[cfg(debug_assertions)]
impl Compiled<'_> {
    fn check(&mut self, connection: &Connection, sql: &str) {
        let times = self.statement.reset_status(StatementStatus::RePrepare);
        if std::mem::take(&mut self.is_new) || times == 0 || self.statement.parameter_count() == 0 {
            return;
        }
        let before = std::mem::replace(&mut self.schema, schema(connection));
        assert_ne!(before, self.schema, "compiled anew for another value: {sql}");
    }
}

#[cfg(debug_assertions)]
fn schema(connection: &Connection) -> i64 {
    let version = connection.pragma_query_value(None, "schema_version", |row| row.get(0));
    version.unwrap_or_default()
}

/// Compiles a text, with `?1` for `$1`: SQLite numbers the former itself and looks the latter up by name.
fn compile<'c>(connection: &'c Connection, sql: &str) -> Result<Statement<'c>> {
    let text = sql.replace('$', "?");
    #[cfg(debug_assertions)]
    explain(connection, &text)?;
    connection.prepare(&text).map_err(|error| broken(&error, sql))
}

/// Addresses differ without being hashed, but for their last bits.
#[derive(Default)]
struct Address(u64);

impl Hasher for Address {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, address: usize) {
        // The odd number spreads them over all bits: maps use the first and the last of them.
        self.0 = (self.0 ^ address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Looks at how a statement is gone about, once.
#[cfg(debug_assertions)]
fn explain(connection: &Connection, text: &str) -> Result<()> {
    if !crate::engine::plan::is_new("sqlite", text) {
        return Ok(());
    }
    let explained = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}"))?;
        let rows = statement.raw_query().mapped(|row| row.get(3));
        rows.collect()
    };
    let lines = explained().map_err(|error| broken(&error, text))?;
    crate::engine::plan::check_sqlite(text, &lines);
    Ok(())
}
