//! The pages of the file, each of which has a sum: `carillon_disk` refuses those that are not as they were written.
//!
//! What is checked when: a page whenever it is read, a frame of the log as well, and before it is moved into the file;
//! the whole log before the first connection after a crash; the whole file by a backup and by the doctor.

use std::path::Path;
use std::time::Duration;

use carillon_disk::{Mended, NAME};
use rusqlite::{Connection, OpenFlags, ffi};

use super::{BUSY_TIMEOUT, CHECKPOINT_EVERY};
use crate::{Error, Result};

/// What a page that is not as it was written is called.
pub(super) const DAMAGE: &str =
    "the disk did not give back what was written there: a page of the store is damaged, and not served";
/// How often a page is looked at again that may be being written: longer than the moving of the log takes.
const LOOKS_MAX: usize = 10;
const LOOK_AGAIN_EVERY: Duration = CHECKPOINT_EVERY.saturating_mul(2);

pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_DATA)
}

/// Opens a file by way of what looks after its pages, once its log is as it was written.
pub(super) fn open(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let failed =
        |why: &dyn std::fmt::Display| Error::broken(format!("cannot open {}: {why}", path.display()));
    if !carillon_disk::register() {
        return Err(failed(&"SQLite takes no layer to look after its pages"));
    }
    match carillon_disk::mend(path).map_err(|error| failed(&error))? {
        Mended::Bits(_) => {}
        Mended::Lost(frame) => {
            let (log, frame) = (format!("{}-wal", path.display()), frame_of(frame));
            return Err(failed(&format_args!(
                "its log is damaged at {frame}, and what was acknowledged stands behind that. Restore a backup; or, to \
                 do without all that is in the log, move {log} away"
            )));
        }
    }
    Connection::open_with_flags_and_vfs(path, flags, NAME).map_err(|error| failed(&error))
}

fn frame_of(number: u64) -> String {
    if number == 0 { "its beginning".to_owned() } else { format!("frame {number}") }
}

/// The numbers of the pages that are not as they were written, of all that the file has; nothing where they have no
/// sums. It is not to be asked by a process that has the file open: whoever closes a file drops all locks that its
/// process has on it.
#[expect(
    clippy::disallowed_methods,
    reason = "a page that is being written is waited for; nobody tells when it is"
)]
pub fn broken_pages(path: &Path) -> Result<Option<Vec<u64>>> {
    let failed = |error| Error::broken(format!("cannot read {}: {error}", path.display()));
    if !carillon_disk::is_summed(path) {
        return Ok(None);
    }
    let mut broken = carillon_disk::broken_pages(path, None).map_err(failed)?;
    for _ in 0..LOOKS_MAX {
        if broken.is_empty() {
            break;
        }
        std::thread::sleep(LOOK_AGAIN_EVERY);
        broken = carillon_disk::broken_pages(path, Some(&broken)).map_err(failed)?;
    }
    Ok(Some(broken))
}

/// Makes the file of an earlier version anew, with sums; true where it had none. Nobody else may use it, and there must
/// be room for it twice more.
pub fn give_sums(path: &Path) -> Result<bool> {
    if carillon_disk::is_summed(path) {
        return Ok(false);
    }
    let failed =
        |error: rusqlite::Error| Error::broken(format!("cannot make {} anew: {error}", path.display()));
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    if !carillon_disk::reserve(&connection) {
        return Err(Error::broken(format!("SQLite leaves no room for sums in {}", path.display())));
    }
    connection.execute_batch("VACUUM").map_err(failed)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
    drop(connection);
    Ok(carillon_disk::is_summed(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_store_has_sums_and_an_old_one_gets_them() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = (folder.path().join("new"), folder.path().join("old"));
        super::super::connect(&new).unwrap().execute_batch("CREATE TABLE t (a TEXT) STRICT").unwrap();
        assert_eq!(broken_pages(&new).unwrap(), Some(vec![]));
        assert!(!give_sums(&new).unwrap());
        let before = Connection::open(&old).unwrap();
        before.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
        before.execute_batch("CREATE TABLE t (a TEXT) STRICT; INSERT INTO t VALUES ('a')").unwrap();
        drop(before);
        super::super::connect(&old).unwrap().execute_batch("INSERT INTO t VALUES ('b')").unwrap();
        assert_eq!(broken_pages(&old).unwrap(), None);
        assert!(give_sums(&old).unwrap());
        assert_eq!(broken_pages(&old).unwrap(), Some(vec![]));
        let both: String = super::super::connect(&old)
            .unwrap()
            .query_row("SELECT group_concat(a) FROM t", [], |row| row.get(0))
            .unwrap();
        assert_eq!(both, "a,b");
    }

    #[test]
    fn a_page_that_is_damaged_is_named_and_a_copy_of_it_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let (path, into) = (folder.path().join("store"), folder.path().join("copy"));
        let connection = super::super::connect(&path).unwrap();
        connection
            .execute_batch("CREATE TABLE t (a BLOB) STRICT; INSERT INTO t VALUES (zeroblob(20000))")
            .unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(connection);
        let mut bytes = std::fs::read(&path).unwrap();
        let place = 3 * carillon_disk::PAGE_BYTES + 100;
        bytes[place] ^= 4;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(broken_pages(&path).unwrap(), Some(vec![4]));
        std::fs::write(&into, "").unwrap();
        assert!(super::super::copy::copy(&path, &into, |_, _| Ok(())).is_err());
    }
}
