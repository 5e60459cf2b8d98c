//! The randomness of one call.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// What the randomness of a call begins with.
pub(super) type Seed = [u8; 48];

/// The randomness of a call. Nearly every call wants one key or none, which need no generator of their own.
pub(super) enum Randomness {
    Seed(Seed),
    /// The first key is given away.
    Rest([u8; 32]),
    More(Box<StdRng>),
}

impl Randomness {
    pub(super) fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        if let Self::Seed(seed) = self {
            let (first, rest) = seed.split_first_chunk::<16>().expect("it is longer");
            let (first, rest) = (*first, rest.try_into().expect("48 less 16 are 32"));
            *self = Self::Rest(rest);
            if let Some(first) = first.get(..N) {
                bytes.copy_from_slice(first);
                return bytes;
            }
        }
        if let Self::Rest(rest) = self {
            *self = Self::More(Box::new(StdRng::from_seed(*rest)));
        }
        if let Self::More(more) = self {
            more.fill_bytes(&mut bytes);
        }
        bytes
    }
}
