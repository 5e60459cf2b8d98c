//! What an engine must do, and the values that pass between it and the SQL.
//!
//! A [`Driver`] is one connection. It knows statements and transactions, and classifies errors; it knows no
//! table. To write a statement for both engines: `$1` parameters, the three column types `TEXT`, `BIGINT` and
//! `BYTEA`, `CAST` around a parameter that stands alone, no function that only one engine has.

pub(crate) mod faulty;
#[cfg(debug_assertions)]
mod plan;
pub(crate) mod postgres;
pub(crate) mod sqlite;
mod value;

use std::sync::Arc;

use faulty::{Faults, Faulty};
pub(crate) use value::{Column, FromColumn, ToValue, Value, values};

use crate::{Result, Row};

/// One connection to an engine.
pub(crate) trait Driver {
    /// Runs a statement and shows each row.
    fn query(&mut self, sql: &'static str, values: &[Value<'_>], each: &mut EachRow<'_>) -> Result<()>;
    /// Runs a statement and counts the rows that it changed.
    fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64>;
    /// Asks several things, all in one go where the engine is across a network, and shows each row with the place of
    /// its question. It may stand outside a transaction.
    fn query_all(
        &mut self,
        queries: &[Query],
        each: &mut dyn FnMut(usize, &mut Row<'_>) -> Result<()>,
    ) -> Result<()>;
    /// Runs a statement whose count nobody asks for. An engine across a network sends it together with the
    /// next statement; its failure then shows there, and at the latest at the commit.
    fn defer(&mut self, sql: &'static str, values: &[Value<'_>], effect: Effect) -> Result<()>;
    /// The same for an `INSERT … VALUES ($1, …)` of a row whose key nobody used before; parameters beyond its values
    /// are alike for all rows of the statement. An engine across a network adds what was appended since its last
    /// question in one statement, and before whatever was deferred since that supposes something of other rows.
    fn append(&mut self, sql: &'static str, values: &[Value<'_>], effect: Effect) -> Result<()> {
        self.defer(sql, values, effect)
    }
    /// The same for a statement on one row, which must be as its condition says. Of an `UPDATE … WHERE key = $1 AND …`
    /// an engine across a network locks and changes all rows in one statement, in the order in which they were said.
    fn suppose(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.defer(sql, values, Effect::Must)
    }
    /// The same for an `UPDATE` of the row whose key is the first value, which this transaction has locked. One that
    /// follows leaves nothing of it, so an engine across a network sends the last of those that wait.
    fn overwrite(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.defer(sql, values, Effect::Any)
    }
    /// The same for a statement that only locks; where there is one writer, nothing is to be locked.
    fn lock(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()>;
    /// The time by a clock of the engine's own, in milliseconds; nothing where it has only that of this machine.
    fn time(&mut self) -> Result<Option<i64>> {
        Ok(None)
    }
    /// The columns of a table, in their order; none where there is no such table.
    fn columns(&mut self, table: &str) -> Result<Vec<Declared>>;
    /// Gives back the memory of this process that it keeps only to save itself reading.
    fn rest(&mut self) -> Result<()> {
        Ok(())
    }
    /// In a transaction, where nobody else writes meanwhile: a number that is another whenever others have written.
    fn others(&mut self) -> Result<Option<i64>> {
        Ok(None)
    }
    /// Whether anything since the last time that this was asked may have altered how somebody stands to a channel;
    /// nothing to go by where others write.
    fn take_altered(&mut self) -> bool {
        false
    }
    /// Lets all that this transaction does from here on take its time.
    fn take_time(&mut self) -> Result<()> {
        Ok(())
    }
    /// Begins a transaction.
    fn begin(&mut self, kind: Kind) -> Result<()>;
    /// Makes everything since `begin` durable; after an error nothing of it is.
    fn commit(&mut self) -> Result<Commit>;
    /// Forgets everything since `begin`; a connection that cannot even do that is opened anew.
    fn rollback(&mut self);
    /// Marks the point that `rollback_to_mark` goes back to.
    fn mark(&mut self) -> Result<()>;
    /// Forgets everything since `mark`; the mark stays.
    fn rollback_to_mark(&mut self) -> Result<()>;
    /// Takes the mark away.
    fn unmark(&mut self) -> Result<()>;
    /// Runs the statements of a migration, rewriting the column types.
    fn define(&mut self, ddl: &str) -> Result<()>;
    /// Makes the indexes of a migration while others write. An engine that lets many write does so beside the
    /// transaction, which holds the lock meanwhile; what was cut off is begun anew.
    fn define_beside(&mut self, ddl: &str) -> Result<()> {
        self.define(ddl)
    }
}

