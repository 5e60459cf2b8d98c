//! Terms: what the index knows a message by.
//!
//! A term is a word, a letter, two letters in a row, or who sent the message, as 32 bits of a keyed hash. The key is
//! derived from the master key, and the place is part of what is hashed: who has the index alone can neither read
//! words from it nor tell that two channels share one. Two terms may have one hash; whoever finds a message by it looks
//! at the message.

use std::collections::BTreeSet;
use std::hash::Hasher as _;

use carillon_model::Key;
use siphasher::sip::SipHasher24;

use super::units::{FOLDING, Units};

/// Terms that the index keeps of a message. One that has more is looked at by every search of its place: content of
/// 4 KB never has so many.
pub(crate) const TERMS_MAX: usize = 4_096;

const WORD: u8 = 0;
const LETTERS: u8 = 1;
const SENDER: u8 = 2;

/// Makes terms.
pub(crate) struct Terms {
    key: [u8; 16],
    version: i64,
}

/// Those of one place.
#[derive(Clone, Copy)]
pub(crate) struct Of(SipHasher24);

impl Terms {
    /// With a secret of 16 bytes for the hash, and 4 that tell one key from another.
    pub(crate) fn new(secret: &[u8; 20]) -> Self {
        let (key, rest) = secret.split_first_chunk::<16>().expect("20 bytes have 16");
        let told = u32::from_be_bytes(rest.try_into().expect("4 of 20 bytes are left"));
        Self { key: *key, version: i64::from(told) << 16 | i64::from(FOLDING) }
    }

    /// What terms of another key, or of another folding, do not have.
    pub(crate) fn version(&self) -> i64 {
        self.version
    }

    /// Those of a place.
    pub(crate) fn of(&self, place: Key) -> Of {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&place.0);
        Of(hasher)
    }
}

impl Of {
    fn term(self, kind: u8, texts: [&str; 2]) -> u32 {
        let mut hasher = self.0;
        hasher.write_u8(kind);
        for text in texts {
            hasher.write(text.as_bytes());
            // No text has this byte, so nothing runs together.
            hasher.write_u8(0xff);
        }
        u32::try_from(hasher.finish() >> 32).expect("32 of 64 bits")
    }

    /// That somebody sent it.
    pub(crate) fn sender(self, id: &str) -> u32 {
        self.term(SENDER, [id, ""])
    }

    /// All of a message; nothing where they are too many.
    pub(crate) fn all(self, units: &Units, sender: &str) -> Option<BTreeSet<u32>> {
        let mut terms = BTreeSet::from([self.sender(sender)]);
        let mut before: Option<&str> = None;
        for at in 0..units.len() {
            let (text, is_letter) = units.get(at);
            terms.insert(self.term(if is_letter { LETTERS } else { WORD }, [text, ""]));
            if let Some(before) = before.filter(|_| is_letter) {
                terms.insert(self.term(LETTERS, [before, text]));
            }
            before = is_letter.then_some(text);
            if TERMS_MAX < terms.len() {
                return None;
            }
        }
        Some(terms)
    }

    /// Those that a message must have in which these units stand in a row, with how much each leaves out.
    pub(crate) fn sought(self, units: &Units) -> Vec<(u32, usize)> {
        let mut terms = Vec::new();
        for at in 0..units.len() {
            let (text, is_letter) = units.get(at);
            let next = (at + 1 < units.len()).then(|| units.get(at + 1)).filter(|next| next.1);
            let has_before = 0 < at && units.get(at - 1).1;
            match next {
                Some((next, _)) if is_letter => terms.push((self.term(LETTERS, [text, next]), 4)),
                _ if is_letter && has_before => {}
                _ if is_letter => terms.push((self.term(LETTERS, [text, ""]), 1)),
                // Long words are rare ones.
                _ => terms.push((self.term(WORD, [text, ""]), text.chars().count())),
            }
        }
        terms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(place: u8) -> Of {
        Terms::new(&[7; 20]).of(Key([place; 16]))
    }

    #[test]
    fn whoever_has_the_units_has_the_terms() {
        for (content, sought) in [
            ("Meet me at the station", "the station"),
            ("東京都へ", "東京"),
            ("東京都へ", "都"),
            ("iPhone手机", "iphone手机"),
            ("a 東 b", "東"),
            ("ไม่ดี", "ม่ด"),
        ] {
            let all = of(1).all(&Units::of(content), "ana").unwrap();
            let terms = of(1).sought(&Units::of(sought));
            assert!(!terms.is_empty() && terms.iter().all(|(term, _)| all.contains(term)), "{content}");
        }
        assert!(of(1).all(&Units::of(""), "ana").unwrap().contains(&of(1).sender("ana")));
    }

    #[test]
    fn a_place_has_terms_of_its_own() {
        assert_ne!(of(1).sought(&Units::of("lunch")), of(2).sought(&Units::of("lunch")));
        assert_ne!(of(1).sender("ana"), of(1).sought(&Units::of("ana"))[0].0);
    }

    #[test]
    fn too_many_are_none() {
        let words = |count: usize| (0..count).map(|word| word.to_string()).collect::<Vec<_>>().join(" ");
        assert!(of(1).all(&Units::of(&words(TERMS_MAX - 1)), "ana").is_some());
        assert!(of(1).all(&Units::of(&words(TERMS_MAX)), "ana").is_none());
    }
}
