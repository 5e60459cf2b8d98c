//! SQLite, in this process: one writer and several readers on one file in WAL mode.
//!
//! `synchronous=FULL` makes a commit wait for the disk. Checkpoints run on a connection of their own, because
//! a writer that checkpoints by itself makes every caller of that batch wait for it. Between SQLite and its files
//! stands `carillon_disk`, which notices flipped bits (`pages`).

mod altering;
mod connection;
pub(crate) mod copy;
pub(crate) mod pages;
mod statements;
pub(crate) mod wipe;

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

pub(crate) use connection::{connect, open};
use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};
use statements::Statements;

use super::{Answer, Column, Commit, Declared, Driver, EachRow, Effect, Kind, Query, Value, values};
use crate::{Error, Result, Row};

/// How long a statement waits for a lock that another connection holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the log is moved into the database file.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(150);
/// Pages that the log may hold. Under a load that never pauses a passive checkpoint finds no moment to begin the log
/// anew; past this the writer is held up for one that does.
const LOG_PAGES_MAX: i64 = 32 * 1024;
/// How long the file of a log stays that was longer.
const LOG_BYTES_MAX: i64 = LOG_PAGES_MAX * 4_096;
/// Pages that may be left to be moved while the writer is held up.
const HELD_UP_PAGES_MAX: i64 = 512;
/// How long the writer is held up at first for those who read an older state.
const RESTART_TIMEOUT: Duration = Duration::from_millis(25);
/// How long the end of a server waits for them: a backup may be at work.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection at work.
pub(crate) struct Sqlite<'c> {
    connection: &'c Connection,
    statements: Statements<'c>,
    /// Changes of rows that this transaction has locked, of which a later one leaves nothing.
    overwritten: Vec<(&'static str, Vec<Value<'static>>)>,
    /// A transaction that reads begins with its first question: many ask none.
    is_to_begin: bool,
}

impl<'c> Sqlite<'c> {
    pub(crate) fn on(connection: &'c Connection) -> Self {
        Self { connection, statements: Statements::default(), overwritten: Vec::new(), is_to_begin: false }
    }

    /// Has the connection write, or not. It compiles all that it knows anew then.
    pub(crate) fn set_read_only(&mut self, is_read_only: bool) -> rusqlite::Result<()> {
        #[cfg(debug_assertions)]
        {
            self.statements.has_defined = true;
        }
        self.connection.pragma_update(None, "query_only", is_read_only)
    }

    fn run(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        each: Option<&mut EachRow<'_>>,
    ) -> Result<u64> {
        self.statements.with(self.connection, sql, |statement| {
            for (at, value) in values.iter().enumerate() {
                statement.raw_bind_parameter(at + 1, value).map_err(|error| broken(&error, sql))?;
            }
            let Some(each) = each else {
                let count = statement.raw_execute().map_err(|error| broken(&error, sql))?;
                return Ok(count as u64);
            };
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next().map_err(|error| broken(&error, sql))? {
                each(&mut Row::new(Answer::Sqlite(row))).map_err(|error| error.context(sql))?;
            }
            Ok(0)
        })
    }

    /// Does what is still to be done, before anything that could see it.
    fn settle(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_to_begin) {
            self.run("BEGIN", &[], None)?;
        }
        for (sql, values) in std::mem::take(&mut self.overwritten) {
            self.run(sql, &values, None)?;
        }
        Ok(())
    }
}

