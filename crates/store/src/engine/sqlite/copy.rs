//! A copy of the file while others write to it, as it was at one moment.
//!
//! One transaction that reads is held open for the whole of it, so that the copy never begins anew, however much is
//! written. The price is that the log grows meanwhile: it cannot be moved past who reads.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{BUSY_TIMEOUT, pages};
use crate::{Error, Result};

/// Pages that are copied in one go: 1 MiB.
const STEP_PAGES: i32 = 256;

/// Copies the file of a store into an empty one, and says after each step how many of how many bytes are done, which is
/// the moment to give way to others. What fails leaves something half done there, to be removed by the caller.
pub fn copy(from: &Path, into: &Path, mut done: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
    // Before it is opened: whoever closes a file drops all locks that this process has on it.
    let has_sums = carillon_disk::is_summed(from);
    let (source, mut target) = (open(from)?, open(into)?);
    let copying = |error: rusqlite::Error| {
        Error::broken(format!("cannot copy {} to {}: {error}", from.display(), into.display()))
    };
    // It must not move the log when it ends: it only reads.
    source.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(copying)?;
    // A copy that a crash leaves behind is thrown away: it needs neither a journal nor a flush for each page.
    target.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(())).map_err(copying)?;
    target.pragma_update(None, "synchronous", "OFF").map_err(copying)?;
    if has_sums && !carillon_disk::sum_all(&target) {
        return Err(Error::broken(format!("SQLite writes no sums into {}", into.display())));
    }
    let page_bytes: u32 = source.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(copying)?;
    source.execute_batch("BEGIN; SELECT COUNT(*) FROM sqlite_schema").map_err(copying)?;
    let backup = Backup::new(&source, &mut target).map_err(copying)?;
    loop {
        let step = backup.step(STEP_PAGES).map_err(copying)?;
        let progress = backup.progress();
        let bytes = |pages: i32| u64::from(pages.unsigned_abs()) * u64::from(page_bytes);
        done(bytes(progress.pagecount - progress.remaining), bytes(progress.pagecount))?;
        if step == StepResult::Done {
            return Ok(());
        }
    }
}

fn open(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = pages::open(path, flags)?;
    let waits = connection.busy_timeout(BUSY_TIMEOUT);
    waits.map_err(|error| Error::broken(format!("cannot open {}: {error}", path.display())))?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_meanwhile_is_not_in_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (from, into) = (folder.path().join("from"), folder.path().join("into"));
        let writer = super::super::connect(&from).unwrap();
        writer.execute_batch("CREATE TABLE t (a BLOB) STRICT").unwrap();
        for _ in 0..30 {
            writer.execute_batch("INSERT INTO t VALUES (zeroblob(100000))").unwrap();
        }
        std::fs::write(&into, "").unwrap();
        let mut steps = 0;
        copy(&from, &into, |done, all| {
            assert!(0 < done && done <= all);
            steps += 1;
            writer.execute_batch("INSERT INTO t VALUES (zeroblob(100000))").unwrap();
            Ok(())
        })
        .unwrap();
        assert!(1 < steps, "{steps}");
        let count = |path| -> i64 {
            let counting = Connection::open(path).unwrap();
            counting.query_row("SELECT COUNT(*) FROM t", [], |row| row.get(0)).unwrap()
        };
        assert_eq!((count(&into), count(&from)), (30, 30 + steps));
    }

    #[test]
    fn what_is_no_store_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (from, into) = (folder.path().join("from"), folder.path().join("into"));
        assert!(copy(&from, &into, |_, _| Ok(())).unwrap_err().to_string().contains("from"));
        std::fs::write(&from, "anything but a store, and long enough").unwrap();
        std::fs::write(&into, "").unwrap();
        assert!(copy(&from, &into, |_, _| Ok(())).unwrap_err().to_string().contains("not a database"));
    }
}
