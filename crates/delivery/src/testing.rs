//! What only tests and fuzzing ask of this crate.

use crate::frames::Reader;

/// What is heard of a client that sends these bytes, so many at once: how many frames, and the code with which it
/// closed; nothing where it broke the protocol.
pub fn hear(bytes: &[u8], at_once: usize) -> Option<(u32, Option<u16>)> {
    let (mut reader, mut frames) = (Reader::default(), 0);
    for piece in bytes.chunks(at_once.max(1)) {
        let heard = reader.read(piece).ok()?;
        frames += heard.frames;
        if heard.close.is_some() {
            return Some((frames, heard.close));
        }
    }
    Some((frames, None))
}
