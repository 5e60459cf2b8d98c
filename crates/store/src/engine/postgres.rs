//! PostgreSQL, across a network: one connection and one small runtime a lane.
//!
//! What costs is the round trip, so statements whose answer nobody waits for are sent together with the next
//! one that has an answer.
//!
//! Nothing waits for ever. The server ends a statement, a wait for a lock and an idle transaction after a while; a
//! server that says nothing at all is given up after a while longer, its connection dropped, and with it all that was
//! under way. So a lane answers within [`CONNECT_TIMEOUT`] and [`ANSWER_TIMEOUT`] whatever happens to the other side.
//!
//! A pooler may be between, which gives each transaction another connection. It is found out
//! ([`session::Session::open`]); each transaction then sets what it needs, and no statement is prepared, unless the
//! address says that this pooler keeps them.

mod address;
mod asked;
mod catalogue;
mod clean;
#[cfg(debug_assertions)]
mod explained;
mod fault;
mod flight;
mod indexes;
mod merged;
pub(crate) mod schema;
mod session;
mod statement;
mod terms;
mod tls;
mod values;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Statement};

use super::{Answer, Commit, Declared, Driver, EachRow, Effect, Kind, Query, Value};
use crate::{Error, Result, Row};
pub use address::Address;
use asked::Asked;
use fault::{Fault, classify, fault};
use indexes::indexes;
use merged::Merged;
use session::Session;
use statement::{Outcome, Prepared, demanding};
use terms::{TIMEOUTS, Terms, terms};
pub(super) use values::column;

/// How long a connection may take to come about, with all that is said before the first statement.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(2_500);
/// How long the server may be silent while it is asked something; then the connection is dropped, and another one tried
/// once. Twice this and [`CONNECT_TIMEOUT`] stay below the ten seconds within which a request is answered.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(3_500);
const _: () = assert!(2 * ANSWER_TIMEOUT.as_millis() + CONNECT_TIMEOUT.as_millis() < 10_000);
pub(crate) struct Postgres {
    address: Arc<Address>,
    terms: Terms,
    runtime: Runtime,
    /// Absent after a failure: the next transaction opens it anew.
    session: Option<Session>,
    /// Whether something is under way that may take its time.
    is_migrating: bool,
    /// Whether the server was silent when it was asked last. A connection may have died long ago, so one that is silent
    /// says little of the server; a second one after it says enough.
    was_silent: bool,
}

