//! Logs that SQLite wrote, with bits flipped and parts cut off.

use rusqlite::Connection;

use super::*;

/// A log of several transactions, whose store is left as a crash leaves it; and how many rows it holds.
fn crashed(folder: &Path) -> (std::path::PathBuf, i64) {
    let (live, path) = (folder.join("live"), folder.join("store"));
    let writer = Connection::open(&live).unwrap();
    assert!(crate::reserve(&writer));
    writer.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    writer.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    writer.execute_batch("CREATE TABLE t (a TEXT)").unwrap();
    for number in 0..6 {
        let words = format!("row {number} ").repeat(900);
        writer.execute("INSERT INTO t VALUES (?1)", [words]).unwrap();
    }
    std::fs::copy(&live, &path).unwrap();
    std::fs::copy(folder.join("live-wal"), folder.join("store-wal")).unwrap();
    (path, 6)
}

fn rows(path: &Path) -> i64 {
    Connection::open(path).unwrap().query_row("SELECT COUNT(*) FROM t", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_log_that_nothing_befell_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (path, count) = crashed(folder.path());
    assert_eq!(mend(&folder.path().join("store-wal")).unwrap(), Mended::Bits(0));
    assert_eq!(rows(&path), count);
    assert_eq!(mend(&folder.path().join("nothing-wal")).unwrap(), Mended::Bits(0));
}

#[test]
fn any_one_bit_is_found_and_put_right_where_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    crashed(folder.path());
    let log = folder.path().join("store-wal");
    let whole = std::fs::read(&log).unwrap();
    let frames = (whole.len() - HEADER_BYTES) / FRAME_BYTES;
    // All of the header, all heads, and of pages a bit here and there.
    let heads = (0..frames).flat_map(|frame| {
        let start = HEADER_BYTES + frame * FRAME_BYTES;
        (start * 8..(start + HEAD_BYTES) * 8).step_by(11)
    });
    let bits = (0..HEADER_BYTES * 8).chain(heads).chain((HEADER_BYTES * 8..whole.len() * 8).step_by(10_007));
    let mut mended = 0;
    for bit in bits {
        let mut broken = whole.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&log, &broken).unwrap();
        match mend(&log).unwrap() {
            Mended::Bits(bits) => {
                assert!(bits == 1 && std::fs::read(&log).unwrap() == whole, "bit {bit}");
                mended += 1;
            }
            // Of the highest bits of a word the checksum does not always tell which it is.
            Mended::Lost(_) => {
                assert!(HEADER_BYTES * 8 <= bit, "bit {bit} of the header");
                let is_head = (bit / 8 - HEADER_BYTES) % FRAME_BYTES < HEAD_BYTES;
                assert!(is_head || 23 <= bit % 32, "bit {bit}");
                assert!(std::fs::read(&log).unwrap() == broken, "bit {bit}");
            }
        }
    }
    assert!(500 < mended, "{mended}");
}

#[test]
fn more_than_a_bit_in_what_is_followed_is_a_loss_and_at_the_end_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let (path, count) = crashed(folder.path());
    let log = folder.path().join("store-wal");
    let whole = std::fs::read(&log).unwrap();
    let broken = |frame: usize| {
        let mut broken = whole.clone();
        let start = HEADER_BYTES + frame * FRAME_BYTES + 512;
        broken[start..start + 512].fill(0x55);
        std::fs::write(&log, &broken).unwrap();
        mend(&log).unwrap()
    };
    let frames = (whole.len() - HEADER_BYTES) / FRAME_BYTES;
    assert_eq!(broken(2), Mended::Lost(3));
    assert_eq!(broken(frames - 1), Mended::Bits(0));
    assert_eq!(rows(&path), count - 1);
}

#[test]
fn what_an_undone_transaction_left_behind_is_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    crashed(folder.path());
    let log = folder.path().join("store-wal");
    let mut bytes = std::fs::read(&log).unwrap();
    // The last transaction stands a frame later than it was written, behind one that is cut off.
    let end = bytes.len();
    let last = bytes[end - 2 * FRAME_BYTES..].to_vec();
    bytes[end - 2 * FRAME_BYTES + 512..end - FRAME_BYTES].fill(0);
    bytes.extend(last);
    std::fs::write(&log, &bytes).unwrap();
    assert_eq!(mend(&log).unwrap(), Mended::Bits(0));
}

#[test]
fn a_log_that_is_begun_anew_meanwhile_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = (folder.path().join("store"), folder.path().join("store-wal"));
    let open = || {
        let writer = Connection::open(&path).unwrap();
        writer.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
        writer.execute_batch("CREATE TABLE IF NOT EXISTS t (a TEXT)").unwrap();
        writer
    };
    // One that stays, since the log goes with the last.
    let _other = open();
    let writing = std::thread::spawn({
        let writer = open();
        move || {
            for number in 0..400 {
                let words = format!("row {number} ").repeat(1_500);
                writer.execute("INSERT INTO t VALUES (?1)", [words]).unwrap();
                if number % 5 == 0 {
                    let kind = if number % 20 == 0 { "TRUNCATE" } else { "RESTART" };
                    let pragma = format!("PRAGMA wal_checkpoint({kind})");
                    writer.query_row(&pragma, [], |_| Ok(())).unwrap();
                }
            }
        }
    });
    while !writing.is_finished() {
        assert_eq!(mend(&log).unwrap(), Mended::Bits(0));
    }
    writing.join().unwrap();
}

#[test]
fn a_page_of_the_log_is_held_against_its_frame() {
    let folder = tempfile::tempdir().unwrap();
    crashed(folder.path());
    let bytes = std::fs::read(folder.path().join("store-wal")).unwrap();
    let mut read = |at: u64, into: &mut [u8]| {
        let at = usize::try_from(at).unwrap();
        into.copy_from_slice(&bytes[at..at + into.len()]);
        true
    };
    for frame in 0..3 {
        let at = HEADER_BYTES + frame * FRAME_BYTES + HEAD_BYTES;
        let mut page = bytes[at..at + PAGE_BYTES].to_vec();
        assert_eq!(frame_of(at as u64, PAGE_BYTES), Some(frame as u64));
        assert!(is_whole(frame as u64, &page, &mut read));
        page[100] ^= 1;
        assert!(!is_whole(frame as u64, &page, &mut read));
    }
    assert_eq!(frame_of(0, HEADER_BYTES), None);
    assert_eq!(frame_of(HEADER_BYTES as u64, HEAD_BYTES), None);
}
