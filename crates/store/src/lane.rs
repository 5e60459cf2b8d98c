//! Lanes: writes of one lane come one after the other, share commits, and may lock only the lane's own rows.
//!
//! Lanes are spread over a few workers. A batch of a worker is one transaction of the engine, so it holds what it
//! locked until all of it is done; because no row belongs to two lanes, no worker waits for what another one's batch
//! holds. What lanes share is changed at the end of the batch, in one order ([`crate::settlement`]).

use std::hash::{DefaultHasher, Hash, Hasher};

use carillon_model::Key;
use carillon_model::arn::{AppInstanceArn, ChannelArn, Resource, ResourceArn};

/// The name of a lane, which says which rows a write in it may lock.
///
/// | lane | its rows |
/// |---|---|
/// | `Account` | settings; who may sign; app instances that come into being, with their tags |
/// | `Instance` | users, bots, flows and channels that come into being; devices, streams; tags, but those of channels |
/// | `Channel` | the channel, its sub-channels, members, moderators, bans, messages, flow runs, events, tags |
/// | `Calls` | none: it locks flow runs of channels, alone, and gives way to them |
/// | `Job` | what is deleted, ended or too old, wherever it is: alone too, and giving way |
///
/// Shared by all, and therefore changed at the end of a batch: app instances, channel flows, users and bots that exist
/// already, request tokens, leases.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The account as a whole.
    Account,
    /// An app instance.
    Instance(Key),
    /// A channel: its app instance, and its id there, which is known before anything is read.
    Channel(Key, String),
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

    /// Where its writes stand among those of other lanes in one batch: on every node in the same place, so that two
    /// nodes lock channels in the same order.
    pub(crate) fn place(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
