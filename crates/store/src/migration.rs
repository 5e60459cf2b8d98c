//! Brings the schema up to date: forward only, under a lock, refusing a schema that is newer than this binary.
//!
//! One folder of DDL serves both engines; a driver rewrites the three column types. The lock is the row of
//! version 0, so that nodes that start together wait for each other.

use crate::engine::{Commit, Driver, Kind, values};
use crate::{Error, Result, Tx};

/// Every migration, in order; its number is its place, from one.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_first.sql"),
    include_str!("../migrations/0002_identity.sql"),
    include_str!("../migrations/0003_channels.sql"),
    include_str!("../migrations/0004_messages.sql"),
    include_str!("../migrations/0005_leases.sql"),
    include_str!("../migrations/0006_flows.sql"),
    include_str!("../migrations/0007_bots_endpoints_deletion.sql"),
    include_str!("../migrations/0008_iam.sql"),
    include_str!("../migrations/0009_elastic.sql"),
    include_str!("../migrations/0010_resume.sql"),
    include_str!("../migrations/0011_calls.sql"),
    include_str!("../migrations/0012_lookups.sql"),
    include_str!("../migrations/0013_named.sql"),
];

const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS migration (\n version BIGINT PRIMARY KEY,\n applied_at BIGINT NOT NULL\n);";

/// How often two nodes that start together may get in each other's way.
const ATTEMPTS_MAX: usize = 5;

pub(crate) fn run(driver: &mut dyn Driver, now_ms: i64) -> Result<()> {
    let mut last = Ok(());
    for _ in 0..ATTEMPTS_MAX {
        last = attempt(driver, now_ms);
        match &last {
            Ok(()) | Err(Error::Busy) => break,
            Err(_) => driver.rollback(),
        }
        if matches!(&last, Err(Error::Newer(_) | Error::Unreachable(_))) {
            break;
        }
    }
    last
}

fn attempt(driver: &mut dyn Driver, now_ms: i64) -> Result<()> {
    driver.begin(Kind::Write)?;
    driver.define(TABLE)?;
    let mut tx = Tx::new(driver, None);
    let zero = "INSERT INTO migration (version, applied_at) VALUES (0, $1) ON CONFLICT (version) DO NOTHING";
    tx.execute(zero, values![now_ms])?;
    tx.execute("UPDATE migration SET applied_at = $1 WHERE version = 0", values![now_ms])?;
    let applied: i64 = tx
        .row("SELECT MAX(version) FROM migration", &[], |row| row.get(0))?
        .ok_or_else(|| Error::broken("the table of migrations is empty"))?;
    let known = i64::try_from(MIGRATIONS.len()).expect("there are few migrations");
    if known < applied {
        return Err(Error::Newer(format!(
            "the store's schema is newer than this carillon: it has version {applied}, this binary knows {known}"
        )));
    }
    for version in applied + 1..=known {
        let ddl = MIGRATIONS[usize::try_from(version - 1).expect("versions are positive")];
        driver.define(ddl)?;
        let note = "INSERT INTO migration (version, applied_at) VALUES ($1, $2)";
        Tx::new(driver, None).execute(note, values![version, now_ms])?;
    }
    match driver.commit()? {
        Commit::Stands => Ok(()),
        Commit::Unknown => Err(Error::Retry), // The next attempt sees which.
    }
}
