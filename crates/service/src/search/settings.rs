//! Where messages can be searched, and how far they are taken in.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use carillon_auth::KeyRing;
use carillon_model::Key;
use carillon_store::index::Walk;

use super::terms::Terms;

/// What the secret of terms is derived for.
const PURPOSE: &str = "terms of searches";

/// In which app instances messages can be searched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Searched {
    /// In none.
    #[default]
    None,
    /// In all.
    All,
    /// In these.
    These(BTreeSet<Key>),
}

/// What searches need to know.
pub struct Search {
    searched: Searched,
    pub(crate) terms: Terms,
    /// How far messages are taken in.
    pub progress: Progress,
}

impl Search {
    /// Searches there, with terms under the first of these keys.
    pub(crate) fn new(searched: Searched, keys: &KeyRing) -> Self {
        Self { searched, terms: Terms::new(&keys.secret(PURPOSE)), progress: Progress::default() }
    }

    /// Whether messages of this app instance can be searched.
    pub(crate) fn is_on(&self, instance: Key) -> bool {
        match &self.searched {
            Searched::None => false,
            Searched::All => true,
            Searched::These(some) => some.contains(&instance),
        }
    }
}

/// How far messages are taken in, as this node saw it last.
#[derive(Debug, Default)]
pub struct Progress {
    taken: AtomicU64,
    walked: AtomicI64,
    channels: AtomicI64,
}

impl Progress {
    pub(crate) fn take(&self, messages: usize) {
        self.taken.fetch_add(messages as u64, Ordering::Relaxed);
    }

    pub(crate) fn note(&self, walks: &[Walk]) {
        let (mut walked, mut channels) = (0, 0);
        for walk in walks {
            channels += walk.channels;
            let is_through = walk.ended_at.is_some() && walk.after.is_empty();
            walked += if is_through { walk.channels } else { walk.walked.min(walk.channels) };
        }
        self.walked.store(walked, Ordering::Relaxed);
        self.channels.store(channels, Ordering::Relaxed);
    }

    /// Messages that this node took in.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Over how many channels the walk that is under way has come, and how many there are.
    pub fn walked(&self) -> (i64, i64) {
        (self.walked.load(Ordering::Relaxed), self.channels.load(Ordering::Relaxed))
    }
}
