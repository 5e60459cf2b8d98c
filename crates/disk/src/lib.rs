//! What stands between SQLite and its files, so that a bit that was flipped on the disk is noticed and never served.
//!
//! SQLite trusts what it reads. Here every page that is read is held against a sum of what was written:
//!
//! - A page of the database file has its sum in its own last bytes, which SQLite leaves free where it is asked to
//!   (`page`). It is made when the page is written there, and checked whenever it is read.
//! - A frame of the log has a checksum by SQLite, which SQLite itself looks at only after a crash. Here it is checked
//!   at each read, and before a page is moved from the log into the file (`log`, `frames`).
//! - After a crash SQLite takes the log for ended where a frame is broken. Before it does, [`mend`] tells what was cut
//!   off from what was flipped.
//!
//! What is not as it was written is an error of the statement that asked for it, a line of the log, and one more of
//! [`damaged`]. Nothing here knows a table.

mod frames;
mod log;
mod page;
#[expect(unsafe_code, reason = "SQLite calls it by pointers; the module says why that is sound")]
mod vfs;

use std::fs::{File, canonicalize};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

pub use log::Mended;
pub use vfs::{NAME, register, reserve, sum_all};

/// Bytes of a page; SQLite's own choice for a new file, and ours.
pub const PAGE_BYTES: usize = 4_096;
/// The page that SQLite never writes: it locks bytes there.
const LOCK_PAGE: u64 = 0x4000_0000 / PAGE_BYTES as u64 + 1;

static DAMAGED: AtomicU64 = AtomicU64::new(0);

/// How many pages were read so far that are not as they were written.
pub fn damaged() -> u64 {
    DAMAGED.load(Ordering::Relaxed)
}

/// Counts one more, and says where.
fn note_damage(path: &str, what: &str, number: u64) {
    DAMAGED.fetch_add(1, Ordering::Relaxed);
    tracing::error!(path, number, "a {what} of the store is not as it was written, and is not served");
}

/// Puts right what bits were flipped in the log of a store, before it is opened. Of one that is open here already,
/// SQLite has taken what it took.
pub fn mend(store: &Path) -> io::Result<Mended> {
    let Ok(store) = canonicalize(store) else { return Ok(Mended::Bits(0)) };
    let mut log = store.into_os_string();
    log.push("-wal");
    if frames::is_open(&log.to_string_lossy()) {
        return Ok(Mended::Bits(0));
    }
    log::mend(Path::new(&log))
}

/// Whether the pages of a file have sums; a file that is none has not.
pub fn is_summed(path: &Path) -> bool {
    let read = || -> io::Result<bool> {
        let (file, mut head) = (File::open(path)?, [0; PAGE_BYTES]);
        file.read_exact_at(&mut head, 0)?;
        Ok(page::is_summed(&head))
    };
    read().unwrap_or(false)
}

/// Reads the whole file, and answers with the numbers of pages that are not as they were written. Of one that is being
/// written meanwhile a part may be new, so it is to be asked again for those. None where there are no sums.
pub fn broken_pages(path: &Path, only: Option<&[u64]>) -> io::Result<Vec<u64>> {
    if !is_summed(path) {
        return Ok(Vec::new());
    }
    let file = File::open(path)?;
    let count = file.metadata()?.len() / PAGE_BYTES as u64;
    let is_broken = |number: u64| -> io::Result<bool> {
        let mut bytes = [0; PAGE_BYTES];
        file.read_exact_at(&mut bytes, (number - 1) * PAGE_BYTES as u64)?;
        Ok(!page::is_whole(number, &bytes))
    };
    let mut broken = Vec::new();
    let mut look = |number| {
        if number != LOCK_PAGE && number <= count && is_broken(number)? {
            broken.push(number);
        }
        io::Result::Ok(())
    };
    match only {
        Some(numbers) => numbers.iter().try_for_each(|number| look(*number))?,
        None => (1..=count).try_for_each(look)?,
    }
    Ok(broken)
}