impl Driver for Sqlite<'_> {
    fn query(&mut self, sql: &'static str, values: &[Value<'_>], each: &mut EachRow<'_>) -> Result<()> {
        self.settle()?;
        self.run(sql, values, Some(each)).map(|_| ())
    }

    fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64> {
        self.settle()?;
        self.run(sql, values, None)
    }

    fn query_all(
        &mut self,
        queries: &[Query],
        each: &mut dyn FnMut(usize, &mut Row<'_>) -> Result<()>,
    ) -> Result<()> {
        queries
            .iter()
            .enumerate()
            .try_for_each(|(at, query)| self.query(query.sql, &query.values, &mut |row| each(at, row)))
    }

    fn defer(&mut self, sql: &'static str, values: &[Value<'_>], effect: Effect) -> Result<()> {
        self.settle()?;
        self.append(sql, values, effect)
    }

    /// Sees nothing of other rows, so what is still to be changed may wait.
    fn append(&mut self, sql: &'static str, values: &[Value<'_>], effect: Effect) -> Result<()> {
        let count = self.run(sql, values, None)?;
        if effect == Effect::Must && count == 0 { Err(Error::Retry) } else { Ok(()) }
    }

    fn overwrite(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        let same = |of: &&mut (&str, Vec<Value<'_>>)| of.0 == sql && of.1.first() == values.first();
        let values = values.iter().map(Value::to_owned).collect();
        match self.overwritten.iter_mut().find(same) {
            Some((_, earlier)) => *earlier = values,
            None => self.overwritten.push((sql, values)),
        }
        Ok(())
    }

    fn others(&mut self) -> Result<Option<i64>> {
        let mut version = None;
        self.query("PRAGMA data_version", &[], &mut |row| row.read().map(|read| version = Some(read)))?;
        Ok(version)
    }

    fn take_altered(&mut self) -> bool {
        std::mem::take(&mut self.statements.has_altered)
    }

    fn lock(&mut self, _: &'static str, _: &[Value<'_>]) -> Result<()> {
        Ok(())
    }

    fn rest(&mut self) -> Result<()> {
        self.connection
            .execute_batch("PRAGMA shrink_memory")
            .map_err(|error| broken(&error, "the giving back of memory"))
    }

    fn columns(&mut self, table: &str) -> Result<Vec<Declared>> {
        let sql = "SELECT name, type = 'BLOB' FROM pragma_table_info($1)";
        let mut columns = Vec::new();
        self.query(sql, values![table], &mut |row| {
            columns.push(Declared { name: row.read()?, is_bytes: row.read()? });
            Ok(())
        })?;
        Ok(columns)
    }

    fn begin(&mut self, kind: Kind) -> Result<()> {
        self.is_to_begin = kind == Kind::Read;
        if self.is_to_begin { Ok(()) } else { self.execute("BEGIN IMMEDIATE", &[]).map(|_| ()) }
    }

    fn commit(&mut self) -> Result<Commit> {
        self.execute("COMMIT", &[]).map(|_| Commit::Stands)
    }

    fn rollback(&mut self) {
        self.overwritten.clear();
        if std::mem::take(&mut self.is_to_begin) {
            return;
        }
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
        #[cfg(debug_assertions)]
        {
            self.statements.has_defined = true;
        }
        let ddl = ddl.replace("BIGINT", "INTEGER").replace("BYTEA", "BLOB").replace("\n);", "\n) STRICT;");
        self.connection.execute_batch(&ddl).map_err(|error| broken(&error, "a migration"))
    }
}

/// Moves the log into the database file until told to stop, and empties it then.
pub(crate) fn checkpoint(path: &Path, stop: &Receiver<()>) -> Result<()> {
    let connection = connect(path)?;
    forget_statistics(&connection, path);
    let mut restart = Restart::default();
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
        if log.moved != restart.stuck_at {
            restart.attempt(&connection, path);
        }
    }
    wait_for_locks(&connection, END_TIMEOUT);
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

/// The beginning of the log anew, for which nobody may write, and for which everybody must be done who reads an older
/// state. Who reads for long, as a backup does, is not waited for: nobody could write for as long.
struct Restart {
    /// How long the next attempt may take.
    timeout: Duration,
    /// How far the log was moved when an attempt failed. It is not moved past who reads.
    stuck_at: i64,
}

impl Default for Restart {
    fn default() -> Self {
        Self { timeout: RESTART_TIMEOUT, stuck_at: -1 }
    }
}

