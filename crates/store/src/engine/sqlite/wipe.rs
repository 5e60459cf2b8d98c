//! What was deleted, out of the files too: SQLite leaves it in free pages, and in free room of pages, until something
//! else is written there; and in the log, which is as long as it ever was.

use std::path::Path;
use std::time::Duration;

use super::{broken, connect, is_locked, move_log};
use crate::{Error, Result};

/// How long the writers of a server, or a backup that reads, are waited for.
const WAIT: Duration = Duration::from_secs(30);
/// How often the log is tried to be cut off, and how long after each other: a server that reads all the time leaves
/// short moments for it.
const ATTEMPTS_MAX: u32 = 60;
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// Writes the file anew, beside a server too, and cuts the log off. Whoever writes waits meanwhile. It needs room for
/// twice what the store has.
#[expect(clippy::disallowed_methods, reason = "SQLite tells nobody that a log may be cut off")]
pub(crate) fn wipe(path: &Path) -> Result<()> {
    let connection = connect(path)?;
    connection.busy_timeout(WAIT).map_err(|error| broken(&error, "a time-out"))?;
    for attempt in 1.. {
        match connection.execute_batch("VACUUM") {
            Err(error) if is_locked(&error) && attempt < ATTEMPTS_MAX => std::thread::sleep(RETRY_EVERY),
            Err(error) => return Err(broken(&error, "VACUUM")),
            Ok(()) => break,
        }
    }
    for _ in 0..ATTEMPTS_MAX {
        if !move_log(&connection, path, "PRAGMA wal_checkpoint(TRUNCATE)").is_busy {
            return Ok(());
        }
        std::thread::sleep(RETRY_EVERY);
    }
    Err(Error::broken(
        "the log could not be cut off: something reads the store all the time, as a backup does",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_is_in_no_file_beside_others_who_have_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let server = connect(&path).unwrap();
        server.execute_batch("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT) STRICT").unwrap();
        for number in 0..2_000 {
            let text = format!("secret mark of number {number}, and more words, so that pages fill");
            server.execute("INSERT INTO t VALUES (?1, ?2)", (number, text)).unwrap();
        }
        move_log(&server, &path, "PRAGMA wal_checkpoint(PASSIVE)");
        server
            .execute_batch("UPDATE t SET b = 'gone' WHERE a % 2 = 0; DELETE FROM t WHERE a % 2 = 1")
            .unwrap();
        let holds = || {
            let files =
                folder.path().read_dir().unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
            files.into_iter().any(|bytes| bytes.windows(11).any(|window| window == b"secret mark"))
        };
        assert!(holds());
        wipe(&path).unwrap();
        assert!(!holds());
        let left: i64 = server.query_row("SELECT COUNT(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 1_000);
    }
}
