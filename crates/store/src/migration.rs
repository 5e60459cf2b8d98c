//! Brings the schema up to date: forward only, by one node at a time, while others serve.
//!
//! One folder of DDL serves both engines; a driver rewrites the three column types. The lock is a row in a
//! table of its own: whoever finds it locked waits, for a while each time, and looks again.
//!
//! Nodes of two versions share a store while they are exchanged one after the other. So a step says what it does to
//! those that do not know it ([`Step`]), and the store keeps which version a node must know to serve it. To add one:
//! the next number in the folder and in [`MIGRATIONS`]; docs/decisions/0004 says what may stand in it.

use crate::engine::{Commit, Driver, Kind, values};
use crate::row::read;
use crate::{Error, Location, Result, Tx};

/// A version of the schema: what leads to it from the one before.
pub(crate) struct Migration {
    pub(crate) ddl: &'static str,
    step: Step,
}

/// What a migration does to nodes that do not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// They cannot serve any more. All that came before there was a rule; none that comes after.
    Whole,
    /// Nothing: it adds what they need not know of.
    Expand,
    /// Nothing: it adds indexes to tables that may hold much, while others write.
    Index,
    /// It takes away what nobody uses who knows this version.
    #[cfg_attr(not(test), expect(dead_code, reason = "the kind of a migration to come"))]
    Contract {
        /// The version that stopped using it.
        needs: i64,
    },
}

const fn whole(ddl: &'static str) -> Migration {
    Migration { ddl, step: Step::Whole }
}

const fn expand(ddl: &'static str) -> Migration {
    Migration { ddl, step: Step::Expand }
}

/// Every migration, in order; its number is its place, from one.
pub(crate) const MIGRATIONS: &[Migration] = &[
    whole(include_str!("../migrations/0001_first.sql")),
    whole(include_str!("../migrations/0002_identity.sql")),
    whole(include_str!("../migrations/0003_channels.sql")),
    whole(include_str!("../migrations/0004_messages.sql")),
    whole(include_str!("../migrations/0005_leases.sql")),
    whole(include_str!("../migrations/0006_flows.sql")),
    whole(include_str!("../migrations/0007_bots_endpoints_deletion.sql")),
    whole(include_str!("../migrations/0008_iam.sql")),
    whole(include_str!("../migrations/0009_elastic.sql")),
    whole(include_str!("../migrations/0010_resume.sql")),
    whole(include_str!("../migrations/0011_calls.sql")),
    whole(include_str!("../migrations/0012_lookups.sql")),
    whole(include_str!("../migrations/0013_named.sql")),
    expand(include_str!("../migrations/0014_needs.sql")),
    expand(include_str!("../migrations/0015_lanes.sql")),
    expand(include_str!("../migrations/0016_beats.sql")),
    expand(include_str!("../migrations/0017_outgoing.sql")),
    expand(include_str!("../migrations/0018_erasures.sql")),
    expand(include_str!("../migrations/0019_search.sql")),
];

const TABLES: &str =
    "CREATE TABLE IF NOT EXISTS migration (\n version BIGINT PRIMARY KEY,\n applied_at BIGINT NOT NULL\n);
     CREATE TABLE IF NOT EXISTS migration_lock (\n key BIGINT PRIMARY KEY\n);";
/// In a table that no migration changes: whoever waits for a row has locked its table, and a migration that changes the
/// table waits for them. That was a deadlock of all that start together.
const LOCK: &str =
    "INSERT INTO migration_lock (key) VALUES (0) ON CONFLICT (key) DO UPDATE SET key = EXCLUDED.key";
/// The version from which on the store keeps what a node must know.
const NEEDS_SINCE: i64 = 14;

/// How often two nodes that start together may get in each other's way.
const ATTEMPTS_MAX: usize = 5;
/// How often a node looks whether another one that migrates is done; each time takes as long as the engine waits for a
/// lock. An index of a large table takes its time.
const WAITS_MAX: usize = 3_600;

/// The version of a store's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// Up to which migration it was brought.
    pub version: i64,
    /// The version that a node must know to serve it.
    pub needs: i64,
}

impl Schema {
    /// That of this binary.
    pub fn known() -> i64 {
        i64::try_from(MIGRATIONS.len()).expect("there are few migrations")
    }

    /// That of a store as it stands. Unlike opening it, this brings nothing up to date.
    pub fn of(location: &Location) -> Result<Self> {
        location.open(Kind::Read)?.hold(|driver| {
            driver.begin(Kind::Read)?;
            let mut tx = Tx::new(driver, None);
            let found =
                find_applied(&mut tx).and_then(|version| Ok(Self { version, needs: find_needed(&mut tx)? }));
            driver.rollback();
            found
        })
    }

    /// Whether this binary can serve it.
    pub fn is_served(self) -> bool {
        self.needs <= Self::known()
    }
}

