//! How people stand to channels, as a worker remembers it that writes alone: so a send asks no more than its token.
//!
//! What is remembered holds until something alters it, and whatever alters it comes by here: a statement on one of the
//! tables that a standing is read from, run by this worker. The channel of its lane is forgotten then; where a lane is
//! wider than a channel, everything is. The engine says whether anybody else wrote.
//!
//! Messages alter nothing but the channel's number and clock, which their claims know.

use std::collections::{BTreeMap, HashMap};

use carillon_model::Key;
use carillon_model::arn::{ChannelArn, IdentityArn};

use crate::claim::Claimed;
use crate::lane::Lane;
use crate::standing::{Look, Standing};

/// Standings that are remembered, and channels whose claims are. One more, and all is forgotten.
const LEN_MAX: usize = 1_024;

/// What is remembered.
#[derive(Default)]
pub(crate) struct Standings {
    of: HashMap<ChannelArn, HashMap<IdentityArn, Standing>>,
    count: usize,
    /// Of channels that were claimed since.
    latest: HashMap<Key, Claimed>,
    /// By what the engine says that others wrote.
    version: i64,
    /// Whether something of the present batch altered something.
    is_altered: bool,
    /// Whether nobody else writes at the same time.
    is_alone: bool,
}

impl Standings {
    /// A batch begins, where this is the version of what others wrote; nothing where they may write beside it.
    pub(crate) fn begin(&mut self, version: Option<i64>) {
        (self.is_altered, self.is_alone) = (false, version.is_some());
        if let Some(version) = version.filter(|version| *version != self.version) {
            self.forget();
            self.version = version;
        }
    }

    /// How somebody stands, if that is remembered.
    pub(crate) fn find(&self, Look { who, channel, .. }: &Look) -> Option<Standing> {
        let mut standing = self.of.get(channel)?.get(who)?.clone();
        let channel = standing.channel.as_mut()?;
        if let Some(claimed) = self.latest.get(&channel.key) {
            claimed.show(channel);
        }
        Some(standing)
    }

    /// Remembers what was read before anything of the batch was done.
    pub(crate) fn keep(&mut self, Look { who, channel, .. }: &Look, standing: &Standing) {
        if !self.is_alone || standing.channel.is_none() {
            return; // Where it comes into being, no statement names it.
        }
        if LEN_MAX <= self.count {
            self.forget();
        }
        let of = self.of.entry(channel.clone()).or_default();
        self.count += usize::from(of.insert(who.clone(), standing.clone()).is_none());
    }

    /// Forgets what a transaction of this lane may have altered.
    pub(crate) fn altered(&mut self, lane: Option<&Lane>) {
        self.is_altered = true;
        let Some(Lane::Channel(instance, id)) = lane else { return self.forget() };
        self.retain(|arn, _| arn.id() != id || arn.app_instance_key() != Some(*instance));
    }

    /// The batch stands, and claimed these channels.
    pub(crate) fn committed(&mut self, claimed: &BTreeMap<Key, Claimed>) {
        if self.is_altered {
            let is_claimed = |standing: &Standing| {
                standing.channel.as_ref().is_some_and(|channel| claimed.contains_key(&channel.key))
            };
            self.retain(|_, of| !of.values().any(is_claimed));
            self.latest.retain(|key, _| !claimed.contains_key(key));
            return;
        }
        if LEN_MAX <= self.latest.len() {
            self.forget();
        }
        if self.is_alone {
            self.latest.extend(claimed);
        }
    }

    /// Forgets everything.
    pub(crate) fn forget(&mut self) {
        self.of.clear();
        self.latest.clear();
        self.count = 0;
    }

    fn retain(&mut self, is_kept: impl Fn(&ChannelArn, &HashMap<IdentityArn, Standing>) -> bool) {
        self.of.retain(|arn, of| is_kept(arn, of));
        self.count = self.of.values().map(HashMap::len).sum();
    }
}
