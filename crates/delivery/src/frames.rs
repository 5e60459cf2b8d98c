//! The frames of a WebSocket (RFC 6455): as the server writes them, once for all who get them, and as a client sends
//! them, of which only their kinds matter. It knows no socket.

use bytes::Bytes;

/// The largest message that is taken from a client, to be ignored.
const MESSAGE_BYTES_MAX: u64 = 16 * 1024;
/// The longest payload of a frame that controls.
const CONTROL_BYTES_MAX: usize = 125;
/// The longest head of a client's frame: two bytes, eight of length, four of mask.
const HEAD_LEN_MAX: usize = 14;

/// The code that says that what came broke the protocol.
const PROTOCOL_ERROR: u16 = 1002;
/// As what a close counts that carries no code.
const NO_CODE: u16 = 1005;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
/// The last frame of its message.
const FIN: u8 = 0x80;
/// What extensions would mean something by, and none is spoken.
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
/// In the second byte: the payload is masked, as each of a client must be.
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
/// The length stands in the next two bytes.
const LENGTH_OF_TWO: u8 = 126;
/// The length stands in the next eight bytes.
const LENGTH_OF_EIGHT: u8 = 127;

/// A text, with the head before it.
pub(crate) fn text(text: &str) -> Bytes {
    encode(TEXT, text.as_bytes())
}

/// A ping that carries nothing.
pub(crate) fn ping() -> Bytes {
    Bytes::from_static(&[FIN | PING, 0])
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    encode(PONG, payload)
}

/// Whether a frame is the answer to a ping.
pub(crate) fn is_pong(frame: &[u8]) -> bool {
    frame.first() == Some(&(FIN | PONG))
}

/// The answer to a close: the same code, where there is one that may be said.
pub(crate) fn close_answer(code: u16) -> Bytes {
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => close(code, ""),
        NO_CODE => Bytes::from_static(&[FIN | CLOSE, 0]),
        _ => close(PROTOCOL_ERROR, ""),
    }
}

/// A close with a code, and a few words for people.
pub(crate) fn close(code: u16, reason: &str) -> Bytes {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    encode(CLOSE, &payload)
}

fn encode(opcode: u8, payload: &[u8]) -> Bytes {
    let length = payload.len();
    let mut frame = Vec::with_capacity(HEAD_LEN_MAX + length);
    frame.push(FIN | opcode);
    if let Some(short) = u8::try_from(length).ok().filter(|short| *short < LENGTH_OF_TWO) {
        frame.push(short);
    } else if let Ok(length) = u16::try_from(length) {
        frame.push(LENGTH_OF_TWO);
        frame.extend_from_slice(&length.to_be_bytes());
    } else {
        frame.push(LENGTH_OF_EIGHT);
        frame.extend_from_slice(&(length as u64).to_be_bytes());
    }
    frame.extend_from_slice(payload);
    frame.into()
}

/// What a client sent breaks the protocol, or is longer than anything that it has to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// What a client said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Frames that came whole.
    pub(crate) frames: u32,
    /// One of them answers a ping.
    pub(crate) has_pong: bool,
    /// The last ping, which is to be answered.
    pub(crate) ping: Option<Vec<u8>>,
    /// It closes, with this code. Nothing is heard after that.
    pub(crate) close: Option<u16>,
}

/// Reads what a client sends, however it is cut. It holds what a frame begins with, and of a payload no more than is
/// to be answered.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    head: [u8; HEAD_LEN_MAX],
    /// How much of the head came.
    head_len: u8,
    /// What is left of the payload.
    left: u64,
    /// What came of the payload of a frame that controls.
    payload: Vec<u8>,
    /// How long a message is so far of which more is to come.
    message: Option<u64>,
}

