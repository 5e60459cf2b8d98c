//! The randomness of one call, and what is made of it.

use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Letters of ids, as AWS writes them.
const ID_LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Letters of secrets; no shell needs quotes for them.
const SECRET_LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// The random letters of an id: 80 bits.
const ID_LENGTH: usize = 16;
/// The letters of a secret: more than 230 bits.
const SECRET_LENGTH: usize = 40;

/// A generator of its own for each call, from a seed that is given.
pub(crate) struct Random(Mutex<StdRng>);

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(Mutex::new(StdRng::from_seed(seed)))
    }

    /// Random bytes.
    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }

    /// A new id of this kind, as `AKIA`.
    pub(crate) fn id(&self, kind: &str) -> String {
        kind.to_owned() + &self.letters(ID_LETTERS, ID_LENGTH)
    }

    /// A new secret access key.
    pub(crate) fn secret(&self) -> String {
        self.letters(SECRET_LETTERS, SECRET_LENGTH)
    }

    fn letters(&self, alphabet: &[u8], length: usize) -> String {
        let mut text = String::with_capacity(length);
        // A byte past the last whole alphabet is drawn again, or the first letters would come more often.
        let fair = 256 - 256 % alphabet.len();
        while text.len() < length {
            let [byte] = self.bytes();
            if usize::from(byte) < fair {
                text.push(char::from(alphabet[usize::from(byte) % alphabet.len()]));
            }
        }
        text
    }
}
