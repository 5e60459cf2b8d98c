//! What the operating system draws by lot, drawn from one number instead. The order in which a map is walked, and which
//! of two things that are ready a task takes first, hang on it; so without this no history comes twice.

use std::sync::atomic::{AtomicU64, Ordering};

/// By how much the state moves on: the generator is `SplitMix64`, whose outputs need no more than to differ.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

static STATE: AtomicU64 = AtomicU64::new(0);

/// All that is drawn from here on follows from this number.
pub(crate) fn begin(seed: u64) {
    STATE.store(seed, Ordering::Relaxed);
}

fn draw() -> u64 {
    let state = STATE.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// In place of the C library's, by its name: the standard library looks it up, so that this can be done.
#[expect(unsafe_code, reason = "a name that the linker knows, and the memory of whoever asks")]
#[unsafe(no_mangle)]
extern "C" fn getrandom(bytes: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: whoever calls this gives memory of this length to be written.
    let bytes = unsafe { std::slice::from_raw_parts_mut(bytes, length) };
    for part in bytes.chunks_mut(8) {
        part.copy_from_slice(&draw().to_le_bytes()[..part.len()]);
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};

    use super::*;

    #[test]
    fn what_the_standard_library_draws_is_ours() {
        let drawn = |seed| {
            begin(seed);
            std::thread::spawn(|| RandomState::new().hash_one(1)).join().unwrap()
        };
        assert_eq!((drawn(1) == drawn(1), drawn(1) == drawn(2)), (true, false));
    }
}
