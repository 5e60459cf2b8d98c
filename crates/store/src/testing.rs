//! A place of its own on PostgreSQL for each test that asks, here and in the crates above.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use carillon_model::Key;
use data_encoding::HEXLOWER;
use tokio_postgres::NoTls;

pub use crate::engine::faulty::{Fault, Faults, Step};
use crate::engine::{Declared, Query, values};
use crate::migration::MIGRATIONS;
use crate::row::read;
use crate::{Lanes, Location, PostgresAddress, Result, Sink, Store, Tx, in_flight};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Opens a store that fails where `faults` says, with one worker of a kind, so that its steps come in one order.
pub fn open_failing(location: &Location, now_ms: i64, sink: &Sink, faults: &Arc<Faults>) -> Result<Store> {
    Store::open_by(location, Lanes { write: 1, read: 1 }, (now_ms, sink), Some(faults))
}

/// Every table that a migration makes, in the order of their names.
fn tables() -> Vec<&'static str> {
    let tables = MIGRATIONS.iter().flat_map(|migration| migration.ddl.split("CREATE TABLE ").skip(1));
    let mut names: Vec<&str> = tables.filter_map(|rest| rest.split_whitespace().next()).collect();
    names.sort_unstable();
    names
}

/// A table whose rows are read as texts.
struct Dumped {
    name: &'static str,
    columns: Vec<Declared>,
    sql: &'static str,
}

impl Dumped {
    fn all(tx: &mut Tx) -> Result<&'static [Self]> {
        static ALL: OnceLock<Vec<Dumped>> = OnceLock::new();
        if let Some(all) = ALL.get() {
            return Ok(all);
        }
        let all: Vec<_> = tables().into_iter().map(|name| Self::of(tx, name)).collect::<Result<_>>()?;
        Ok(ALL.get_or_init(|| all))
    }

    fn of(tx: &mut Tx, name: &'static str) -> Result<Self> {
        let mut columns = tx.columns(name)?;
        columns.sort_by(|one, other| one.name.cmp(&other.name));
        let read = columns.iter().map(
            |Declared { name, is_bytes }| {
                if *is_bytes { name.clone() } else { format!("CAST({name} AS TEXT)") }
            },
        );
        let sql = format!("SELECT {} FROM {name} -- of a test", read.collect::<Vec<_>>().join(", ")).leak();
        Ok(Self { name, columns, sql })
    }
}

/// All that a store holds: a text for each row, which begins with its table, in order.
pub fn dump(tx: &mut Tx) -> Result<Vec<String>> {
    let all = Dumped::all(tx)?;
    let queries: Vec<Query> = all.iter().map(|table| Query { sql: table.sql, values: Vec::new() }).collect();
    let mut rows = Vec::new();
    tx.rows_of_all(&queries, &mut |at, row| {
        let mut text = all[at].name.to_owned();
        for Declared { name, is_bytes } in &all[at].columns {
            let value = if *is_bytes {
                row.read::<Option<Vec<u8>>>()?.map(|bytes| format!("x{}", HEXLOWER.encode(&bytes)))
            } else {
                row.read::<Option<String>>()?
            };
            text.extend([" ", name.as_str(), "=", value.as_deref().unwrap_or("NULL")]);
        }
        rows.push(text);
        Ok(())
    })?;
    rows.sort_unstable();
    Ok(rows)
}

/// How many rows each table has, by name.
pub fn row_counts(tx: &mut Tx) -> Result<Vec<(String, i64)>> {
    let names = tables();
    let mut counts = Vec::new();
    for name in names {
        // A test asks for few tables few times; the text stays.
        let sql = format!("SELECT COUNT(*) FROM {name} -- of a test").leak();
        counts.push((name.to_owned(), tx.row(sql, &[], read)?.unwrap_or_default()));
    }
    Ok(counts)
}

/// Makes the messages that wait to be called as they were before their functions were named; answers how many.
pub fn forget_functions(tx: &mut Tx) -> Result<u64> {
    tx.execute("UPDATE in_flight SET function = $1 WHERE function IS NOT NULL", values![in_flight::UNNAMED])
}

/// A store in a folder.
pub fn in_folder(folder: &Path) -> Location {
    Location::Sqlite(folder.join("carillon.db"))
}