impl Postgres {
    pub(crate) fn open(address: &Arc<Address>, kind: Kind) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::broken(format!("cannot start a runtime: {error}")))?;
        let mut postgres = Self {
            address: address.clone(),
            terms: terms(kind),
            runtime,
            session: None,
            is_migrating: false,
            was_silent: false,
        };
        postgres.session()?;
        Ok(postgres)
    }

    fn session(&mut self) -> Result<(&Runtime, &mut Session)> {
        if self.session.is_none() {
            let connecting = async {
                let connecting = Session::open(&self.address, &self.terms);
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
        self.address.count_trip();
        self.ask(sql, last)
    }

    /// The same for what is said of statements, and not counted.
    fn ask<T, F>(&mut self, sql: &str, last: impl FnOnce(Arc<Client>) -> F) -> Result<T>
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
        Error::unreachable(format!("{} does not answer", self.address.places()))
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
            self.runtime.block_on(session.cut());
        }
    }

    fn statement(&mut self, sql: &'static str) -> Result<Prepared> {
        let (_, session) = self.session()?;
        if let Some(prepared) = session.find(sql) {
            #[cfg(debug_assertions)]
            self.explain(sql)?;
            return Ok(prepared);
        }
        let statement = self.ask(sql, |client| async move { client.prepare(sql).await })?;
        #[cfg(debug_assertions)]
        self.explain(sql)?;
        Ok(self.session()?.1.keep(sql, statement))
    }

    /// Looks at how a statement is gone about, once.
    #[cfg(debug_assertions)]
    fn explain(&mut self, sql: &str) -> Result<()> {
        if super::plan::is_new("postgres", sql) {
            let plan = self.ask(sql, |client| async move { explained::plan(&client, sql).await })?;
            super::plan::check_postgres(sql, &plan);
        }
        Ok(())
    }

    fn check<T>(&mut self, result: Outcome<T>, sql: &str) -> Result<T> {
        result.map_err(|error| {
            if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) {
                self.address.count_deadlock();
            }
            match (fault(&error), &mut self.session) {
                (Fault::Lost, _) => self.lose(),
                (Fault::Forgotten, Some(session)) => session.forget(),
                _ => {}
            }
            classify(&error, sql)
        })
    }

    /// What stands for several of one statement, where the server keeps what it is told of statements.
    fn merged(
        &mut self,
        one: &Prepared,
        make: impl FnOnce(&Statement) -> Option<Merged>,
    ) -> Result<Option<(Statement, usize)>> {
        let Prepared::Named(statement) = one else { return Ok(None) };
        let Some(Merged { sql, own }) = make(statement) else { return Ok(None) };
        let all = self.statement(sql)?;
        Ok(if let Prepared::Named(all) = all { Some((all, own)) } else { None })
    }

    /// Defers a statement on one row, which goes out with others of its text where the server keeps them.
    fn join(
        &mut self,
        (sql, values): (&'static str, &[Value<'_>]),
        (effect, locks): (Effect, bool),
        merge: impl FnOnce(&Statement) -> Option<Merged>,
    ) -> Result<()> {
        let one = self.statement(if effect == Effect::Must { demanding(sql) } else { sql })?;
        let Some((all, own)) = self.merged(&one, merge)? else { return self.defer(sql, values, effect) };
        let (_, session) = self.session()?;
        let values = values.iter().map(Value::to_owned).collect();
        session.flight.join((sql, locks), one, (Prepared::Named(all), own), values);
        Ok(())
    }

    /// Asks the questions of one text, in one statement where the server knows it; with the places of those that the
    /// rows answer.
    fn ask_alike(&mut self, sql: &'static str, alike: Vec<(usize, &Query)>) -> Result<Vec<Asked>> {
        let one = self.statement(sql)?;
        let all = if alike.len() == 1 { None } else { self.merged(&one, |one| merged::asked(sql, one))? };
        let (_, session) = self.session()?;
        Ok(match all {
            Some(all) => vec![asked::together(session, all, sql, alike)],
            None => alike.into_iter().map(|query| asked::alone(session, one.clone(), sql, query)).collect(),
        })
    }

    fn control(&mut self, sql: impl Into<Cow<'static, str>>) -> Result<()> {
        let (_, session) = self.session()?;
        let (client, sql) = (session.client.clone(), sql.into());
        session.flight.say(Box::pin(async move { client.batch_execute(&sql).await.map(|()| 0) }));
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.lose();
    }
}

