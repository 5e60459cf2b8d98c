//! PostgreSQL, across a network: one connection and one small runtime a lane.
//!
//! What costs is the round trip, so statements whose answer nobody waits for are sent together with the next
//! one that has an answer. PostgreSQL's text cannot hold U+0000, which people may write; it is escaped here,
//! so that no SQL has to know.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::{Column, Commit, Driver, EachRow, Kind, Row, Value};
use crate::{Error, Result};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What every connection sets. A commit that is answered is on disk, whatever the database's default. Our statements
/// fetch few rows, each by an index; what the planner believes of a table that grows is old, and must not make a scan
/// of it look cheap: it did, and adding members took five times as long until statistics came.
const SETTINGS: &str = "SET synchronous_commit = on; SET enable_seqscan = off; SET enable_bitmapscan = off;
  SET enable_hashjoin = off; SET enable_mergejoin = off";

type Deferred = Pin<Box<dyn Future<Output = std::result::Result<u64, tokio_postgres::Error>>>>;

pub(crate) struct Postgres {
    config: Config,
    runtime: Runtime,
    /// Absent after a failure: the next transaction opens it anew.
    session: Option<Session>,
}

struct Session {
    client: Arc<Client>,
    statements: HashMap<usize, Statement>,
    /// Sent, or about to be; answered before anything that comes after them.
    deferred: Vec<Deferred>,
}

impl Postgres {
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::broken(format!("cannot start a runtime: {error}")))?;
        let mut postgres = Self { config: config.clone(), runtime, session: None };
        postgres.session()?;
        Ok(postgres)
    }

    fn session(&mut self) -> Result<(&Runtime, &mut Session)> {
        if self.session.is_none() {
            let (client, connection) = self.runtime.block_on(connect(&self.config))?;
            self.runtime.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!(%error, "the connection to PostgreSQL was lost");
                }
            });
            let set = self.runtime.block_on(client.batch_execute(SETTINGS));
            set.map_err(|error| classify(&error, SETTINGS))?;
            self.session =
                Some(Session { client: Arc::new(client), statements: HashMap::new(), deferred: Vec::new() });
        }
        Ok((&self.runtime, self.session.as_mut().expect("it was opened just above")))
    }

    fn statement(&mut self, sql: &'static str) -> Result<Statement> {
        let (runtime, session) = self.session()?;
        if let Some(statement) = session.statements.get(&(sql.as_ptr() as usize)) {
            return Ok(statement.clone());
        }
        let client = session.client.clone();
        let prepared = runtime.block_on(session.after_deferred(client.prepare(sql)));
        let statement = self.check(prepared, sql)?;
        let (_, session) = self.session()?;
        session.statements.insert(sql.as_ptr() as usize, statement.clone());
        Ok(statement)
    }

    fn check<T>(&mut self, result: std::result::Result<T, tokio_postgres::Error>, sql: &str) -> Result<T> {
        result.map_err(|error| {
            if is_lost(&error) {
                self.session = None;
            }
            classify(&error, sql)
        })
    }

    fn control(&mut self, sql: &'static str) -> Result<()> {
        let (_, session) = self.session()?;
        let client = session.client.clone();
        session.deferred.push(Box::pin(async move { client.batch_execute(sql).await.map(|()| 0) }));
        Ok(())
    }

    fn settle(&mut self, sql: &'static str) -> Result<()> {
        let Some(session) = self.session.as_mut() else {
            return Err(Error::Retry); // The connection was lost, and with it the transaction.
        };
        let client = session.client.clone();
        let settled =
            self.runtime.block_on(session.after_deferred(async move { client.batch_execute(sql).await }));
        self.check(settled, sql)
    }
}

impl Session {
    /// Sends what was deferred and then `last`, all in one go; answers with `last`'s answer.
    async fn after_deferred<T>(
        &mut self,
        last: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> std::result::Result<T, tokio_postgres::Error> {
        let mut deferred = std::mem::take(&mut self.deferred);
        let mut failed = None;
        let mut waiting = Vec::with_capacity(deferred.len());
        for mut statement in deferred.drain(..) {
            // The first poll puts the statement on the wire.
            match poll_fn(|context| Poll::Ready(statement.as_mut().poll(context))).await {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => failed = failed.or(Some(error)),
                Poll::Pending => waiting.push(statement),
            }
        }
        let answer = last.await;
        for statement in waiting {
            if let Err(error) = statement.await {
                failed = failed.or(Some(error));
            }
        }
        // An earlier failure explains the later ones: the transaction was aborted by it.
        failed.map_or(answer, Err)
    }
}

impl Driver for Postgres {
    fn query(&mut self, sql: &'static str, values: &[Value<'_>], each: &mut EachRow<'_>) -> Result<()> {
        let statement = self.statement(sql)?;
        let (runtime, session) = self.session()?;
        let client = session.client.clone();
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let rows = runtime.block_on(session.after_deferred(client.query(&statement, &parameters)));
        for row in self.check(rows, sql)? {
            each(&Row::Postgres(&row)).map_err(|error| error.context(sql))?;
        }
        Ok(())
    }

    fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64> {
        let statement = self.statement(sql)?;
        let (runtime, session) = self.session()?;
        let client = session.client.clone();
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let count = runtime.block_on(session.after_deferred(client.execute(&statement, &parameters)));
        self.check(count, sql)
    }

    fn defer(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        let statement = self.statement(sql)?;
        let values: Vec<Owned> = values.iter().map(Owned::from).collect();
        let (_, session) = self.session()?;
        let client = session.client.clone();
        session.deferred.push(Box::pin(async move {
            let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
            client.execute(&statement, &parameters).await
        }));
        Ok(())
    }

