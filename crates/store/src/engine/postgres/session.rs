//! One connection, from the first byte to the last, and the statements that it knows.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Row, SimpleQueryMessage, Statement};

use super::address::Address;
use super::fault::reason;
use super::flight::Flight;
use super::statement::{Deferred, Outcome, Prepared, lists};
use super::terms::Terms;
use crate::engine::Value;
use crate::{Error, Result};

/// How long a server may take before the next one of the address is tried beside it.
const NEXT_SERVER_AFTER: Duration = Duration::from_millis(250);

/// Where the rows of an answer are put.
pub(super) type Rows = Arc<Mutex<Vec<Row>>>;

/// A connection that is ready for transactions.
pub(super) struct Session {
    pub(super) client: Arc<Client>,
    /// Carries the bytes; it ends with the session, so that the server learns of it.
    connection: JoinHandle<()>,
    /// Which server of the address it is to.
    pub(super) server: usize,
    /// What each transaction sets for itself, where a pooler gives it another connection than the one before.
    pub(super) local: Option<String>,
    prepares: bool,
    statements: HashMap<usize, Statement>,
    /// About to be sent; answered before anything that comes after them.
    pub(super) flight: Flight,
    /// Whether anything was sent since the last transaction was begun.
    pub(super) was_sent: bool,
}

impl Session {
    /// Connects to the server of the address that takes writes: to the one that did last, if it answers soon, and
    /// otherwise to the first of all of them that says so.
    pub(super) async fn open(address: &Arc<Address>, terms: &Terms) -> Result<Self> {
        let mut order = address.order();
        let mut trying = JoinSet::new();
        let mut refusals = Vec::new();
        loop {
            if let Some(at) = order.next() {
                trying.spawn(Self::open_at(address.clone(), at, terms.clone()));
            }
            let ended = tokio::time::timeout(NEXT_SERVER_AFTER, trying.join_next()).await;
            match ended {
                Err(_) => {}
                Ok(Some(Ok(Ok(session)))) => {
                    address.took(session.server);
                    return Ok(session);
                }
                Ok(Some(Ok(Err(refusal)))) => refusals.push(refusal),
                Ok(Some(Err(panic))) => refusals.push(panic.to_string()),
                Ok(None) => return Err(Error::unreachable(refusals.join("; "))),
            }
        }
    }

