//! What a node committed since its last beat, for the others to compare with what they were told of.

use std::collections::{HashMap, HashSet};

use carillon_model::Key;
use carillon_model::event::Event;
use serde::{Deserialize, Serialize};

use crate::news::Roll;
use crate::places::named;

/// What one beat names at most. Of more, it says that there is more, and others look through all of it.
const BEAT_LEN_MAX: usize = 4_096;
/// For how many beats a commit is named of which nobody knows whether it stands: until then it does, or never will.
const DOUBTED_FOR: u8 = 10;

/// What a beat says.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    /// The latest number of each channel.
    pub(crate) channels: Vec<(Key, i64)>,
    /// Users whom an event named: who, in which channel, with which number.
    pub(crate) named: Vec<(Key, Key, i64)>,
    /// Channels in which a commit may stand or not, and those whom it names.
    pub(crate) doubted: Vec<(Key, Vec<Key>)>,
    /// Users whose sessions changed.
    pub(crate) rolls: Vec<Roll>,
    /// There is more than it names.
    pub(crate) is_cut: bool,
    /// The node ends.
    pub(crate) is_last: bool,
}

/// What the next beat says.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    channels: HashMap<Key, i64>,
    named: Vec<(Key, Key, i64)>,
    doubted: Vec<(u8, Key, Vec<Key>)>,
    /// Whose sessions changed; of some, other nodes are asked for theirs.
    rolls: HashMap<Key, bool>,
    is_cut: bool,
}

impl Journal {
    /// Notes an event that this node committed, perhaps.
    pub(crate) fn note(&mut self, event: &Event, is_doubtful: bool) {
        if is_doubtful {
            self.doubted.push((DOUBTED_FOR, event.channel, named(event).collect()));
            return;
        }
        if self.is_cut {
            return;
        }
        let number = self.channels.entry(event.channel).or_default();
        *number = event.sequence.max(*number);
        let users: HashSet<Key> = named(event).collect();
        self.named.extend(users.into_iter().map(|user| (user, event.channel, event.sequence)));
        if BEAT_LEN_MAX < self.channels.len() + self.named.len() {
            (self.channels, self.named, self.is_cut) = (HashMap::new(), Vec::new(), true);
        }
    }

    /// Notes that a user's sessions changed.
    pub(crate) fn note_roll(&mut self, user: Key, asks: bool) {
        *self.rolls.entry(user).or_default() |= asks;
    }

    /// All that the next beat says.
    pub(crate) fn take(&mut self, roll: impl Fn(Key, bool) -> Roll) -> Body {
        let now: Vec<Key> = self.rolls.keys().copied().take(BEAT_LEN_MAX).collect();
        let rolls = now.into_iter().filter_map(|user| Some(roll(user, self.rolls.remove(&user)?)));
        let body = Body {
            rolls: rolls.collect(),
            channels: std::mem::take(&mut self.channels).into_iter().collect(),
            named: std::mem::take(&mut self.named),
            doubted: self.doubted.iter().map(|(_, channel, users)| (*channel, users.clone())).collect(),
            is_cut: std::mem::take(&mut self.is_cut),
            is_last: false,
        };
        self.doubted.retain_mut(|(left, ..)| {
            *left -= 1;
            0 < *left
        });
        body
    }

    /// A beat could not be written: the next one says that there is more than it names.
    pub(crate) fn put_back(&mut self, body: Body) {
        self.is_cut = true;
        (self.channels, self.named) = (HashMap::new(), Vec::new());
        for roll in body.rolls {
            self.note_roll(roll.user, roll.asks);
        }
    }
}