impl Driver for Postgres {
    fn query(&mut self, sql: &'static str, values: &[Value<'_>], each: &mut EachRow<'_>) -> Result<()> {
        let prepared = self.statement(sql)?;
        let rows = self.wait(sql, |client| async move { prepared.query(&client, values).await })?;
        for row in rows {
            each(&mut Row::new(Answer::Postgres(&row))).map_err(|error| error.context(sql))?;
        }
        Ok(())
    }

    fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64> {
        let prepared = self.statement(sql)?;
        self.wait(sql, |client| async move { prepared.execute(&client, values).await })
    }

    fn query_all(
        &mut self,
        queries: &[Query],
        each: &mut dyn FnMut(usize, &mut Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut asked = Vec::new();
        for (sql, alike) in asked::by_text(queries) {
            asked.extend(self.ask_alike(sql, alike)?);
        }
        let first = queries.first().map_or("", |query| query.sql);
        self.wait(first, |_| std::future::ready(Ok(())))?;
        asked.into_iter().try_for_each(|asked| asked.show(each))
    }

    fn defer(&mut self, sql: &'static str, values: &[Value<'_>], effect: Effect) -> Result<()> {
        let sql = if effect == Effect::Must { demanding(sql) } else { sql };
        let statement = self.statement(sql)?;
        let (_, session) = self.session()?;
        let deferred = session.defer(statement, values.iter().map(Value::to_owned).collect());
        match effect {
            Effect::Any => session.flight.say(deferred),
            Effect::Must => session.flight.suppose(deferred),
        }
        Ok(())
    }

    fn append(&mut self, sql: &'static str, values: &[Value<'_>], effect: Effect) -> Result<()> {
        self.join((sql, values), (effect, false), |one| merged::added(sql, one, effect))
    }

    fn suppose(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.join((sql, values), (Effect::Must, true), |one| merged::supposed(sql, one))
    }

    fn overwrite(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        let prepared = self.statement(sql)?;
        let (_, session) = self.session()?;
        session.flight.overwrite(sql, prepared, values.iter().map(Value::to_owned).collect());
        Ok(())
    }

    fn lock(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.defer(sql, values, Effect::Any)
    }

    fn time(&mut self) -> Result<Option<i64>> {
        catalogue::time(self)
    }

    fn columns(&mut self, table: &str) -> Result<Vec<Declared>> {
        catalogue::columns(self, table)
    }

    fn take_time(&mut self) -> Result<()> {
        if !self.is_migrating {
            let timeouts = TIMEOUTS.map(|(name, _)| format!("SET LOCAL {name} = 0"));
            self.control(timeouts.join("; "))?;
            self.is_migrating = true;
        }
        Ok(())
    }

    fn begin(&mut self, kind: Kind) -> Result<()> {
        if self.session.as_ref().is_some_and(|session| session.server != self.address.latest()) {
            self.lose(); // Another lane has found the store elsewhere.
        }
        let begin = match kind {
            Kind::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Kind::Write | Kind::Job => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        let (_, session) = self.session()?;
        session.was_sent = false;
        let local = session.local.as_ref().map(|local| Cow::from(format!("{begin}; {local}")));
        self.control(local.unwrap_or(begin.into()))
    }

    fn commit(&mut self) -> Result<Commit> {
        if self.session.is_none() {
            return Err(Error::Retry);
        }
        self.address.count_trip();
        let answer = self.answer(|client| async move { client.batch_execute("COMMIT").await })?;
        self.is_migrating = false;
        match answer {
            Some(Ok(())) => Ok(Commit::Stands),
            Some(Err(error)) if fault(&error) != Fault::Lost => {
                self.check(Err(error), "COMMIT").map(|()| Commit::Stands)
            }
            _ => {
                self.lose();
                Ok(Commit::Unknown)
            }
        }
    }

    fn rollback(&mut self) {
        self.is_migrating = false;
        let Some(session) = &mut self.session else { return };
        session.flight.clear(); // It was not sent, and is not to be.
        let rollback = |client: Arc<Client>| async move { client.batch_execute("ROLLBACK").await };
        if session.was_sent && self.ask("ROLLBACK", rollback).is_err() {
            self.lose();
        }
    }

    fn mark(&mut self) -> Result<()> {
        self.control("SAVEPOINT mark")
    }

    fn rollback_to_mark(&mut self) -> Result<()> {
        if self.session.is_none() {
            return Err(Error::Retry); // The connection was lost, and with it the transaction.
        }
        let sql = "ROLLBACK TO SAVEPOINT mark";
        self.wait(sql, |client| async move { client.batch_execute(sql).await })
    }

    fn unmark(&mut self) -> Result<()> {
        self.control("RELEASE SAVEPOINT mark")
    }

    fn define(&mut self, ddl: &str) -> Result<()> {
        self.take_time()?;
        // Without a fixed collation the order of texts, and so of pages, would be the database's own.
        let ddl = ddl.replace(" TEXT", " TEXT COLLATE \"C\"");
        self.wait("a migration", |client| async move { client.batch_execute(&ddl).await })
    }

    fn define_beside(&mut self, ddl: &str) -> Result<()> {
        self.take_time()?;
        self.wait("a migration", |client| async move { client.batch_execute("").await })?;
        let mut beside = Self::open(&self.address, Kind::Write)?;
        beside.is_migrating = true;
        // Through a pooler, what the server lets a statement take is the server's own affair.
        let is_pooled = beside.session()?.1.local.is_some();
        for index in indexes(ddl, is_pooled)? {
            beside.wait("a migration", |client| async move { index.make(&client).await })?;
        }
        Ok(())
    }
}
