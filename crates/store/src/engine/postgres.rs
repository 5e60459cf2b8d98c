//! PostgreSQL, across a network: one connection and one small runtime a lane.
//!
//! What costs is the round trip, so statements whose answer nobody waits for are sent together with the next
//! one that has an answer. PostgreSQL's text cannot hold U+0000, which people may write; it is escaped here,
//! so that no SQL has to know.
//!
//! Nothing waits for ever. The server ends a statement, a wait for a lock and an idle transaction after a while; a
//! server that says nothing at all is given up after a while longer, its connection dropped, and with it all that was
//! under way. So a lane answers within [`CONNECT_TIMEOUT`] and [`ANSWER_TIMEOUT`] whatever happens to the other side.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as _;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::{Change, Column, Commit, Driver, EachRow, Kind, Owned, Row, Value};
use crate::{Error, Result};

/// How long a connection may take to come about, with all that is said before the first statement.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(2_500);
/// How long the server may be silent while it is asked something; then the connection is dropped, and another one tried
/// once. Twice this and [`CONNECT_TIMEOUT`] stay below the ten seconds within which a request is answered.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(3_500);
const _: () = assert!(2 * ANSWER_TIMEOUT.as_millis() + CONNECT_TIMEOUT.as_millis() < 10_000);
/// How long the server lets a statement run. Ours take milliseconds; only migrations are free of it.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the server lets a statement wait for a lock. Lanes share rows only at the end of a batch, so this is for
/// locks of others than this program. It is longer than PostgreSQL's `deadlock_timeout`, so that it hides no deadlock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for a job, which locks what is old or deleted wherever that is, and gives way to whoever needs it.
const JOB_LOCK_TIMEOUT: Duration = Duration::from_millis(200);
/// How long the server lets a transaction be idle. A process that is stopped must not keep its locks.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection is quiet before the system looks whether the other side is there, and how often then.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// What every connection sets. A commit that is answered is on disk, whatever the database's default. Our statements
/// fetch few rows, each by an index; what the planner believes of a table that grows is old, and must not make a scan
/// of it look cheap: it did, and adding members took five times as long until statistics came.
const SETTINGS: &str = "SET synchronous_commit = on; SET enable_seqscan = off; SET enable_bitmapscan = off;
  SET enable_hashjoin = off; SET enable_mergejoin = off";

type Outcome<T> = std::result::Result<T, tokio_postgres::Error>;
type Deferred = Pin<Box<dyn Future<Output = Outcome<u64>>>>;

pub(crate) struct Postgres {
    config: Config,
    settings: String,
    runtime: Runtime,
    /// Absent after a failure: the next transaction opens it anew.
    session: Option<Session>,
    /// Whether a migration is under way, which may take its time.
    is_migrating: bool,
    /// Whether the server was silent when it was asked last. A connection may have died long ago, so one that is silent
    /// says little of the server; a second one after it says enough.
    was_silent: bool,
}

struct Session {
    client: Arc<Client>,
    /// Carries the bytes; it ends with the session, so that the server learns of it.
    connection: JoinHandle<()>,
    statements: HashMap<usize, Statement>,
    /// Sent, or about to be; answered before anything that comes after them.
    deferred: Vec<Deferred>,
}