/// An open connection.
pub(crate) struct Opened {
    connection: Connection,
    /// Where it is to fail.
    faults: Option<Arc<Faults>>,
}

/// A connection of an engine.
pub(crate) enum Connection {
    Sqlite(rusqlite::Connection),
    Postgres(Box<postgres::Postgres>),
}

impl From<Connection> for Opened {
    fn from(connection: Connection) -> Self {
        Self { connection, faults: None }
    }
}

impl Opened {
    /// The same, which fails where a test says.
    pub(crate) fn failing(self, faults: Option<Arc<Faults>>) -> Self {
        Self { faults, ..self }
    }

    /// Works with it; what it needs again and again it keeps meanwhile.
    pub(crate) fn hold<T>(&mut self, work: impl FnOnce(&mut dyn Driver) -> T) -> T {
        let faults = self.faults.as_deref();
        let work = |driver: &mut dyn Driver| match faults {
            Some(faults) => work(&mut Faulty::before(driver, faults)),
            None => work(driver),
        };
        match &mut self.connection {
            Connection::Sqlite(connection) => work(&mut sqlite::Sqlite::on(connection)),
            Connection::Postgres(postgres) => work(postgres.as_mut()),
        }
    }
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// It is durable.
    Stands,
    /// The connection was lost while it was under way: it may be durable, or not.
    Unknown,
}

/// A column of a table.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) is_bytes: bool,
}

/// What is shown each row.
pub(crate) type EachRow<'a> = dyn FnMut(&mut Row<'_>) -> Result<()> + 'a;

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Reads one snapshot.
    Read,
    /// Reads and writes.
    Write,
    /// Reads and writes what others may be writing, and gives way to them.
    Job,
}

/// What a statement that changes something supposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: there may be no such row.
    Any,
    /// That it changes a row. Where it does not, the transaction fails with [`crate::Error::Retry`].
    Must,
}

/// A statement that is made later, on a row that lanes share.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) sql: &'static str,
    pub(crate) values: Vec<Value<'static>>,
    pub(crate) effect: Effect,
    /// Whether it adds a row, as [`Driver::append`] does.
    pub(crate) is_append: bool,
}

/// A question among several.
pub(crate) struct Query {
    pub(crate) sql: &'static str,
    pub(crate) values: Vec<Value<'static>>,
}

/// One row of an engine's answer.
pub(crate) enum Answer<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl Answer<'_> {
    /// The column at this place, counted from zero.
    pub(crate) fn get<T: FromColumn>(&self, at: usize) -> Result<T> {
        match self {
            Self::Sqlite(row) => sqlite::column(row, at, T::from_column),
            Self::Postgres(row) => postgres::column(row, at, T::from_column),
        }
        .map_err(|error| error.context(format!("column {at}")))
    }
}

/// The most values of a list in a statement. A statement's text is one of two: for one value, and for this many,
/// where a shorter list repeats its last.
pub(crate) const MANY: usize = 100;

/// The parameters of a list of `count` values, from `$first` on.
pub(crate) fn parameters(first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count).map(|number| format!("${number}")).collect();
    names.join(", ")
}

/// Adds a list of at least one value and at most [`MANY`] to those of a statement, and chooses its text.
pub(crate) fn several<'a>(
    one: &'static str,
    all: &'static str,
    values: &mut Vec<Value<'a>>,
    list: impl ExactSizeIterator<Item = Value<'a>>,
) -> &'static str {
    let count = list.len();
    debug_assert!((1..=MANY).contains(&count), "a statement takes 1 to {MANY} values, not {count}");
    values.extend(list);
    if count == 1 {
        return one;
    }
    let filler = values[values.len() - 1].clone();
    values.extend(std::iter::repeat_n(filler, MANY.saturating_sub(count)));
    all
}
