//! The keys that rows are stored under: short, fixed, and never reused.
//!
//! An ARN names a thing for as long as it exists; a key names it for ever. A channel that is deleted and
//! created again under the same ARN has a new key, so what the old one left behind cannot reach the new one.

use std::fmt;

use data_encoding::HEXLOWER;
use uuid::fmt::Hyphenated;
use uuid::{Builder, Uuid};

use crate::Timestamp;

/// The key of an app instance, an identity, a channel or a sub-channel: 16 random bytes.
///
/// The key of an app instance is its UUID, so an ARN leads to it without a look-up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// The key that a UUID in its usual form spells.
    pub fn from_uuid(text: &str) -> Option<Self> {
        let uuid: Hyphenated = text.parse().ok()?;
        // One key has one spelling, so that what is stored by its text is found by it.
        (!text.bytes().any(|byte| byte.is_ascii_uppercase())).then(|| Self(uuid.into_uuid().into_bytes()))
    }

    /// The key that 32 lower-case hexadecimal digits spell.
    pub fn from_hex(text: &str) -> Option<Self> {
        unhex(text.as_bytes()).map(Self)
    }

    /// The key as a UUID, in its usual form.
    pub fn uuid(&self) -> String {
        Uuid::from_bytes(self.0).hyphenated().to_string()
    }

    /// The key just after this one; none follows the greatest.
    pub fn next(self) -> Option<Self> {
        u128::from_be_bytes(self.0).checked_add(1).map(|next| Self(next.to_be_bytes()))
    }

    /// A key made of random bytes, with the marks of a version 4 UUID.
    pub fn random(bytes: [u8; 16]) -> Self {
        Self(Builder::from_random_bytes(bytes).into_uuid().into_bytes())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex(&self.0, &mut [0; 32]))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The key of a message, which its `MessageId` spells in 64 hexadecimal digits.
///
/// Time, then the channel's sequence, then random bytes: the order of keys is the order of `CreatedTimestamp`,
/// so one index answers both "this message" and "the messages before it", and nobody can guess a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey(pub [u8; 32]);

impl MessageKey {
    /// The key of the message that took `sequence` in its channel at `created`.
    pub fn new(created: Timestamp, sequence: i64, random: [u8; 16]) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&created.ms().to_be_bytes());
        bytes[8..16].copy_from_slice(&sequence.to_be_bytes());
        bytes[16..].copy_from_slice(&random);
        Self(bytes)
    }

    /// The least key of all messages created at `time` or later.
    pub fn least(time: Timestamp) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&time.ms().max(0).to_be_bytes());
        Self(bytes)
    }

    /// The greatest key of all messages created at `time` or earlier.
    pub fn greatest(time: Timestamp) -> Self {
        let mut bytes = [0xff; 32];
        bytes[..8].copy_from_slice(&time.ms().max(0).to_be_bytes());
        Self(bytes)
    }

    /// The key just after this one; none follows the greatest.
    pub fn next(mut self) -> Option<Self> {
        for byte in self.0.iter_mut().rev() {
            let (sum, carry) = byte.overflowing_add(1);
            *byte = sum;
            if !carry {
                return Some(self);
            }
        }
        None
    }

    /// The key just before this one; none precedes the least.
    pub fn previous(mut self) -> Option<Self> {
        for byte in self.0.iter_mut().rev() {
            let (difference, borrow) = byte.overflowing_sub(1);
            *byte = difference;
            if !borrow {
                return Some(self);
            }
        }
        None
    }

    /// The key that a `MessageId` spells, if it spells one.
    pub fn from_hex(text: &str) -> Option<Self> {
        unhex(text.as_bytes()).map(Self)
    }

    /// The number, in its channel, of the event that told of the message.
    pub fn sequence(&self) -> i64 {
        let bytes = self.0[8..16].try_into().expect("eight of 32 bytes");
        i64::from_be_bytes(bytes)
    }

    /// When the message was created.
    pub fn created(&self) -> Timestamp {
        let bytes = self.0[..8].try_into().expect("the first eight of 32 bytes");
        Timestamp::from_ms(i64::from_be_bytes(bytes))
    }
}

impl fmt::Display for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex(&self.0, &mut [0; 64]))
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! serialized_as_hex {
    ($($name:ident),*) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(hex(&self.0, &mut [0; 2 * size_of::<Self>()]))
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("a key is hexadecimal digits"))
            }
        }
    )*};
}

serialized_as_hex!(Key, MessageKey);

/// Writes bytes into a room of twice as many digits.
fn hex<'a>(bytes: &[u8], digits: &'a mut [u8]) -> &'a str {
    HEXLOWER.encode_mut(bytes, digits);
    std::str::from_utf8(digits).expect("digits are text")
}

fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    (digits.len() == 2 * N).then_some(())?;
    HEXLOWER.decode_mut(digits, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spell_and_read_back() {
        let key = Key::random([0xa7; 16]);
        assert_eq!(Key::from_uuid(&key.uuid()), Some(key));
        assert_eq!(Key::from_hex(&key.to_string()), Some(key));
        assert_eq!(Key::from_uuid("8d1e2f30-aaaa-4bbb-8ccc-00000000000"), None);
        assert_eq!(Key::from_uuid("8D1E2F30-AAAA-4BBB-8CCC-000000000001"), None);
        assert!(key < key.next().unwrap() && Key([0xff; 16]).next().is_none());
        assert_eq!(Key::from_hex("é".repeat(16).as_str()), None);
    }

    #[test]
    fn message_keys_sort_by_time_then_by_sequence() {
        let early = MessageKey::new(Timestamp::from_ms(1_000), 9, [0xff; 16]);
        let later = MessageKey::new(Timestamp::from_ms(1_001), 1, [0; 16]);
        let last = MessageKey::new(Timestamp::from_ms(1_001), 2, [0; 16]);
        assert!(early < MessageKey::least(Timestamp::from_ms(1_001)));
        assert!(MessageKey::least(Timestamp::from_ms(1_001)) < later && later < last);
        assert!(last < MessageKey::greatest(Timestamp::from_ms(1_001)));
        assert_eq!(MessageKey([0xff; 32]).next(), None);
        assert_eq!(MessageKey([0; 32]).previous(), None);
        assert_eq!(
            MessageKey::greatest(Timestamp::from_ms(1_000)).next(),
            Some(MessageKey::least(Timestamp::from_ms(1_001)))
        );
        assert_eq!(later.next().unwrap().previous(), Some(later));
        assert_eq!((last.created(), last.sequence()), (Timestamp::from_ms(1_001), 2));
        assert_eq!(MessageKey::from_hex(&last.to_string()), Some(last));
        assert!(early.to_string() < later.to_string());
    }
}
