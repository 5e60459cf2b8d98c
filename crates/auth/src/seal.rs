//! Sealing: secrets at rest, and tokens that only this server can read, under keys that can be replaced.
//!
//! A [`KeyRing`] holds the master keys: the first seals, all open, so that a key is replaced by putting another
//! before it. Nothing is sealed with a master key itself. Each purpose has a [`Sealer`] whose keys are derived from
//! the master keys, so that what was sealed for one purpose never opens for another; within a purpose a context
//! (whose secret it is) binds it further. The module knows neither where keys come from nor where sealed things
//! are kept, and randomness is given to it.
//!
//! What is sealed looks like this, and the first two fields are authenticated with the context:
//!
//! ```text
//! version (1 byte) · id of the key (8) · nonce (12) · the secret, encrypted · tag (16)
//! ```

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use data_encoding::HEXLOWER_PERMISSIVE;
use zeroize::Zeroizing;

/// The most master keys of a ring. Opening is a look at the key's id, so that old ones cost nothing but memory.
pub const MASTER_KEYS_MAX: usize = 8;
/// How many bytes a nonce has.
pub const NONCE_BYTES: usize = NONCE_LEN;
/// How many bytes a master key has.
const KEY_BYTES: usize = 32;
/// How many bytes the id of a key has: enough that no two keys of a ring share one.
const KEY_ID_BYTES: usize = 8;
/// The first byte of everything sealed: another algorithm or another layout takes the next number.
const VERSION: u8 = 1;
/// Where the nonce begins, and the encrypted secret.
const NONCE_AT: usize = 1 + KEY_ID_BYTES;
const SECRET_AT: usize = NONCE_AT + NONCE_BYTES;
/// Keeps what is derived here apart from what anybody else might derive from the same key.
const SALT: &[u8] = b"carillon master key";

/// The master keys.
pub struct KeyRing(Vec<MasterKey>);

struct MasterKey {
    id: [u8; KEY_ID_BYTES],
    derived: Prk,
}

/// Seals and opens for one purpose.
pub struct Sealer(Vec<SealingKey>);

struct SealingKey {
    id: [u8; KEY_ID_BYTES],
    key: LessSafeKey,
}

impl KeyRing {
    /// Reads keys of 32 bytes each, in base64 or hexadecimal, with commas between them. The error says what is
    /// wrong and never shows a key.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut keys = Vec::new();
        for text in text.split(',') {
            if keys.len() == MASTER_KEYS_MAX {
                return Err("it has more than 8 keys");
            }
            let bytes = decode(text.trim()).ok_or("each key must be 32 bytes, in base64 or hexadecimal")?;
            let key = MasterKey::new(&bytes);
            if !keys.iter().any(|other: &MasterKey| other.id == key.id) {
                keys.push(key);
            }
        }
        Ok(Self(keys))
    }

    /// A ring of one key.
    pub fn of(key: &[u8; KEY_BYTES]) -> Self {
        Self(vec![MasterKey::new(key)])
    }

    /// How many keys it has, which is never none.
    #[expect(clippy::len_without_is_empty, reason = "a ring is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The ids of the keys, which stand in the clear in everything that they seal.
    pub fn ids(&self) -> impl Iterator<Item = [u8; KEY_ID_BYTES]> {
        self.0.iter().map(|key| key.id)
    }

    /// A secret of the first key, for this purpose. The purpose is a fixed text of the program, not a user's.
    pub fn secret<const N: usize>(&self, purpose: &str) -> Zeroizing<[u8; N]> {
        self.0[0].derive(&["secret for ", purpose])
    }

    /// What seals for this purpose. The purpose is a fixed text of the program, not a user's.
    pub fn sealer(&self, purpose: &str) -> Sealer {
        let sealing = |key: &MasterKey| {
            let bytes = key.derive::<KEY_BYTES>(&["seal for ", purpose]);
            let key_of_purpose = UnboundKey::new(&AES_256_GCM_SIV, &*bytes);
            let key_of_purpose = key_of_purpose.expect("the key has the algorithm's length");
            SealingKey { id: key.id, key: LessSafeKey::new(key_of_purpose) }
        };
        Sealer(self.0.iter().map(sealing).collect())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys)", self.0.len())
    }
}