    async fn open_at(address: Arc<Address>, at: usize, terms: Terms) -> std::result::Result<Self, String> {
        let place = address.place(at);
        let unreachable = |error| format!("cannot reach {place}: {}", reason(&error));
        let mark = mark();
        let mut session = match Self::dial(&address, at, Some((&terms, &mark))).await {
            Err(error) if is_of_pooler(&error) => {
                address.found_pooled();
                Self::dial(&address, at, None).await
            }
            dialled => dialled,
        }
        .map_err(unreachable)?;
        // What holds for the session, if it is one of ours alone.
        let asked =
            "SELECT current_setting('transaction_read_only'), current_setting('carillon.session', true)";
        let answer = session.client.simple_query(asked).await.map_err(unreachable)?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((row.get(0) == Some("on"), row.get(1) == Some(&mark))),
            _ => None,
        });
        let (is_read_only, is_ours) =
            row.ok_or_else(|| format!("{place} does not answer as PostgreSQL does"))?;
        if is_read_only {
            return Err(format!("{place} takes no writes"));
        }
        if !is_ours {
            address.found_pooled();
            session.local = Some(local(&terms));
        }
        session.prepares = address.prepares.unwrap_or(is_ours);
        Ok(session)
    }

    async fn dial(address: &Address, at: usize, terms: Option<(&Terms, &str)>) -> Outcome<Self> {
        let mut config = address.server(at).clone();
        if let Some((terms, mark)) = terms.filter(|_| !address.is_pooled()) {
            let options = config.get_options().unwrap_or_default();
            config.options(format!("{options} {} -c carillon.session={mark}", at_startup(terms)));
        }
        let tls = &address.tls;
        match Self::connect(&config, at, tls.connector.clone()).await {
            // It may be that TLS alone is at fault, or that the server wants no TLS from here.
            Err(error) if tls.is_optional && may_be_tls(&error) => {
                let plain = config.ssl_mode(SslMode::Disable);
                Self::connect(plain, at, tls.connector.clone()).await
            }
            connected => connected,
        }
    }

    async fn connect(
        config: &Config,
        server: usize,
        tls: tokio_postgres_rustls::MakeRustlsConnect,
    ) -> Outcome<Self> {
        let (client, connection) = config.connect(tls).await?;
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to PostgreSQL was lost");
            }
        });
        Ok(Self {
            client: Arc::new(client),
            connection,
            server,
            local: None,
            prepares: false,
            statements: HashMap::new(),
            flight: Flight::default(),
            was_sent: false,
        })
    }

    /// Cuts the connection. Only a runtime that runs closes the socket.
    pub(super) async fn cut(self) {
        self.connection.abort();
        let _ = self.connection.await; // It fails, as it was told to.
    }

    /// A statement that the server knows already, or need not know.
    pub(super) fn find(&self, sql: &'static str) -> Option<Prepared> {
        if !self.prepares {
            return Some(Prepared::Text(sql));
        }
        self.statements.get(&(sql.as_ptr() as usize)).cloned().map(Prepared::Named)
    }

    /// Keeps a statement that the server knows from now on.
    pub(super) fn keep(&mut self, sql: &'static str, statement: Statement) -> Prepared {
        self.statements.insert(sql.as_ptr() as usize, statement.clone());
        Prepared::Named(statement)
    }

    /// Forgets all of them: the server does not know one any more, and so perhaps no other.
    pub(super) fn forget(&mut self) {
        self.statements.clear();
    }

    /// A statement that is sent with the next one that has an answer.
    pub(super) fn defer(&self, prepared: Prepared, values: Vec<Value<'static>>) -> Deferred {
        let client = self.client.clone();
        Box::pin(async move { prepared.execute(&client, &values).await })
    }

    /// Asks something with the next question; its rows are put there.
    pub(super) fn ask(&mut self, prepared: Prepared, values: Vec<Value<'static>>, rows: Rows) {
        let client = self.client.clone();
        self.flight.say(Box::pin(async move {
            put(prepared.query(&client, &values).await?, &rows);
            Ok(0)
        }));
    }

    /// The same with lists in the place of values.
    pub(super) fn ask_lists(&mut self, statement: Statement, of: Vec<Vec<Value<'static>>>, rows: Rows) {
        let client = self.client.clone();
        self.flight.say(Box::pin(async move {
            put(client.query(&statement, &lists(&of, &[])).await?, &rows);
            Ok(0)
        }));
    }

    /// Sends what was deferred and then `last`, all in one go; answers with `last`'s answer, or with the first failure.
    ///
    /// The answers come in the order of what was sent, and are waited for in this order: an answer that nobody takes
    /// stands in the way of all that come after it.
    pub(super) async fn after_deferred<T>(&mut self, last: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        self.was_sent = true;
        let flight = self.flight.take(&self.client);
        let mut sent = Vec::with_capacity(flight.len());
        for mut statement in flight {
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
}

fn put(answer: Vec<Row>, rows: &Rows) {
    *rows.lock().unwrap_or_else(PoisonError::into_inner) = answer;
}

/// Whether somebody between takes no settings that are not its own.
fn is_of_pooler(error: &tokio_postgres::Error) -> bool {
    let refusals = [SqlState::PROTOCOL_VIOLATION, SqlState::FEATURE_NOT_SUPPORTED];
    error.code().is_some_and(|code| refusals.contains(code))
}

/// Whether a connection without TLS may come about where this one did not.
fn may_be_tls(error: &tokio_postgres::Error) -> bool {
    error.code().is_none_or(|code| *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

/// A setting that no other connection has: who reads it back has its connection to itself.
fn mark() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn at_startup(terms: &Terms) -> String {
    terms.iter().map(|(name, value)| format!("-c {name}={value}")).collect::<Vec<_>>().join(" ")
}

fn local(terms: &Terms) -> String {
    terms.iter().map(|(name, value)| format!("SET LOCAL {name} = {value}")).collect::<Vec<_>>().join("; ")
}
