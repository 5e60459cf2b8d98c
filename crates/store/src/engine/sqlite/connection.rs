//! Connections to the file, and how each of them is set.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{BUSY_TIMEOUT, Kind, LOG_BYTES_MAX, broken, is_locked, pages};
use crate::{Error, Result};

/// What a connection keeps of pages, in KiB; and the one that writes for a server. There every commit that has split
/// pages walks all that is kept (3.54.1, `pcache1TruncateUnsafe`), and what it does not keep the system has.
const CACHE_KIB: i64 = 64 * 1024;
const CACHE_OF_WRITER_KIB: i64 = 8 * 1024;
/// How often, and how long after each other, a connection that found the file locked by others that open it tries again
/// to use the log: as long as it would wait for a lock.
const LOG_ATTEMPTS_MAX: u32 = 1_000;
const LOG_RETRY_EVERY: Duration = Duration::from_millis(10);
const _: () = assert!(LOG_RETRY_EVERY.as_millis() * LOG_ATTEMPTS_MAX as u128 == BUSY_TIMEOUT.as_millis());

/// Opens a connection of a worker.
pub(crate) fn open(path: &Path, kind: Kind) -> Result<Connection> {
    let connection = connect(path)?;
    if kind != Kind::Read {
        let kept = connection.pragma_update(None, "cache_size", -CACHE_OF_WRITER_KIB);
        kept.map_err(|error| broken(&error, "the size of the cache"))?;
    }
    Ok(connection)
}

/// Opens a connection.
pub(crate) fn connect(path: &Path) -> Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let is_new = path.metadata().map_or(0, |metadata| metadata.len()) == 0;
    let connection = pages::open(path, flags)?;
    if is_new && !carillon_disk::reserve(&connection) {
        return Err(Error::broken(format!("SQLite leaves no room for sums in {}", path.display())));
    }
    let open = || -> rusqlite::Result<Connection> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // A plan is made for a text and not for its values. Without this promise a partial index beside a parameter
        // has the statement compiled anew each time that another value is bound.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        use_log(&connection)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES_MAX, |_| Ok(()))?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        Ok(connection)
    };
    open().map_err(|error| Error::broken(format!("cannot open {}: {error}", path.display())))
}

/// Has all that is written go to a log first. Of several connections that ask so of a new file at once, SQLite refuses
/// some without a wait: each reads the file, and would wait for all others to stop reading.
#[expect(
    clippy::disallowed_methods,
    reason = "SQLite tells nobody that a lock is free; its own wait sleeps, too"
)]
fn use_log(connection: &Connection) -> rusqlite::Result<()> {
    let mut attempts = 1;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
            Err(error) if is_locked(&error) && attempts < LOG_ATTEMPTS_MAX => attempts += 1,
            used => return used,
        }
        std::thread::sleep(LOG_RETRY_EVERY);
    }
}