impl MasterKey {
    fn new(key: &[u8; KEY_BYTES]) -> Self {
        let mut made = Self { id: [0; KEY_ID_BYTES], derived: Salt::new(HKDF_SHA256, SALT).extract(key) };
        made.id = *made.derive(&["id"]);
        made
    }

    fn derive<const N: usize>(&self, label: &[&str]) -> Zeroizing<[u8; N]> {
        let label: Vec<&[u8]> = label.iter().map(|part| part.as_bytes()).collect();
        let mut bytes = Zeroizing::new([0; N]);
        let expanded = self.derived.expand(&label, Length(N));
        let filled = expanded.and_then(|expanded| expanded.fill(&mut *bytes));
        filled.expect("far fewer bytes than HKDF can give");
        bytes
    }
}

/// How many bytes to derive.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Sealer {
    /// Seals with the first key. The nonce is random, and used for nothing else; the algorithm forgives one that
    /// comes twice.
    pub fn seal(&self, nonce: [u8; NONCE_BYTES], context: &[u8], secret: &[u8]) -> Vec<u8> {
        let first = self.0.first().expect("a ring has a key");
        let mut sealed = Vec::with_capacity(SECRET_AT + secret.len() + AES_256_GCM_SIV.tag_len());
        sealed.push(VERSION);
        sealed.extend(first.id);
        sealed.extend(nonce);
        sealed.extend(secret);
        let bound = bound(first.id, context);
        let (_, text) = sealed.split_at_mut(SECRET_AT);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = first.key.seal_in_place_separate_tag(nonce, Aad::from(bound), text);
        sealed.extend(tag.expect("a secret is short").as_ref());
        sealed
    }

    /// Opens what any key of the ring has sealed, for the same purpose and in the same context.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let id = key_id(sealed)?;
        let key = self.0.iter().find(|key| key.id == id)?;
        let (head, text) = sealed.split_at_checked(SECRET_AT)?;
        let nonce = Nonce::try_assume_unique_for_key(&head[NONCE_AT..]).ok()?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = key.key.open_in_place(nonce, Aad::from(bound(id, context)), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }

    /// Whether it names the first key, so that there is no reason to seal it again. That it can be opened is not
    /// said with it.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        let id = key_id(sealed);
        id.is_some() && id == self.0.first().map(|key| key.id)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({} keys)", self.0.len())
    }
}

/// The key that something was sealed with.
fn key_id(sealed: &[u8]) -> Option<[u8; KEY_ID_BYTES]> {
    match sealed.split_first()? {
        (&VERSION, rest) => rest.first_chunk().copied(),
        _ => None,
    }
}

/// What is authenticated beside the secret.
fn bound(id: [u8; KEY_ID_BYTES], context: &[u8]) -> Vec<u8> {
    [&[VERSION], id.as_slice(), context].concat()
}

/// Reads a key: 64 characters are hexadecimal, since base64 has 43 or 44.
fn decode(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let bytes = Zeroizing::new(if text.len() == 2 * KEY_BYTES {
        HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?
    } else {
        unbase64(text)?
    });
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}