impl Reader {
    /// Takes what came.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Result<Heard, Broken> {
        let mut heard = Heard::default();
        loop {
            while usize::from(self.head_len) < self.head_needed() {
                let Some((first, rest)) = bytes.split_first() else { return Ok(heard) };
                self.head[usize::from(self.head_len)] = *first;
                self.head_len += 1;
                bytes = rest;
                if self.head_len == 2 {
                    self.check()?;
                }
                if usize::from(self.head_len) == self.head_needed() {
                    self.begin()?;
                }
            }
            let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            if self.is_control() {
                self.payload.extend_from_slice(&bytes[..here]);
            }
            (bytes, self.left) = (&bytes[here..], self.left - here as u64);
            if 0 < self.left {
                return Ok(heard);
            }
            self.end(&mut heard)?;
            if heard.close.is_some() {
                return Ok(heard);
            }
        }
    }

    /// Looks at the first two bytes.
    fn check(&self) -> Result<(), Broken> {
        let opcode = self.head[0] & OPCODE;
        let is_final = self.head[0] & FIN != 0;
        let length = usize::from(self.head[1] & LENGTH);
        let is_in_order = match opcode {
            CONTINUATION => self.message.is_some(),
            TEXT | BINARY => self.message.is_none(),
            CLOSE | PING | PONG => is_final && length <= CONTROL_BYTES_MAX,
            _ => false,
        };
        let is_masked = self.head[1] & MASKED != 0;
        if is_in_order && is_masked && self.head[0] & RESERVED == 0 { Ok(()) } else { Err(Broken) }
    }

    /// The head is whole.
    fn begin(&mut self) -> Result<(), Broken> {
        self.left = match self.head[1] & LENGTH {
            LENGTH_OF_TWO => u64::from(u16::from_be_bytes([self.head[2], self.head[3]])),
            LENGTH_OF_EIGHT => {
                let bytes = self.head[2..].first_chunk().expect("a head has room for all of its length");
                u64::from_be_bytes(*bytes)
            }
            short => u64::from(short),
        };
        if self.is_control() {
            return Ok(());
        }
        let all = self.message.unwrap_or(0).checked_add(self.left).filter(|all| *all <= MESSAGE_BYTES_MAX);
        self.message = Some(all.ok_or(Broken)?);
        Ok(())
    }

    /// The frame is whole.
    fn end(&mut self, heard: &mut Heard) -> Result<(), Broken> {
        heard.frames += 1;
        let mask = self.mask();
        self.head_len = 0;
        if !self.is_control() {
            if self.head[0] & FIN != 0 {
                self.message = None;
            }
            return Ok(());
        }
        let mut payload = std::mem::take(&mut self.payload);
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        match self.head[0] & OPCODE {
            PING => heard.ping = Some(payload),
            PONG => heard.has_pong = true,
            _ => {
                heard.close = Some(match payload[..] {
                    [] => NO_CODE,
                    [_] => return Err(Broken),
                    [first, second, ..] => u16::from_be_bytes([first, second]),
                });
            }
        }
        Ok(())
    }

    fn is_control(&self) -> bool {
        CLOSE <= self.head[0] & OPCODE
    }

    fn mask(&self) -> [u8; 4] {
        let at = usize::from(self.head_len).saturating_sub(4);
        *self.head[at..].first_chunk().expect("a head ends with a mask")
    }

    /// How long the head is, as far as that is known.
    fn head_needed(&self) -> usize {
        if self.head_len < 2 {
            return 2;
        }
        let length = match self.head[1] & LENGTH {
            LENGTH_OF_TWO => 2,
            LENGTH_OF_EIGHT => 8,
            _ => 0,
        };
        2 + length + 4
    }
}

