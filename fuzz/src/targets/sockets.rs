//! What a client says on a socket.

use carillon_delivery::testing::hear;

use super::Target;
use crate::outcome::note;

/// Frames of a client. However they are cut, the same is heard.
pub(super) const FRAMES: Target = Target {
    name: "frames",
    about: "the frames of a WebSocket, as a client sends them",
    words: "\u{1}\u{2}\u{3}\u{4} \u{0}\u{0}\u{0}\u{0} \u{3}\u{8}",
    is_quick: true,
    run: frames,
};

fn frames(bytes: &[u8]) {
    let heard = hear(bytes, bytes.len());
    for at_once in [1, 2, 7, 512] {
        assert_eq!(hear(bytes, at_once), heard, "{at_once} bytes at once");
    }
    note(&match heard {
        None => "broken".to_owned(),
        Some((frames, close)) => format!("{} {:?}", "f".repeat(frames.min(9) as usize), close.is_some()),
    });
}