/// Base64 as people have it: of either alphabet, with padding or without.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, config).decode(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE: [u8; NONCE_BYTES] = [5; NONCE_BYTES];

    fn sealer(keys: &[u8], purpose: &str) -> Sealer {
        let text: Vec<String> = keys.iter().map(|key| format!("{key:02x}").repeat(32)).collect();
        KeyRing::parse(&text.join(",")).unwrap().sealer(purpose)
    }

    fn opened(keys: &Sealer, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        keys.open(context, sealed).map(|secret| secret.to_vec())
    }

    #[test]
    fn it_opens_for_its_purpose_and_in_its_context_only() {
        let keys = sealer(&[1], "access keys");
        let sealed = keys.seal(NONCE, b"AKIA1", b"a secret");
        assert_eq!(opened(&keys, b"AKIA1", &sealed).as_deref(), Some(b"a secret".as_slice()));
        assert_eq!(opened(&keys, b"AKIA2", &sealed), None);
        assert_eq!(opened(&sealer(&[1], "page tokens"), b"AKIA1", &sealed), None);
        assert_eq!(opened(&sealer(&[2], "access keys"), b"AKIA1", &sealed), None);
        assert!(!sealed.windows(8).any(|window| window == b"a secret"));
        assert_ne!(sealed, keys.seal([6; NONCE_BYTES], b"AKIA1", b"a secret"));
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = sealer(&[1], "access keys");
        let both = sealer(&[2, 1], "access keys");
        let new = sealer(&[2], "access keys");
        let before = old.seal(NONCE, b"", b"before");
        assert_eq!(opened(&both, b"", &before).as_deref(), Some(b"before".as_slice()));
        assert!(old.is_current(&before) && !both.is_current(&before));
        let after = both.seal(NONCE, b"", b"after");
        assert_eq!(opened(&new, b"", &after).as_deref(), Some(b"after".as_slice()));
        assert_eq!(opened(&old, b"", &after), None);
        assert!(both.is_current(&after) && !both.is_current(b""));
    }

    #[test]
    fn what_was_altered_or_cut_does_not_open() {
        let keys = sealer(&[1], "access keys");
        let sealed = keys.seal(NONCE, b"context", b"secret");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(opened(&keys, b"context", &altered), None, "byte {at}");
            assert_eq!(opened(&keys, b"context", &sealed[..at]), None, "length {at}");
        }
        assert_eq!(opened(&keys, b"context", &[sealed.as_slice(), b"x"].concat()), None);
    }

    #[test]
    fn the_layout_stays_as_it_was_released() {
        // Made once by this code; what stores hold must open for ever.
        let sealed = sealer(&[7], "access keys").seal([9; NONCE_BYTES], b"AKIA", b"secret");
        let released =
            "011e07d70346b54b7f090909090909090909090909f623008d15ef3b239127d9c3ba0161f96e400ff351b8";
        assert_eq!(Some(sealed), HEXLOWER_PERMISSIVE.decode(released.as_bytes()).ok());
    }

    #[test]
    fn a_key_is_read_in_every_usual_form() {
        let hex = "fb".repeat(32);
        let base64 = "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=";
        let url_safe = base64.replace('+', "-").replace('/', "_");
        let (spaced, bare) = (format!(" {base64}\n"), base64.trim_end_matches('='));
        for text in [base64, &url_safe, &spaced, bare, &hex, &hex.to_uppercase()] {
            assert_eq!(decode(text.trim()).as_deref(), Some(&[0xfb; KEY_BYTES]), "{text}");
            assert!(KeyRing::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let key = |byte: u8| format!("{byte:02x}").repeat(32);
        let nine: Vec<String> = (0..9).map(key).collect();
        let short = "ab".repeat(31);
        for text in ["", ",", "password", &short, &"zz".repeat(32), &format!("{},", key(1)), &nine.join(",")]
        {
            let reason = KeyRing::parse(text).err().unwrap();
            assert!(text.len() < 3 || !reason.contains(text), "{text}");
        }
        assert_eq!(KeyRing::parse(&format!("{0},{0}", key(1))).unwrap().0.len(), 1);
        assert_eq!(format!("{:?}", KeyRing::of(&[3; 32])), "KeyRing(1 keys)");
    }

    proptest! {
        #[test]
        fn every_secret_comes_back(nonce: [u8; NONCE_BYTES], context: Vec<u8>, secret: Vec<u8>) {
            let keys = sealer(&[1, 2], "anything");
            let sealed = keys.seal(nonce, &context, &secret);
            prop_assert_eq!(opened(&keys, &context, &sealed), Some(secret));
        }

        #[test]
        fn nothing_foreign_opens(context: Vec<u8>, sealed: Vec<u8>) {
            prop_assert_eq!(opened(&sealer(&[1], "anything"), &context, &sealed), None);
        }
    }
}
