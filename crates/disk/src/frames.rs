//! What this process wrote into a log, by its sums: whoever reads a frame compares one, and only where that is another
//! looks at the frame's own checksum, for which it must read more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// Frames that a part remembers, and the most parts: 64 GiB of a log. Frames beyond are held against their own
/// checksums.
const PART_LEN: usize = 16 * 1024;
const PARTS_MAX: usize = 1024;
/// Marks a sum as known.
const KNOWN: u64 = 1 << 32;

/// The sums of one log, for all connections to it.
pub(crate) struct Frames {
    parts: Vec<OnceLock<Box<[AtomicU64]>>>,
}

type Open = HashMap<String, Weak<Frames>>;

/// The logs that are open in this process.
fn all() -> MutexGuard<'static, Open> {
    static ALL: OnceLock<Mutex<Open>> = OnceLock::new();
    // Whoever panicked in between left a map that is whole.
    ALL.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a log is open here.
pub(crate) fn is_open(path: &str) -> bool {
    all().get(path).is_some_and(|frames| frames.strong_count() != 0)
}

impl Frames {
    fn new() -> Self {
        Self { parts: (0..PARTS_MAX).map(|_| OnceLock::new()).collect() }
    }

    /// Those of a log.
    pub(crate) fn of(path: &str) -> Arc<Self> {
        let mut all = all();
        if let Some(known) = all.get(path).and_then(Weak::upgrade) {
            return known;
        }
        all.retain(|_, frames| frames.strong_count() != 0);
        let new = Arc::new(Self::new());
        all.insert(path.to_owned(), Arc::downgrade(&new));
        new
    }

    /// The page of this frame was written, in the order of frames from zero.
    pub(crate) fn wrote(&self, frame: u64, page: &[u8]) {
        if let Some(slot) = self.slot(frame, true) {
            slot.store(KNOWN | u64::from(crc32fast::hash(page)), Ordering::Release);
        }
    }

    /// Whether this is what was written into the frame; false also where that is not known.
    pub(crate) fn is_same(&self, frame: u64, page: &[u8]) -> bool {
        let known = self.slot(frame, false).map_or(0, |slot| slot.load(Ordering::Acquire));
        known == KNOWN | u64::from(crc32fast::hash(page))
    }

    fn slot(&self, frame: u64, is_to_be: bool) -> Option<&AtomicU64> {
        let frame = usize::try_from(frame).ok()?;
        let part = self.parts.get(frame / PART_LEN)?;
        let make = || (0..PART_LEN).map(|_| AtomicU64::new(0)).collect();
        let part = if is_to_be { part.get_or_init(make) } else { part.get()? };
        part.get(frame % PART_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_known_to_all_who_have_the_log_open() {
        let (one, other) = (Frames::of("frames-a"), Frames::of("frames-a"));
        one.wrote(3, b"abc");
        one.wrote(PART_LEN as u64, b"d");
        assert!(other.is_same(3, b"abc") && other.is_same(PART_LEN as u64, b"d"));
        assert!(!other.is_same(3, b"abd") && !other.is_same(4, b"abc"));
        assert!(!Frames::of("frames-b").is_same(3, b"abc"));
        assert!(is_open("frames-a"));
        drop((one, other));
        assert!(!is_open("frames-a"));
        assert!(!Frames::of("frames-a").is_same(3, b"abc"));
    }

    #[test]
    fn a_frame_beyond_all_is_not_known() {
        let frames = Frames::new();
        frames.wrote(u64::MAX, b"a");
        assert!(!frames.is_same(u64::MAX, b"a"));
    }
}