pub(crate) fn run(driver: &mut dyn Driver, now_ms: i64) -> Result<()> {
    run_all(driver, MIGRATIONS, now_ms)
}

fn run_all(driver: &mut dyn Driver, migrations: &[Migration], now_ms: i64) -> Result<()> {
    let (mut failures, mut waits) = (0, 0);
    loop {
        match attempt(driver, migrations, now_ms) {
            Ok(Progress::Done) => return Ok(()),
            Ok(Progress::More) => continue,
            Err(error @ (Error::Newer(_) | Error::Unreachable(_))) => return Err(error),
            Err(Error::Busy) if waits < WAITS_MAX => {
                if waits == 0 {
                    tracing::info!("another node brings the store's schema up to date");
                }
                waits += 1;
            }
            Err(error) => {
                failures += 1;
                if failures == ATTEMPTS_MAX {
                    return Err(error);
                }
            }
        }
        driver.rollback();
    }
}

/// What an attempt came to.
enum Progress {
    Done,
    /// It is at one that is run apart from those before it.
    More,
}

fn attempt(driver: &mut dyn Driver, migrations: &[Migration], now_ms: i64) -> Result<Progress> {
    // By itself: who defines something waits for as long as it takes, but whoever waits for the lock must not. An index
    // that is being built waits for whoever began before it.
    driver.begin(Kind::Write)?;
    driver.define(TABLES)?;
    commit(driver)?;
    driver.begin(Kind::Write)?;
    driver.lock(LOCK, &[])?;
    let mut tx = Tx::new(driver, None);
    let applied = find_applied(&mut tx)?;
    let known = i64::try_from(migrations.len()).expect("there are few migrations");
    if known < applied {
        let needed = find_needed(&mut tx)?;
        if known < needed {
            return Err(newer(needed, known));
        }
    }
    for version in applied + 1..=known {
        let migration = &migrations[usize::try_from(version - 1).expect("versions are positive")];
        // A new store has nobody to wait for.
        let is_beside = migration.step == Step::Index && 0 < applied;
        if is_beside && applied + 1 < version {
            return commit(driver).map(|()| Progress::More);
        }
        if is_beside {
            driver.define_beside(migration.ddl)?;
        } else {
            driver.define(migration.ddl)?;
        }
        note(&mut Tx::new(driver, None), version, migration.step, now_ms)?;
        if is_beside && version < known {
            return commit(driver).map(|()| Progress::More);
        }
    }
    commit(driver).map(|()| Progress::Done)
}

fn commit(driver: &mut dyn Driver) -> Result<()> {
    match driver.commit()? {
        Commit::Stands => Ok(()),
        Commit::Unknown => Err(Error::Retry), // The next attempt sees which.
    }
}

fn find_applied(tx: &mut Tx) -> Result<i64> {
    let applied = tx.row("SELECT COALESCE(MAX(version), 0) FROM migration", &[], read)?;
    applied.ok_or_else(|| Error::broken("the highest of all versions is one row"))
}

fn note(tx: &mut Tx, version: i64, step: Step, now_ms: i64) -> Result<()> {
    let note = "INSERT INTO migration (version, applied_at) VALUES ($1, $2)";
    tx.execute(note, values![version, now_ms])?;
    let needs = match step {
        Step::Whole => return Ok(()),
        Step::Expand | Step::Index => 0,
        Step::Contract { needs } => needs,
    };
    tx.execute("UPDATE migration SET needs = $1 WHERE version = $2", values![needs, version])?;
    Ok(())
}

/// The version that a node must know to serve the store.
fn find_needed(tx: &mut Tx) -> Result<i64> {
    if find_applied(tx)? < NEEDS_SINCE {
        return find_applied(tx);
    }
    let needed = tx.row("SELECT MAX(COALESCE(needs, version)) FROM migration", &[], read::<i64>)?;
    needed.ok_or_else(|| Error::broken("the table of migrations is empty"))
}

/// Fails where another node has brought the schema to where this one cannot serve it.
pub(crate) fn check(tx: &mut Tx) -> Result<()> {
    let (needed, known) = (find_needed(tx)?, Schema::known());
    if known < needed { Err(newer(needed, known)) } else { Ok(()) }
}

/// The version of a store that is only read, which may be an earlier one.
pub(crate) fn find_readable(tx: &mut Tx) -> Result<i64> {
    if tx.columns("migration")?.is_empty() {
        return Err(Error::broken("it holds nothing of carillon"));
    }
    let (applied, known) = (find_applied(tx)?, Schema::known());
    if known < applied { Err(newer(applied, known)) } else { Ok(applied) }
}

fn newer(needed: i64, known: i64) -> Error {
    Error::Newer(format!(
        "the store's schema is newer than this carillon: it needs version {needed}, this binary knows {known}"
    ))
}

#[cfg(test)]
mod tests;
