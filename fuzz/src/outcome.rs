//! What an input led to, as far as the target says: an input that leads to something new is worth altering further.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

thread_local! {
    static OUTCOME: Cell<u64> = const { Cell::new(0) };
}

/// Notes what came of an input; of a text, without its numbers and whatever is quoted in it.
pub(crate) fn note(words: &str) {
    let mut hasher = DefaultHasher::new();
    OUTCOME.get().hash(&mut hasher);
    for (at, part) in words.split(['\'', '"', '`']).enumerate() {
        if at % 2 == 0 {
            part.bytes().filter(|byte| !byte.is_ascii_digit()).for_each(|byte| hasher.write_u8(byte));
        }
    }
    OUTCOME.set(hasher.finish());
}

/// What was noted since the last time that this was asked.
pub(crate) fn take() -> u64 {
    OUTCOME.replace(0)
}