/// The text of a frame.
#[cfg(test)]
pub(crate) fn text_in(frame: &[u8]) -> &str {
    let head = match frame[1] {
        LENGTH_OF_TWO => 4,
        LENGTH_OF_EIGHT => 10,
        _ => 2,
    };
    std::str::from_utf8(&frame[head..]).expect("what we say is text")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of a client, masked.
    fn of_client(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = encode(first & OPCODE, payload).to_vec();
        let head = frame.len() - payload.len();
        frame[0] = first;
        frame[1] |= MASKED;
        frame.truncate(head);
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    #[test]
    fn a_head_says_how_long_the_text_is() {
        assert_eq!(text("hi")[..], [0x81, 2, b'h', b'i']);
        for (length, head) in
            [(125, &[0x81, 125][..]), (126, &[0x81, 126, 0, 126]), (65_535, &[0x81, 126, 255, 255])]
        {
            assert_eq!(text(&"x".repeat(length))[..head.len()], *head);
        }
        assert_eq!(text(&"x".repeat(65_536))[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(close(1013, "later")[..], [0x88, 7, 3, 245, b'l', b'a', b't', b'e', b'r']);
    }

    #[test]
    fn what_a_client_says_is_heard_however_it_is_cut() {
        let long = vec![b'x'; 5_000];
        let said = [
            of_client(FIN | PING, b"are you there"),
            of_client(TEXT, &long[..200]),
            of_client(FIN | PONG, b""),
            of_client(CONTINUATION, b""),
            of_client(FIN, &long),
            of_client(FIN | BINARY, b"\0"),
            of_client(FIN | CLOSE, &[3, 232, b'b', b'y', b'e']),
            of_client(FIN | TEXT, b"nobody hears this"),
        ]
        .concat();
        for length in [1, 2, 3, 7, 100, 256, said.len()] {
            let (mut reader, mut all) = (Reader::default(), Heard::default());
            for part in said.chunks(length) {
                let Heard { frames, has_pong, ping, close } = reader.read(part).unwrap();
                all.frames += frames;
                all.has_pong |= has_pong;
                all.ping = ping.or(all.ping);
                if close.is_some() {
                    all.close = close;
                    break;
                }
            }
            let ping = Some(b"are you there".to_vec());
            assert_eq!(all, Heard { frames: 7, has_pong: true, ping, close: Some(1000) }, "{length}");
        }
        let silent = Reader::default().read(&of_client(FIN | CLOSE, b""));
        assert_eq!(silent.unwrap().close, Some(NO_CODE));
    }

    #[test]
    fn what_breaks_the_protocol_is_not_heard() {
        let most = usize::try_from(MESSAGE_BYTES_MAX).unwrap();
        let broken = [
            ("not masked", text("hi").to_vec()),
            ("a reserved bit", of_client(FIN | 0x40 | TEXT, b"hi")),
            ("a reserved opcode", of_client(FIN | 0x3, b"hi")),
            ("a reserved control", of_client(FIN | 0xb, b"hi")),
            ("a ping in parts", of_client(PING, b"hi")),
            ("a ping that is too long", of_client(FIN | PING, &[0; CONTROL_BYTES_MAX + 1])),
            ("half a code", of_client(FIN | CLOSE, &[3])),
            ("more of nothing", of_client(FIN, b"hi")),
            ("a message in another", [of_client(TEXT, b"h"), of_client(FIN | TEXT, b"i")].concat()),
            ("too long", of_client(FIN | TEXT, &vec![0; most + 1])),
            ("too long together", [of_client(TEXT, &vec![0; most]), of_client(FIN, b"i")].concat()),
            ("beyond all", [&[FIN | TEXT, MASKED | 127][..], &[255; 8], &[0; 4]].concat()),
        ];
        for (how, bytes) in broken {
            assert_eq!(Reader::default().read(&bytes), Err(Broken), "{how}");
        }
        let longest = Reader::default().read(&of_client(FIN | TEXT, &vec![0; most]));
        assert_eq!(longest.map(|heard| heard.frames), Ok(1));
    }

    #[test]
    fn an_idle_reader_is_small() {
        assert!(size_of::<Reader>() <= 72, "{}", size_of::<Reader>());
    }
}