    fn begin(&mut self, kind: Kind) -> Result<()> {
        self.control(match kind {
            Kind::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Kind::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
        })
    }

    fn commit(&mut self) -> Result<Commit> {
        let Some(session) = self.session.as_mut() else { return Err(Error::Retry) };
        let client = session.client.clone();
        let committing = session.after_deferred(async move { client.batch_execute("COMMIT").await });
        match self.runtime.block_on(committing) {
            Ok(()) => Ok(Commit::Stands),
            Err(error) if is_lost(&error) => {
                self.session = None;
                Ok(Commit::Unknown)
            }
            Err(error) => Err(classify(&error, "COMMIT")),
        }
    }

    fn rollback(&mut self) {
        if self.session.is_some() && self.settle("ROLLBACK").is_err() {
            self.session = None;
        }
    }

    fn mark(&mut self) -> Result<()> {
        self.control("SAVEPOINT mark")
    }

    fn rollback_to_mark(&mut self) -> Result<()> {
        self.settle("ROLLBACK TO SAVEPOINT mark")
    }

    fn unmark(&mut self) -> Result<()> {
        self.control("RELEASE SAVEPOINT mark")
    }

    fn define(&mut self, ddl: &str) -> Result<()> {
        // Without a fixed collation the order of texts, and so of pages, would be the database's own.
        let ddl = ddl.replace(" TEXT", " TEXT COLLATE \"C\"");
        let (runtime, session) = self.session()?;
        let client = session.client.clone();
        let defined = runtime.block_on(session.after_deferred(async { client.batch_execute(&ddl).await }));
        self.check(defined, "a migration")
    }
}

async fn connect(
    config: &Config,
) -> Result<(Client, tokio_postgres::Connection<tokio_postgres::Socket, tokio_postgres::tls::NoTlsStream>)> {
    let host = match config.get_hosts().first() {
        Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
        _ => "its socket".to_owned(),
    };
    let mut config = config.clone();
    config.connect_timeout(CONNECT_TIMEOUT).application_name("carillon");
    let (client, connection) = config
        .connect(NoTls)
        .await
        .map_err(|error| Error::broken(format!("cannot reach PostgreSQL at {host}: {}", reason(&error))))?;
    Ok((client, connection))
}

fn reason(error: &tokio_postgres::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Whether the connection is gone: it was cut, or the server said that it goes down.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    goes_down(error) || error.code().is_none()
}

fn goes_down(error: &tokio_postgres::Error) -> bool {
    error.is_closed() || error.code().is_some_and(|code| code.code().starts_with("57P"))
}

fn classify(error: &tokio_postgres::Error, sql: &str) -> Error {
    let retry = goes_down(error)
        || error.code().is_some_and(|code| {
            // The second pair: a statement that was prepared before the schema changed, or on another server
            // behind a pooler.
            [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code)
                || [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SQL_STATEMENT_NAME].contains(code)
        });
    if retry { Error::Retry } else { Error::broken(format!("PostgreSQL: {} in: {sql}", reason(error))) }
}

/// Stands for U+0000, and before itself: U+001A followed by `0` or `1`.
const ESCAPE: char = '\u{1a}';

fn escaped(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte == 0 || byte == 0x1a) {
        text.replace(ESCAPE, "\u{1a}1").replace('\0', "\u{1a}0").into()
    } else {
        text.into()
    }
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if text.contains(ESCAPE) {
        text.replace("\u{1a}0", "\0").replace("\u{1a}1", "\u{1a}").into()
    } else {
        text.into()
    }
}

/// A value that outlives the call, for a statement that waits.
#[derive(Debug)]
enum Owned {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&Value<'_>> for Owned {
    fn from(value: &Value<'_>) -> Self {
        match *value {
            Value::Null => Self::Null,
            Value::Int(number) => Self::Int(number),
            Value::Text(text) => Self::Text(text.to_owned()),
            Value::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
        }
    }
}

type Encoded = std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>>;

impl ToSql for Value<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Encoded {
        match *self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(number) => number.to_sql(kind, out),
            Value::Text(text) => escaped(text).as_ref().to_sql(kind, out),
            Value::Bytes(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(kind)
    }

    tokio_postgres::types::to_sql_checked!();
}

impl ToSql for Owned {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Encoded {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
        }
        .to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <Value<'_> as ToSql>::accepts(kind)
    }

    tokio_postgres::types::to_sql_checked!();
}

pub(super) fn column<T>(
    row: &tokio_postgres::Row,
    at: usize,
    read: impl FnOnce(Column<'_>) -> Option<T>,
) -> Result<T> {
    let bad = |error: tokio_postgres::Error| Error::broken(error.to_string());
    let kind = row.columns()[at].type_();
    let value = if *kind == Type::INT8 {
        read(row.try_get::<_, Option<i64>>(at).map_err(bad)?.map_or(Column::Null, Column::Int))
    } else if *kind == Type::BYTEA {
        read(row.try_get::<_, Option<&[u8]>>(at).map_err(bad)?.map_or(Column::Null, Column::Bytes))
    } else {
        match row.try_get::<_, Option<&str>>(at).map_err(bad)? {
            None => read(Column::Null),
            Some(text) => read(Column::Text(&unescaped(text))),
        }
    };
    value.ok_or_else(|| Error::broken("holds what it never should"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_survives_the_escape() {
        for text in ["", "plain", "\0", "\u{1a}", "\u{1a}0", "a\0\u{1a}1\0b"] {
            assert_eq!(unescaped(&escaped(text)), text);
            assert!(!escaped(text).contains('\0'));
        }
    }
}
