//! Lanes: writes of one lane come one after the other, share commits, and may lock only the lane's own rows.
//!
//! Lanes are spread over a few workers. A batch of a worker is one transaction of the engine, so it holds what it
//! locked until all of it is done; because no row belongs to two lanes, no worker waits for what another one's batch
//! holds. What lanes share is changed at the end of the batch, in one order ([`crate::settlement`]).
//!
//! Of several nodes each has its workers. What a write looked at stays as it is until it acts there, too: a lane has a
//! row that its writes lock first, or, for a channel, the channel itself.

use std::hash::{DefaultHasher, Hash, Hasher};

use carillon_model::Key;
use carillon_model::arn::{AppInstanceArn, ChannelArn, Resource, ResourceArn};

use crate::Result;
use crate::engine::{Driver, values};

/// The name of a lane, which says which rows a write in it may lock.
///
/// | lane | its rows |
/// |---|---|
/// | `Account` | settings; who may sign; app instances that come into being, with their tags |
/// | `Instance` | users, bots, flows and channels that come into being; devices, streams; tags, but those of channels |
/// | `Channel` | the channel, its sub-channels, members, moderators, bans, messages, flow runs, events, tags |
/// | `Outgoing` | what is to leave the server, and has, of one shard |
/// | `Calls` | none: it locks flow runs of channels, alone, and gives way to them |
/// | `Job` | what is deleted, ended or too old, wherever it is: alone too, and giving way |
///
/// Shared by all, and therefore changed at the end of a batch: app instances, channel flows, users and bots that exist
/// already, request tokens, leases.
///
/// In a batch the lanes come in the order of their names, which is the same on every node and in every build: so two
/// nodes lock rows in the same order. First come those that have a row of their own: what they add may wait for
/// somebody who takes away a channel of the same name, and they must not hold a channel meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The account as a whole.
    Account,
    /// An app instance.
    Instance(Key),
    /// A channel: its app instance, and its id there, which is known before anything is read.
    Channel(Key, String),
    /// What leaves the server, of one shard.
    Outgoing(i64),
    /// The calls of channel flows, which find and lease what is due over all channels.
    Calls,
    /// A job.
    Job,
}

impl Lane {
    /// The lane of a channel. Of one that cannot exist, nothing will be written.
    pub fn channel(arn: &ChannelArn) -> Self {
        arn.app_instance_key().map_or(Self::Account, |key| Self::Channel(key, arn.id().to_owned()))
    }

    /// The lane of an app instance.
    pub fn instance(arn: &AppInstanceArn) -> Self {
        arn.key().map_or(Self::Account, Self::Instance)
    }

    /// The lane of whatever an ARN names.
    pub fn of(arn: &ResourceArn) -> Self {
        match arn.resource() {
            Resource::AppInstance(arn) => Self::instance(&arn),
            Resource::Identity(arn) => Self::instance(&arn.app_instance()),
            Resource::ChannelFlow(arn) => Self::instance(&arn.app_instance()),
            Resource::Channel(arn) => Self::channel(&arn),
        }
    }

    /// The row by which its writes wait for those on other nodes, so that what one looked at stays as it is until it
    /// acts. Whoever writes in a channel locks that instead; jobs and calls give way, and suppose nothing that they do
    /// not check as they act.
    pub(crate) fn row(&self) -> Option<Key> {
        match self {
            Self::Account => Some(Key([0; 16])),
            Self::Instance(key) => Some(*key),
            Self::Channel(..) | Self::Outgoing(_) | Self::Calls | Self::Job => None,
        }
    }

    /// Which of so many workers of this process runs its writes.
    pub(crate) fn worker(&self, count: usize) -> usize {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        usize::try_from(hasher.finish() % count as u64).unwrap_or_default()
    }
}

/// Waits until no other node writes in the lane of this row, and keeps them waiting until the batch is committed.
pub(crate) fn enter(driver: &mut dyn Driver, row: Key) -> Result<()> {
    let sql = "INSERT INTO lane (key) VALUES ($1) ON CONFLICT (key) DO UPDATE SET key = EXCLUDED.key";
    driver.lock(sql, values![row])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of two builds write in the same store, so their order must not be one that a compiler chooses.
    #[test]
    fn lanes_come_in_an_order_that_is_written_down() {
        let (one, two) = (Key([1; 16]), Key([2; 16]));
        let channel = |key, id: &str| Lane::Channel(key, id.to_owned());
        let sorted = [
            Lane::Account,
            Lane::Instance(one),
            Lane::Instance(two),
            channel(one, "a"),
            channel(one, "b"),
            channel(two, "a"),
        ];
        assert!(sorted.is_sorted());
        assert!(sorted.iter().filter_map(Lane::row).is_sorted());
        let guarded = sorted.iter().take_while(|lane| lane.row().is_some()).count();
        assert_eq!(guarded, sorted.iter().filter(|lane| lane.row().is_some()).count());
    }

    #[test]
    fn a_channel_has_a_lane_and_all_else_of_an_app_instance_has_one_together() {
        let lane = |rest: &str| {
            let instance =
                "arn:aws:chime:us-east-1:111122223333:app-instance/00000000-0000-4000-8000-000000000001";
            Lane::of(&format!("{instance}{rest}").parse().unwrap())
        };
        let Lane::Instance(key) = lane("") else { panic!("an app instance has a lane") };
        assert_eq!(lane("/user/ana"), Lane::Instance(key));
        assert_eq!(lane("/bot/belle"), Lane::Instance(key));
        assert_eq!(lane("/channel/lobby"), Lane::Channel(key, "lobby".to_owned()));
    }
}
