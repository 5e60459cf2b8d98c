//! SQLite, in this process: one writer and several readers on one file in WAL mode.
//!
//! `synchronous=FULL` makes a commit wait for the disk. Checkpoints run on a connection of their own, because
//! a writer that checkpoints by itself makes every caller of that batch wait for it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags};

use super::{Change, Column, Commit, Driver, EachRow, Kind, Owned, Row, Value};
use crate::{Error, Result};

/// How long a statement waits for a lock that another connection holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How many statements a connection keeps compiled; more than there are texts.
const STATEMENTS_MAX: usize = 256;
/// How often the log is moved into the database file.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(150);
/// Pages that the log may hold. Under a load that never pauses a passive checkpoint finds no moment to begin the log
/// anew; past this the writer is held up for one that does.
const LOG_PAGES_MAX: i64 = 32 * 1024;
/// How long the file of a log stays that was longer.
const LOG_BYTES_MAX: i64 = LOG_PAGES_MAX * 4_096;
/// Pages that may be left to be moved while the writer is held up.
const HELD_UP_PAGES_MAX: i64 = 512;

pub(crate) struct Sqlite {
    connection: Connection,
    /// The texts with `?1` for `$1`: SQLite numbers the former itself and looks the latter up by name.
    texts: HashMap<usize, String>,
}

impl Sqlite {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let connection = connect(path)?;
        Ok(Self { connection, texts: HashMap::new() })
    }

    fn run(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        each: Option<&mut EachRow<'_>>,
    ) -> Result<u64> {
        // A text is known by its address: it is `'static`, so no other text can ever stand there.
        let text = self.texts.entry(sql.as_ptr() as usize).or_insert_with(|| numbered(sql));
        #[cfg(debug_assertions)]
        explain(&self.connection, text)?;
        let mut statement = self.connection.prepare_cached(text).map_err(|error| broken(&error, sql))?;
        for (at, value) in values.iter().enumerate() {
            statement.raw_bind_parameter(at + 1, value).map_err(|error| broken(&error, sql))?;
        }
        let Some(each) = each else {
            return statement.raw_execute().map(|count| count as u64).map_err(|error| broken(&error, sql));
        };
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|error| broken(&error, sql))? {
            each(&Row::Sqlite(row)).map_err(|error| error.context(sql))?;
        }
        Ok(0)
    }
}

impl Driver for Sqlite {
    fn query(&mut self, sql: &'static str, values: &[Value<'_>], each: &mut EachRow<'_>) -> Result<()> {
        self.run(sql, values, Some(each)).map(|_| ())
    }

    fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64> {
        self.run(sql, values, None)
    }

    fn defer(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.run(sql, values, None).map(|_| ())
    }

    fn execute_all(&mut self, changes: &[Change]) -> Result<Vec<u64>> {
        let run = |change: &Change| {
            let values: Vec<Value<'_>> = change.values.iter().map(Owned::as_value).collect();
            self.run(change.sql, &values, None)
        };
        changes.iter().map(run).collect()
    }

    fn begin(&mut self, kind: Kind) -> Result<()> {
        self.execute(if kind == Kind::Read { "BEGIN" } else { "BEGIN IMMEDIATE" }, &[]).map(|_| ())
    }

    fn commit(&mut self) -> Result<Commit> {
        self.execute("COMMIT", &[]).map(|_| Commit::Stands)
    }

    fn rollback(&mut self) {
        // It fails only where there is nothing to roll back: the engine did so itself.
        let _ = self.execute("ROLLBACK", &[]);
    }

    fn mark(&mut self) -> Result<()> {
        self.execute("SAVEPOINT mark", &[]).map(|_| ())
    }

    fn rollback_to_mark(&mut self) -> Result<()> {
        self.execute("ROLLBACK TO mark", &[]).map(|_| ())
    }

    fn unmark(&mut self) -> Result<()> {
        self.execute("RELEASE mark", &[]).map(|_| ())
    }

    fn define(&mut self, ddl: &str) -> Result<()> {
        let ddl = ddl.replace("BIGINT", "INTEGER").replace("BYTEA", "BLOB").replace("\n);", "\n) STRICT;");
        self.connection.execute_batch(&ddl).map_err(|error| broken(&error, "a migration"))
    }
}