/// Makes the rows of a channel and of a user that will expire unreadable; answers how many.
pub fn spoil_expiring(tx: &mut Tx) -> Result<u64> {
    let channels = tx.execute(
        "UPDATE channel SET expiration_criterion = 'SPOILT' WHERE key =
           (SELECT key FROM channel WHERE expiration_days IS NOT NULL ORDER BY key LIMIT 1) -- of a test",
        &[],
    )?;
    let users = tx.execute(
        "UPDATE identity SET expiration_criterion = 'SPOILT' WHERE key =
           (SELECT key FROM identity WHERE expiration_days IS NOT NULL ORDER BY key LIMIT 1) -- of a test",
        &[],
    )?;
    Ok(channels + users)
}

/// Makes the latest event of a channel unreadable, as one is whose kind this version does not know.
pub fn spoil_event(tx: &mut Tx, channel: Key) -> Result<u64> {
    tx.execute(
        "UPDATE outbox SET kind = 'SPOILT' WHERE channel = $1 AND sequence =
           (SELECT MAX(sequence) FROM outbox WHERE channel = $1) -- of a test",
        values![channel],
    )
}

/// Makes the row of someone who has still to leave unreadable; answers how many.
pub fn spoil_leaving(tx: &mut Tx) -> Result<u64> {
    tx.execute(
        "UPDATE identity SET kind = 'spoilt' WHERE key =
           (SELECT key FROM identity WHERE leaving IS NOT NULL ORDER BY key LIMIT 1) -- of a test",
        &[],
    )
}

/// Makes them readable again.
pub fn mend(tx: &mut Tx) -> Result<()> {
    let created = [
        "UPDATE channel SET expiration_criterion = 'CREATED_TIMESTAMP'
         WHERE expiration_criterion = 'SPOILT' -- of a test",
        "UPDATE identity SET expiration_criterion = 'CREATED_TIMESTAMP'
         WHERE expiration_criterion = 'SPOILT' -- of a test",
    ];
    for sql in created {
        tx.execute(sql, &[])?;
    }
    tx.execute("UPDATE identity SET kind = 'user' WHERE kind = 'spoilt' -- of a test", &[])?;
    Ok(())
}

/// Locks an app instance, whose counts nobody changes meanwhile.
pub fn hold_app_instance(tx: &mut Tx, key: Key) -> Result<()> {
    tx.execute("UPDATE app_instance SET name = name WHERE key = $1 -- of a test", values![key]).map(drop)
}

/// How many on PostgreSQL are about to write users here, and wait for somebody.
pub fn count_waiting(tx: &mut Tx) -> Result<i64> {
    let sql = "SELECT COUNT(DISTINCT waiting.pid) FROM pg_locks waiting JOIN pg_locks held ON held.pid = waiting.pid
               WHERE NOT waiting.granted AND held.granted
                 AND held.relation IN ('lane'::regclass, 'identity'::regclass) -- of a test";
    Ok(tx.row(sql, &[], read)?.unwrap_or_default())
}

/// A schema of one test, dropped at its end.
pub struct Schema {
    url: String,
    name: String,
}

impl Default for Schema {
    fn default() -> Self {
        Self::new()
    }
}

impl Schema {
    /// Makes a schema where `CARILLON_TEST_POSTGRES` says.
    pub fn new() -> Self {
        let url = std::env::var("CARILLON_TEST_POSTGRES").expect(
            "this test needs PostgreSQL: run `cargo xtask test`, which starts one, or set \
             CARILLON_TEST_POSTGRES=postgres://user@host:port/database",
        );
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let schema = Self { url, name };
        schema.run(&format!("CREATE SCHEMA {}", schema.name));
        schema
    }

    /// The schema as a place for a store.
    pub fn location(&self) -> Location {
        let address = PostgresAddress::parse(&self.url).expect("CARILLON_TEST_POSTGRES is an address");
        let address = address.with_options(&format!("-c search_path={}", self.name));
        Location::Postgres(Arc::new(address))
    }

    /// Runs a statement beside the store, as an operator would.
    pub fn run(&self, sql: &str) {
        let run = async {
            let (client, connection) =
                tokio_postgres::connect(&self.url, NoTls).await.expect("PostgreSQL answers");
            tokio::spawn(connection);
            client.batch_execute(sql).await.expect("the statement of a test is right");
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime starts").block_on(run);
    }

    /// Runs statements on a connection of their own, whose transaction stays open until this is dropped.
    pub fn hold(&self, sql: &str) -> impl Sized + use<> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let client = runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&self.url, NoTls).await.expect("PostgreSQL answers");
            tokio::spawn(connection);
            client.batch_execute(sql).await.expect("the statement of a test is right");
            client
        });
        (client, runtime)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        self.run(&format!("DROP SCHEMA {} CASCADE", self.name));
    }
}