impl Restart {
    fn attempt(&mut self, connection: &Connection, path: &Path) {
        wait_for_locks(connection, self.timeout);
        // The file stays as long as it is, to be written over: cutting it off would hold the writer up, too.
        let log = move_log(connection, path, "PRAGMA wal_checkpoint(RESTART)");
        // It may have been a writer who is always there, or a slow disk. Those are waited for the longer.
        *self = if log.is_busy {
            Self { timeout: (self.timeout * 2).min(BUSY_TIMEOUT), stuck_at: log.moved }
        } else {
            Self::default()
        };
    }
}

fn wait_for_locks(connection: &Connection, timeout: Duration) {
    connection.busy_timeout(timeout).expect("it only remembers the number");
}

/// How much the log holds, and how much of it is in the database file.
#[derive(Default)]
struct Log {
    /// Somebody was in the way of more.
    is_busy: bool,
    pages: i64,
    moved: i64,
}

impl Log {
    fn left(&self) -> i64 {
        self.pages - self.moved
    }
}

fn move_log(connection: &Connection, path: &Path, pragma: &str) -> Log {
    let row =
        |row: &rusqlite::Row<'_>| Ok(Log { is_busy: row.get(0)?, pages: row.get(1)?, moved: row.get(2)? });
    connection.query_row(pragma, [], row).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "the log could not be moved into the database file");
        Log::default()
    })
}

/// Whether other connections are in the way.
fn is_locked(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
}

fn broken(error: &rusqlite::Error, sql: &str) -> Error {
    if is_locked(error) {
        Error::Retry
    } else if pages::is_damage(error) {
        Error::broken(format!("{} in: {sql}", pages::DAMAGE))
    } else {
        Error::broken(format!("SQLite: {error} in: {sql}"))
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
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

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn many_open_a_new_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..20 {
            let (path, all) = (folder.path().join(format!("store-{number}")), std::sync::Barrier::new(8));
            let open = || {
                all.wait();
                connect(&path).map(drop)
            };
            std::thread::scope(|scope| {
                let opening: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
                for one in opening {
                    one.join().unwrap().unwrap();
                }
            });
        }
    }

    #[test]
    fn who_reads_for_long_does_not_hold_up_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let (writer, reader, log) =
            (connect(&path).unwrap(), connect(&path).unwrap(), connect(&path).unwrap());
        writer
            .execute_batch("CREATE TABLE t (a BLOB) STRICT; INSERT INTO t VALUES (zeroblob(100000))")
            .unwrap();
        reader.execute_batch("BEGIN; SELECT COUNT(*) FROM t").unwrap();
        writer.execute_batch("INSERT INTO t VALUES (zeroblob(100000))").unwrap();
        let mut restart = Restart::default();
        restart.attempt(&log, &path);
        assert_eq!(restart.timeout, RESTART_TIMEOUT * 2);
        // No further attempt is made until the log is moved on, which the reader does not let it be.
        assert_eq!(move_log(&log, &path, "PRAGMA wal_checkpoint(PASSIVE)").moved, restart.stuck_at);
        reader.execute_batch("COMMIT").unwrap();
        assert_ne!(move_log(&log, &path, "PRAGMA wal_checkpoint(PASSIVE)").moved, restart.stuck_at);
        restart.attempt(&log, &path);
        assert_eq!((restart.timeout, restart.stuck_at), (RESTART_TIMEOUT, -1));
    }

    #[test]
    fn another_value_does_not_have_a_statement_compiled_anew() {
        let folder = tempfile::tempdir().unwrap();
        let connection = connect(&folder.path().join("store")).unwrap();
        let ddl = "CREATE TABLE t (a INTEGER, b INTEGER) STRICT; CREATE INDEX i ON t (a) WHERE b = 1";
        connection.execute_batch(ddl).unwrap();
        let mut statement = connection.prepare("SELECT a FROM t WHERE a = ?1 AND b = ?2").unwrap();
        for value in 0..3 {
            statement.raw_bind_parameter(1, value).unwrap();
            statement.raw_bind_parameter(2, value).unwrap();
            assert!(statement.raw_query().next().unwrap().is_none());
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