/// Looks at how a statement is gone about, once.
#[cfg(debug_assertions)]
fn explain(connection: &Connection, text: &str) -> Result<()> {
    if !super::plan::is_new("sqlite", text) {
        return Ok(());
    }
    let explained = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}"))?;
        let rows = statement.raw_query().mapped(|row| row.get(3));
        rows.collect()
    };
    let lines = explained().map_err(|error| broken(&error, text))?;
    super::plan::check_sqlite(text, &lines);
    Ok(())
}

fn connect(path: &Path) -> Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES_MAX, |_| Ok(()))?;
        connection.pragma_update(None, "cache_size", -65_536)?;
        Ok(connection)
    };
    open().map_err(|error| Error::broken(format!("cannot open {}: {error}", path.display())))
}

/// Moves the log into the database file until told to stop, and empties it then.
pub(crate) fn checkpoint(path: &Path, stop: &Receiver<()>) -> Result<()> {
    let connection = connect(path)?;
    forget_statistics(&connection, path);
    while stop.recv_timeout(CHECKPOINT_EVERY) == Err(RecvTimeoutError::Timeout) {
        let mut log = move_log(&connection, path, "PRAGMA wal_checkpoint(PASSIVE)");
        if log.pages <= LOG_PAGES_MAX {
            continue;
        }
        // Where less is written during a pass than it moves, the next one is shorter.
        let mut left = i64::MAX;
        while HELD_UP_PAGES_MAX < log.left() && log.left() < left / 2 {
            left = log.left();
            log = move_log(&connection, path, "PRAGMA wal_checkpoint(PASSIVE)");
        }
        // The file stays as long as it is, to be written over: cutting it off would hold the writer up, too.
        move_log(&connection, path, "PRAGMA wal_checkpoint(RESTART)");
    }
    move_log(&connection, path, "PRAGMA wal_checkpoint(TRUNCATE)");
    Ok(())
}

/// What is known of tables that were small makes scans of them look cheap, and they grow: without it every statement
/// takes the index that was made for it. Earlier versions gathered it when they ended.
fn forget_statistics(connection: &Connection, path: &Path) {
    if let Err(error) =
        connection.execute_batch("DROP TABLE IF EXISTS sqlite_stat1; DROP TABLE IF EXISTS sqlite_stat4")
    {
        tracing::warn!(path = %path.display(), %error, "old statistics could not be forgotten");
    }
}

/// How much the log holds, and how much of it is in the database file.
#[derive(Default)]
struct Log {
    pages: i64,
    moved: i64,
}

impl Log {
    fn left(&self) -> i64 {
        self.pages - self.moved
    }
}

fn move_log(connection: &Connection, path: &Path, pragma: &str) -> Log {
    let row = |row: &rusqlite::Row<'_>| Ok(Log { pages: row.get(1)?, moved: row.get(2)? });
    connection.query_row(pragma, [], row).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "the log could not be moved into the database file");
        Log::default()
    })
}

fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

fn broken(error: &rusqlite::Error, sql: &str) -> Error {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Error::Retry,
        _ => Error::broken(format!("SQLite: {error} in: {sql}")),
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

pub(super) fn column<T>(
    row: &rusqlite::Row<'_>,
    at: usize,
    read: impl FnOnce(Column<'_>) -> Option<T>,
) -> Result<T> {
    let value = row.get_ref(at).map_err(|error| Error::broken(error.to_string()))?;
    let column = match value {
        ValueRef::Null => Column::Null,
        ValueRef::Integer(number) => Column::Int(number),
        ValueRef::Text(text) => {
            Column::Text(std::str::from_utf8(text).map_err(|_| Error::broken("text is not UTF-8"))?)
        }
        ValueRef::Blob(bytes) => Column::Bytes(bytes),
        ValueRef::Real(_) => return Err(Error::broken("no column holds fractions")),
    };
    read(column).ok_or_else(|| Error::broken("holds what it never should"))
}
