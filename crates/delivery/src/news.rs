//! What nodes tell each other on the bus, byte by byte.

use carillon_model::Key;
use carillon_model::event::{Event, ReadMarkers};
use serde::{Deserialize, Serialize};

/// News of what the store holds, or of who is here.
#[derive(Debug, PartialEq)]
pub(crate) enum News {
    /// Something was committed.
    Event(Event),
    /// A number of a channel was taken, and no event has it.
    Blank(Key, i64),
    /// The sessions that a user has on a node.
    Roll(Roll),
    /// Read markers of a channel moved. The store holds no more of it than the markers.
    ReadMarkers(ReadMarkers),
}

/// The sessions that a user has on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Roll {
    pub(crate) node: Key,
    pub(crate) user: Key,
    pub(crate) sessions: Vec<Present>,
    /// Whether other nodes are to answer with theirs.
    pub(crate) asks: bool,
}

/// A session, for those who compare it with theirs: the later ones stay.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Present {
    pub(crate) admitted_ms: i64,
    pub(crate) number: u64,
    pub(crate) client: String,
}

const EVENT: u8 = b'e';
const BLANK: u8 = b'b';
const ROLL: u8 = b'r';
const READ_MARKERS: u8 = b'm';

/// An event: its letter, all but its payload as a line of JSON, and the payload as it is.
pub(crate) fn of_event(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512 + event.payload.len());
    bytes.push(EVENT);
    serde_json::to_writer(&mut bytes, event).expect("keys, numbers and flags always serialize");
    bytes.push(b'\n');
    bytes.extend_from_slice(event.payload.as_bytes());
    bytes
}

/// A number that no event has.
pub(crate) fn of_blank(channel: Key, number: i64) -> Vec<u8> {
    [&[BLANK][..], &channel.0, &number.to_be_bytes()].concat()
}

/// Who is here of a user.
pub(crate) fn of_roll(roll: &Roll) -> Vec<u8> {
    let mut bytes = vec![ROLL];
    serde_json::to_writer(&mut bytes, roll).expect("keys, numbers and texts always serialize");
    bytes
}

/// Read markers that moved.
pub(crate) fn of_read_markers(markers: &ReadMarkers) -> Vec<u8> {
    let mut bytes = vec![READ_MARKERS];
    serde_json::to_writer(&mut bytes, markers).expect("keys and texts always serialize");
    bytes
}

impl News {
    /// Nothing where it is none: another version may say what this one does not know, and the store holds it anyhow.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (letter, rest) = bytes.split_first()?;
        match *letter {
            EVENT => {
                let end = rest.iter().position(|byte| *byte == b'\n')?;
                let mut event: Event = serde_json::from_slice(&rest[..end]).ok()?;
                event.payload = String::from_utf8(rest[end + 1..].to_vec()).ok()?;
                Some(Self::Event(event))
            }
            BLANK => {
                let (channel, number) = rest.split_first_chunk()?;
                Some(Self::Blank(Key(*channel), i64::from_be_bytes(number.try_into().ok()?)))
            }
            ROLL => serde_json::from_slice(rest).ok().map(Self::Roll),
            READ_MARKERS => serde_json::from_slice(rest).ok().map(Self::ReadMarkers),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use carillon_model::Timestamp;

    use super::*;

    #[test]
    fn news_is_read_as_it_was_written() {
        let mut event = Event::delete_app_instance_user(Key([7; 16]), Timestamp::from_ms(1_768_478_403_071));
        event.payload = "{\"Content\":\"a\\nb\"}".to_owned();
        assert_eq!(News::read(&of_event(&event)), Some(News::Event(event)));
        let blank = News::Blank(Key([3; 16]), 42);
        assert_eq!(News::read(&of_blank(Key([3; 16]), 42)), Some(blank));
        let session = Present { admitted_ms: 5, number: 1, client: "phone".to_owned() };
        let roll = Roll { node: Key([1; 16]), user: Key([2; 16]), sessions: vec![session], asks: true };
        assert_eq!(News::read(&of_roll(&roll)), Some(News::Roll(roll)));
        let markers = ReadMarkers { channel: Key([3; 16]), payload: "{\"Members\":[]}".to_owned() };
        assert_eq!(News::read(&of_read_markers(&markers)), Some(News::ReadMarkers(markers)));
        for wrong in [&b""[..], b"x", b"e{}", b"e\n", b"b", b"r", b"m"] {
            assert_eq!(News::read(wrong), None);
        }
    }
}