impl Postgres {
    pub(crate) fn open(config: &Config, kind: Kind) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::broken(format!("cannot start a runtime: {error}")))?;
        let mut config = config.clone();
        config
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_IDLE)
            .tcp_user_timeout(ANSWER_TIMEOUT)
            .application_name("carillon");
        let settings = settings(if kind == Kind::Job { JOB_LOCK_TIMEOUT } else { LOCK_TIMEOUT });
        let mut postgres =
            Self { config, settings, runtime, session: None, is_migrating: false, was_silent: false };
        postgres.session()?;
        Ok(postgres)
    }

    fn session(&mut self) -> Result<(&Runtime, &mut Session)> {
        if self.session.is_none() {
            let connecting = async {
                let connecting = connect(&self.config, &self.settings);
                tokio::time::timeout(CONNECT_TIMEOUT, connecting)
                    .await
                    .unwrap_or_else(|_| Err(self.silence()))
            };
            self.session = Some(self.runtime.block_on(connecting)?);
        }
        Ok((&self.runtime, self.session.as_mut().expect("it was opened just above")))
    }

    /// Sends what was deferred and then what `last` says, and waits for all answers, but not for ever.
    fn wait<T, F>(&mut self, sql: &str, last: impl FnOnce(Arc<Client>) -> F) -> Result<T>
    where
        F: Future<Output = Outcome<T>>,
    {
        match self.answer(last)? {
            Some(answer) => {
                self.was_silent = false;
                self.check(answer, sql)
            }
            None if std::mem::replace(&mut self.was_silent, true) => Err(self.silence()),
            None => Err(Error::Retry),
        }
    }

    fn silence(&self) -> Error {
        Error::unreachable(format!("{} does not answer", place(&self.config)))
    }

    /// The same, with nothing where the server was silent for too long; then the connection is gone.
    fn answer<T, F>(&mut self, last: impl FnOnce(Arc<Client>) -> F) -> Result<Option<Outcome<T>>>
    where
        F: Future<Output = Outcome<T>>,
    {
        let is_patient = self.is_migrating;
        let (runtime, session) = self.session()?;
        let last = last(session.client.clone());
        let all = session.after_deferred(last);
        let answer = runtime.block_on(async {
            if is_patient { Some(all.await) } else { tokio::time::timeout(ANSWER_TIMEOUT, all).await.ok() }
        });
        if answer.is_none() {
            self.lose();
        }
        Ok(answer)
    }

    /// Drops the connection, and all that is under way on it.
    fn lose(&mut self) {
        self.is_migrating = false;
        if let Some(session) = self.session.take() {
            session.connection.abort();
            // Only a runtime that runs closes the socket. It fails, as it was told to.
            let _ = self.runtime.block_on(session.connection);
        }
    }

    fn statement(&mut self, sql: &'static str) -> Result<Statement> {
        let (_, session) = self.session()?;
        if let Some(statement) = session.statements.get(&(sql.as_ptr() as usize)) {
            return Ok(statement.clone());
        }
        let statement = self.wait(sql, |client| async move { client.prepare(sql).await })?;
        #[cfg(debug_assertions)]
        self.explain(sql)?;
        let (_, session) = self.session()?;
        session.statements.insert(sql.as_ptr() as usize, statement.clone());
        Ok(statement)
    }

    /// Looks at how a statement is gone about, once.
    #[cfg(debug_assertions)]
    fn explain(&mut self, sql: &str) -> Result<()> {
        if !super::plan::is_new("postgres", sql) {
            return Ok(());
        }
        let text = format!("EXPLAIN (GENERIC_PLAN, COSTS OFF) {sql}");
        let answer = self.wait(sql, |client| async move { client.simple_query(&text).await })?;
        let line = |message: &tokio_postgres::SimpleQueryMessage| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        super::plan::check_postgres(sql, &answer.iter().filter_map(line).collect::<Vec<_>>());
        Ok(())
    }

    fn check<T>(&mut self, result: Outcome<T>, sql: &str) -> Result<T> {
        result.map_err(|error| {
            if is_lost(&error) {
                self.lose();
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
        if self.session.is_none() {
            return Err(Error::Retry); // The connection was lost, and with it the transaction.
        }
        self.wait(sql, |client| async move { client.batch_execute(sql).await })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.lose();
    }
}

impl Session {
    /// Sends what was deferred and then `last`, all in one go; answers with `last`'s answer, or with the first failure.
    ///
    /// The answers come in the order of what was sent, and are waited for in this order: an answer that nobody takes
    /// stands in the way of all that come after it.
    async fn after_deferred<T>(&mut self, last: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        let mut sent = Vec::with_capacity(self.deferred.len());
        for mut statement in self.deferred.drain(..) {
            // The first poll puts the statement on the wire.
            let answer = poll_fn(|context| Poll::Ready(statement.as_mut().poll(context))).await;
            sent.push((statement, answer));
        }
        let mut last = pin!(last);
        let early = poll_fn(|context| Poll::Ready(last.as_mut().poll(context))).await;
        let mut failed = None;
        for (statement, answer) in sent {
            let answer = if let Poll::Ready(answer) = answer { answer } else { statement.await };
            // The first failure explains the others: it aborted the transaction, and they end at once.
            failed = failed.or(answer.err());
        }
        let answer = if let Poll::Ready(answer) = early { answer } else { last.await };
        failed.map_or(answer, Err)
    }

    fn defer(&mut self, statement: Statement, values: Vec<Owned>) -> Deferred {
        let client = self.client.clone();
        Box::pin(async move {
            let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
            client.execute(&statement, &parameters).await
        })
    }
}

impl Driver for Postgres {
    fn query(&mut self, sql: &'static str, values: &[Value<'_>], each: &mut EachRow<'_>) -> Result<()> {
        let statement = self.statement(sql)?;
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let rows = self.wait(sql, |client| async move { client.query(&statement, &parameters).await })?;
        for row in rows {
            each(&Row::Postgres(&row)).map_err(|error| error.context(sql))?;
        }
        Ok(())
    }

    fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64> {
        let statement = self.statement(sql)?;
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        self.wait(sql, |client| async move { client.execute(&statement, &parameters).await })
    }

    fn defer(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        let statement = self.statement(sql)?;
        let (_, session) = self.session()?;
        let deferred = session.defer(statement, values.iter().map(Owned::from).collect());
        session.deferred.push(deferred);
        Ok(())
    }

    fn execute_all(&mut self, changes: &[Change]) -> Result<Vec<u64>> {
        let counts = Arc::new(Mutex::new(vec![0; changes.len()]));
        for (at, Change { sql, values, .. }) in changes.iter().enumerate() {
            let statement = self.statement(sql)?;
            let (_, session) = self.session()?;
            let (counts, deferred) = (counts.clone(), session.defer(statement, values.clone()));
            session.deferred.push(Box::pin(async move {
                let count = deferred.await?;
                counts.lock().unwrap_or_else(PoisonError::into_inner)[at] = count;
                Ok(count)
            }));
        }
        let last = changes.last().map_or("", |change| change.sql);
        self.wait(last, |_| std::future::ready(Ok(())))?;
        let counts = std::mem::take(&mut *counts.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(counts)
    }

    fn begin(&mut self, kind: Kind) -> Result<()> {
        self.control(match kind {
            Kind::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Kind::Write | Kind::Job => "BEGIN ISOLATION LEVEL READ COMMITTED",
        })
    }

    fn commit(&mut self) -> Result<Commit> {
        if self.session.is_none() {
            return Err(Error::Retry);
        }
        let answer = self.answer(|client| async move { client.batch_execute("COMMIT").await })?;
        self.is_migrating = false;
        match answer {
            Some(Ok(())) => Ok(Commit::Stands),
            Some(Err(error)) if !is_lost(&error) => Err(classify(&error, "COMMIT")),
            _ => {
                self.lose();
                Ok(Commit::Unknown)
            }
        }
    }

    fn rollback(&mut self) {
        self.is_migrating = false;
        if let Some(session) = &mut self.session {
            session.deferred.clear(); // It was not sent, and is not to be.
        }
        if self.session.is_some() && self.settle("ROLLBACK").is_err() {
            self.lose();
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
        if !self.is_migrating {
            self.control("SET LOCAL statement_timeout = 0")?;
            self.control("SET LOCAL lock_timeout = 0")?;
            self.is_migrating = true;
        }
        // Without a fixed collation the order of texts, and so of pages, would be the database's own.
        let ddl = ddl.replace(" TEXT", " TEXT COLLATE \"C\"");
        self.wait("a migration", |client| async move { client.batch_execute(&ddl).await })
    }
}

fn settings(lock_timeout: Duration) -> String {
    format!(
        "{SETTINGS}; SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}",
        STATEMENT_TIMEOUT.as_millis(),
        lock_timeout.as_millis(),
        IDLE_TIMEOUT.as_millis()
    )
}

async fn connect(config: &Config, settings: &str) -> Result<Session> {
    let unreachable = |error: tokio_postgres::Error| {
        Error::unreachable(format!("cannot reach {}: {}", place(config), reason(&error)))
    };
    let (client, connection) = config.connect(NoTls).await.map_err(unreachable)?;
    let connection = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(%error, "the connection to PostgreSQL was lost");
        }
    });
    client.batch_execute(settings).await.map_err(unreachable)?;
    Ok(Session { client: Arc::new(client), connection, statements: HashMap::new(), deferred: Vec::new() })
}

