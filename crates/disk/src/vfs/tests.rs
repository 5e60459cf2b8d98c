//! Stores of SQLite by way of the layer, with bits flipped under it.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::OpenFlags;

use super::*;
use crate::{broken_pages, is_summed};

fn connect(path: &Path) -> Connection {
    assert!(register());
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = Connection::open_with_flags_and_vfs(path, flags, NAME).unwrap();
    if path.metadata().map_or(0, |metadata| metadata.len()) == 0 {
        assert!(reserve(&connection));
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    connection
}

fn fill(connection: &Connection) {
    connection.execute_batch("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT) STRICT").unwrap();
    for number in 0..60 {
        let words = format!("{number} ").repeat(if number % 10 == 0 { 5_000 } else { 100 });
        connection.execute("INSERT INTO t VALUES (?1, ?2)", (number, words)).unwrap();
    }
}

fn move_log(connection: &Connection) {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

/// All that the table holds, or why it cannot be known.
fn all(path: &Path) -> rusqlite::Result<Vec<(i64, String)>> {
    let connection = Connection::open_with_flags_and_vfs(path, OpenFlags::SQLITE_OPEN_READ_WRITE, NAME)?;
    let mut statement = connection.prepare("SELECT a, b FROM t ORDER BY a")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn flip(path: &Path, bit: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    byte[0] ^= 1 << (bit % 8);
    file.write_all_at(&byte, bit / 8).unwrap();
}

#[test]
fn a_bit_that_was_flipped_in_the_file_is_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let connection = connect(&path);
    fill(&connection);
    move_log(&connection);
    drop(connection);
    assert!(is_summed(&path));
    assert_eq!(broken_pages(&path, None).unwrap(), []);
    let (whole, bits) = (all(&path).unwrap(), path.metadata().unwrap().len() * 8);
    let mut refused = 0;
    for bit in (0..800).chain((0..bits).step_by(9_973)) {
        flip(&path, bit);
        let number = bit / 8 / PAGE_BYTES as u64 + 1;
        assert_eq!(broken_pages(&path, None).unwrap(), [number], "bit {bit}");
        assert_eq!(broken_pages(&path, Some(&[number])).unwrap(), [number]);
        match all(&path) {
            Ok(read) => assert!(read == whole, "bit {bit} was served"),
            Err(_) => refused += 1,
        }
        flip(&path, bit);
    }
    assert!(800 < refused && refused <= crate::damaged(), "{refused}");
    assert_eq!(all(&path).unwrap(), whole);
}

#[test]
fn a_bit_that_was_flipped_in_the_log_is_never_served_and_never_moved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let writer = connect(&path);
    fill(&writer);
    let log = folder.path().join("store-wal");
    let (whole, bits) = (all(&path).unwrap(), log.metadata().unwrap().len() * 8);
    let mut refused = 0;
    for bit in (0..bits).step_by(40_009) {
        flip(&log, bit);
        match all(&path) {
            Ok(read) => assert!(read == whole, "bit {bit} was served"),
            Err(error) => {
                refused += 1;
                let code = error.sqlite_error().map(|error| error.extended_code);
                assert_eq!(code, Some(ffi::SQLITE_IOERR_DATA));
                assert!(writer.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).is_err());
            }
        }
        flip(&log, bit);
    }
    assert!(10 < refused, "{refused}");
    assert_eq!(all(&path).unwrap(), whole);
}

#[test]
fn a_store_without_sums_is_served_as_before_and_gets_them_when_it_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let before = Connection::open(&path).unwrap();
    before.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    fill(&before);
    drop(before);
    let connection = connect(&path);
    connection.execute("DELETE FROM t WHERE a = 5", []).unwrap();
    move_log(&connection);
    assert!(!is_summed(&path));
    let whole = all(&path).unwrap();
    assert!(reserve(&connection));
    connection.execute_batch("VACUUM").unwrap();
    move_log(&connection);
    drop(connection);
    assert!(is_summed(&path));
    assert_eq!(broken_pages(&path, None).unwrap(), []);
    assert_eq!(all(&path).unwrap(), whole);
}

#[test]
fn what_others_write_is_served_where_the_log_is_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let ours = connect(&path);
    fill(&ours);
    move_log(&ours);
    let other = Connection::open(&path).unwrap();
    other.execute("UPDATE t SET b = 'another' WHERE a < 30", []).unwrap();
    drop(other);
    move_log(&ours);
    assert_eq!(broken_pages(&path, None).unwrap(), []);
    assert_eq!(all(&path).unwrap()[3].1, "another");
}

#[test]
fn a_transaction_that_is_larger_than_the_cache_reads_what_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let connection = connect(&path);
    fill(&connection);
    connection.pragma_update(None, "cache_size", 5).unwrap();
    connection.execute_batch("BEGIN; UPDATE t SET b = b || 'x'; UPDATE t SET b = b || 'y'; COMMIT").unwrap();
    assert!(all(&path).unwrap().iter().all(|(_, words)| words.ends_with(" xy")));
    connection.execute_batch("BEGIN; UPDATE t SET b = 'z'; ROLLBACK").unwrap();
    move_log(&connection);
    assert!(all(&path).unwrap().iter().all(|(_, words)| words.ends_with(" xy")));
    assert_eq!(broken_pages(&path, None).unwrap(), []);
}

#[test]
fn a_copy_has_sums_whatever_the_order_of_its_pages() {
    let folder = tempfile::tempdir().unwrap();
    let (path, into) = (folder.path().join("store"), folder.path().join("copy"));
    let source = connect(&path);
    fill(&source);
    let mut target = Connection::open_with_flags_and_vfs(
        &into,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        NAME,
    )
    .unwrap();
    target.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(())).unwrap();
    target.pragma_update(None, "cache_size", 5).unwrap();
    assert!(sum_all(&target));
    let backup = rusqlite::backup::Backup::new(&source, &mut target).unwrap();
    while backup.step(3).unwrap() != rusqlite::backup::StepResult::Done {}
    drop(backup);
    drop(target);
    let bytes = std::fs::read(&into).unwrap();
    let marked = bytes.chunks_exact(PAGE_BYTES).filter(|page| page.ends_with(&[0; 8])).count();
    assert_eq!((marked, broken_pages(&into, None).unwrap()), (0, vec![]));
    assert_eq!(all(&into).unwrap(), all(&path).unwrap());
}

#[test]
fn what_others_move_into_the_file_themselves_is_refused_until_they_make_it_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fill(&connect(&path));
    let other = Connection::open(&path).unwrap();
    other.execute("UPDATE t SET b = 'another' WHERE a < 30", []).unwrap();
    drop(other);
    assert!(all(&path).is_err());
    Connection::open(&path).unwrap().execute_batch("VACUUM").unwrap();
    assert_eq!(all(&path).unwrap()[3].1, "another");
}

#[test]
fn the_log_of_a_store_that_is_open_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let connection = connect(&path);
    fill(&connection);
    flip(&folder.path().join("store-wal"), 5_000 * 8);
    assert_eq!(crate::mend(&path).unwrap(), crate::Mended::Bits(0));
    std::fs::copy(&path, folder.path().join("copy")).unwrap();
    std::fs::copy(folder.path().join("store-wal"), folder.path().join("copy-wal")).unwrap();
    assert_eq!(crate::mend(&folder.path().join("copy")).unwrap(), crate::Mended::Bits(1));
}
