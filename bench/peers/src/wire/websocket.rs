//! Frames of WebSocket, as a client reads and writes them.

use memchr::memmem;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::Result;

/// The kind of a binary frame.
pub(crate) const BINARY: u8 = 2;
/// The kind of a text frame.
pub(crate) const TEXT: u8 = 1;
/// The kind of a close.
pub(crate) const CLOSE: u8 = 8;
/// The kind of a ping.
pub(crate) const PING: u8 = 9;
/// The kind of its answer.
pub(crate) const PONG: u8 = 10;

/// What stands before a length that says that the payload is masked.
const MASKED: u8 = 0x80;
/// A length that says that the real one follows in two bytes.
const TWO_BYTES: u8 = 126;
/// And in eight.
const EIGHT_BYTES: u8 = 127;

/// Kind of the first frame, and where its payload starts and ends, once it is there whole.
pub(crate) fn parse(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let kind = bytes.first()? & 0x0f;
    let (start, length): (usize, usize) = match bytes.get(1)? & 0x7f {
        TWO_BYTES => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        EIGHT_BYTES => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            (10, usize::try_from(length).ok()?)
        }
        short => (2, usize::from(short)),
    };
    let end = start.checked_add(length)?;
    (end <= bytes.len()).then_some((kind, start, end))
}

/// Reads frames until one holds these words, and takes them and what came before out of what was received.
pub(crate) async fn wait_for(stream: &mut TcpStream, received: &mut Vec<u8>, words: &[u8]) -> Result<()> {
    loop {
        while let Some((_, start, end)) = parse(received) {
            let is_there = memmem::find(&received[start..end], words).is_some();
            received.drain(..end);
            if is_there {
                return Ok(());
            }
        }
        if stream.read_buf(received).await? == 0 {
            return Err("the server closed the socket".into());
        }
    }
}

/// A frame as a client sends it: masked, with the mask that changes nothing.
pub(crate) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | kind];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length), _) if length < TWO_BYTES => frame.push(MASKED | length),
        (_, Ok(length)) => {
            frame.push(MASKED | TWO_BYTES);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(MASKED | EIGHT_BYTES);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_once_it_is_whole() {
        assert_eq!(parse(&[0x81, 2, b'h', b'i', 0x89]), Some((TEXT, 2, 4)));
        assert_eq!(parse(&[0x81, 2, b'h']), None);
        let mut long = vec![0x82, 126, 1, 0];
        assert_eq!(parse(&long), None);
        long.resize(4 + 256, b'x');
        assert_eq!(parse(&long), Some((BINARY, 4, 260)));
    }

    #[test]
    fn a_frame_is_as_long_as_it_says() {
        assert_eq!(frame(PONG, b"x"), [0x8a, 0x81, 0, 0, 0, 0, b'x']);
        assert_eq!(frame(TEXT, &[0; 125])[..2], [0x81, 0xfd]);
        assert_eq!(frame(TEXT, &[0; 126])[..4], [0x81, 0xfe, 0, 126]);
        assert_eq!(frame(TEXT, &vec![0; 70_000])[..10], [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }
}