fn place(config: &Config) -> String {
    match config.get_hosts().first() {
        Some(tokio_postgres::config::Host::Tcp(host)) => format!("PostgreSQL at {host}"),
        _ => "PostgreSQL at its socket".to_owned(),
    }
}

fn reason(error: &tokio_postgres::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Whether the connection is gone: it was cut, or the server said that it goes down.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.is_closed()
        || error.code().is_some_and(|code| code.code().starts_with("57P"))
        || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

fn classify(error: &tokio_postgres::Error, sql: &str) -> Error {
    if is_lost(error) {
        return Error::Retry; // A new connection is tried, and tells whether the server can be reached.
    }
    let Some(code) = error.code() else {
        return Error::broken(format!("PostgreSQL: {} in: {sql}", reason(error)));
    };
    let again = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        // A statement that was prepared before the schema changed, or on another server behind a pooler.
        SqlState::FEATURE_NOT_SUPPORTED,
        SqlState::INVALID_SQL_STATEMENT_NAME,
    ];
    // It waited for a lock, or took longer than it may.
    let slow = [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED];
    if again.contains(code) {
        Error::Retry
    } else if slow.contains(code) {
        Error::Busy
    } else {
        Error::broken(format!("PostgreSQL: {} in: {sql}", reason(error)))
    }
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
        self.as_value().to_sql(kind, out)
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
