//! `[limits]`: how much of each thing there may be, and how often each may be asked for.
//!
//! `preset` says where to start; every other key sets one value over it. The keys of rates are those that a
//! refusal names. A rate of 0 is no limit. Nothing is understood here but numbers; what they hold to is in the
//! service's `quotas` and `rates`.

use carillon_model::message::{BYTES_CEILING, METADATA_BYTES_MAX, STANDARD_CONTENT_BYTES_MAX};
use carillon_service::front::rates::Rates;
use carillon_service::quotas::{ELASTIC_MEMBERS_MAX, Quotas};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The most processors of a channel flow that the interface allows.
const PROCESSORS_MAX: i64 = 3;

/// The table of limits, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Where the limits start: aws, generous or off [default: generous; of dev: off].
    ///
    /// aws has the published quotas and rates, generous the published quotas and rates some 500 times as high, off
    /// the published quotas and no rates. Single values stand in carillon.toml, in its table of limits.
    #[arg(long = "limits-preset", env = "CARILLON_LIMITS_PRESET", value_name = "PRESET")]
    pub(crate) preset: Option<String>,
    /// App instances of the account [default: 100].
    #[arg(skip)]
    pub(crate) app_instances_max: Option<u32>,
    /// Users of an app instance [default: 100000].
    #[arg(skip)]
    pub(crate) users_max: Option<u32>,
    /// Administrators of an app instance [default: 100].
    #[arg(skip)]
    pub(crate) admins_max: Option<u32>,
    /// Bots of an app instance [default: 100].
    #[arg(skip)]
    pub(crate) bots_max: Option<u32>,
    /// Endpoints, each a device, of a user [default: 10].
    #[arg(skip)]
    pub(crate) endpoints_max: Option<u32>,
    /// Channels of an app instance [default: 10000000].
    #[arg(skip)]
    pub(crate) channels_max: Option<u32>,
    /// Elastic channels of an app instance [default: 1].
    #[arg(skip)]
    pub(crate) elastic_channels_max: Option<u32>,
    /// Moderators of a channel [default: 1000].
    #[arg(skip)]
    pub(crate) moderators_max: Option<u32>,
    /// Bans of a channel [default: 10000].
    #[arg(skip)]
    pub(crate) bans_max: Option<u32>,
    /// Channel flows of an app instance [default: 100].
    #[arg(skip)]
    pub(crate) channel_flows_max: Option<u32>,
    /// Processors of a channel flow, from 1 to 3 [default: 1].
    #[arg(skip)]
    pub(crate) processors_max: Option<u32>,
    /// Memberships of a channel that is not elastic [default: 10000].
    #[arg(skip)]
    pub(crate) channel_memberships_max: Option<u32>,
    /// Memberships of a user [default: 20000].
    #[arg(skip)]
    pub(crate) user_memberships_max: Option<u32>,
    /// Sub-channels of an elastic channel [default: 100].
    #[arg(skip)]
    pub(crate) sub_channels_max: Option<u32>,
    /// Memberships of a sub-channel; times the sub-channels, at most 1000000 [default: 1000].
    #[arg(skip)]
    pub(crate) sub_channel_memberships_max: Option<u32>,
    /// Bytes of the content of a STANDARD message, from 4096 to 65536 [default: 4096].
    #[arg(skip)]
    pub(crate) content_bytes_max: Option<u32>,
    /// Bytes of the metadata of a message, from 1024 to 65536 [default: 1024].
    #[arg(skip)]
    pub(crate) metadata_bytes_max: Option<u32>,
    /// Open sockets of a user at the same time [default: 10].
    #[arg(skip)]
    pub(crate) connections_per_user_max: Option<u32>,
    /// Seconds by which the clock of a device may be slow when it opens a socket [default: 300].
    #[arg(skip)]
    pub(crate) connect_late_seconds: Option<u32>,
    /// Frames that the client of a socket may send in a second, pings among them [default: 50].
    #[arg(skip)]
    pub(crate) connection_frames_per_second_max: Option<u32>,
    /// Channels that a WebSocket is told of when it connects with prefetch [default: 50].
    #[arg(skip)]
    pub(crate) prefetch_channels_max: Option<u32>,
    /// Messages of each channel that it is told of then [default: 20].
    #[arg(skip)]
    pub(crate) prefetch_messages_max: Option<u32>,
    /// Memberships of each channel that it is told of then [default: 30].
    #[arg(skip)]
    pub(crate) prefetch_memberships_max: Option<u32>,
    /// Whether users add themselves to public channels that are RESTRICTED, too [default: true].
    #[arg(skip)]
    pub(crate) public_restricted_self_join: Option<bool>,
    /// Every call with one bearer, together [aws: 10, generous: 5000].
    #[arg(skip)]
    pub(crate) bearer_calls_per_second: Option<u32>,
    /// Every call of the identity interface, together, for the account [aws: 50, generous: 25000].
    #[arg(skip)]
    pub(crate) identity_calls_per_second: Option<u32>,
    /// Creating app instances, for the account; updating and deleting one [aws: 5, generous: 2500].
    #[arg(skip)]
    pub(crate) app_instance_changes_per_second: Option<u32>,
    /// Describing an app instance [aws: 20, generous: 10000].
    #[arg(skip)]
    pub(crate) app_instance_descriptions_per_second: Option<u32>,
    /// Listing app instances, for the account [aws: 10, generous: 5000].
    #[arg(skip)]
    pub(crate) app_instance_lists_per_second: Option<u32>,
    /// Creating, updating and deleting users, for an app instance [aws: 10, generous: 5000].
    #[arg(skip)]
    pub(crate) user_changes_per_second: Option<u32>,
    /// Describing a user [aws: 20, generous: 10000].
    #[arg(skip)]
    pub(crate) user_descriptions_per_second: Option<u32>,
    /// Listing the users of an app instance [aws: 10, generous: 5000].
    #[arg(skip)]
    pub(crate) user_lists_per_second: Option<u32>,
    /// Administrators, bots, endpoints, retention, expiration and tags, for an app instance [aws: 10, generous: 5000].
    #[arg(skip)]
    pub(crate) other_identity_calls_per_second: Option<u32>,
    /// Creating, updating and deleting channels, for an app instance [aws: 15, generous: 7500].
    #[arg(skip)]
    pub(crate) channel_changes_per_second: Option<u32>,
    /// Listing the channels of an app instance [aws: 10, generous: 5000].
    #[arg(skip)]
    pub(crate) channel_lists_per_second: Option<u32>,
    /// Describing a channel, or one member, moderator or ban of it [aws: 20, generous: 10000].
    #[arg(skip)]
    pub(crate) channel_descriptions_per_second: Option<u32>,
    /// Creating and deleting memberships, bans and moderators of a channel [aws: 15, generous: 7500].
    #[arg(skip)]
    pub(crate) membership_changes_per_second: Option<u32>,
    /// The same, of an elastic channel [aws: 30, generous: 15000].
    #[arg(skip)]
    pub(crate) elastic_membership_changes_per_second: Option<u32>,
    /// Adding members to a channel in batches [aws: 1, generous: 500].
    #[arg(skip)]
    pub(crate) membership_batches_per_second: Option<u32>,
    /// Listing the members, bans or moderators of a channel [aws: 15, generous: 7500].
    #[arg(skip)]
    pub(crate) membership_lists_per_second: Option<u32>,
    /// Sending, updating, redacting and deleting messages of a channel or sub-channel, and callbacks, together
    /// [aws: 30, generous: 15000].
    #[arg(skip)]
    pub(crate) messages_per_second: Option<u32>,
    /// Listing the messages of a channel [aws: 30, generous: 15000].
    #[arg(skip)]
    pub(crate) message_lists_per_second: Option<u32>,
    /// Getting messages of a channel [aws: 30, generous: 15000].
    #[arg(skip)]
    pub(crate) message_reads_per_second: Option<u32>,
    /// Asking for the status of messages of a channel [aws: 30, generous: 15000].
    #[arg(skip)]
    pub(crate) message_statuses_per_second: Option<u32>,
    /// Listing the channels of a user, or those that it moderates [aws: 15, generous: 7500].
    #[arg(skip)]
    pub(crate) user_channel_lists_per_second: Option<u32>,
    /// Listing the sub-channels of an elastic channel [aws: 15, generous: 7500].
    #[arg(skip)]
    pub(crate) sub_channel_lists_per_second: Option<u32>,
    /// Flows, streaming, search, preferences, read markers and expiration, each for what it concerns
    /// [aws: 10, generous: 5000].
    #[arg(skip)]
    pub(crate) other_messaging_calls_per_second: Option<u32>,
    /// Connections that a user opens [aws: 1, generous: 100].
    #[arg(skip)]
    pub(crate) connections_per_second: Option<u32>,
    /// Asking where sockets are opened, for a caller [aws: 10, generous: 5000].
    #[arg(skip)]
    pub(crate) session_endpoints_per_second: Option<u32>,
    /// Actions of IAM, each, for the account [aws: 10, generous: 5000].
    #[arg(skip)]
    pub(crate) iam_calls_per_second: Option<u32>,
    /// Actions of STS, together, for a caller [aws: 600, generous: 60000].
    #[arg(skip)]
    pub(crate) sts_calls_per_second: Option<u32>,
    /// Asking why somebody may or may not do something, for a caller [aws: 10, generous: 500].
    #[arg(skip)]
    pub(crate) explanations_per_second: Option<u32>,
    /// Exchanges of credentials, for a user [aws: 5, generous: 500].
    #[arg(skip)]
    pub(crate) exchanges_per_second: Option<u32>,
    /// Calls that policy refuses, for the caller whom it refuses [aws: 50, generous: 5000].
    #[arg(skip)]
    pub(crate) refused_calls_per_second: Option<u32>,
}

/// Where the limits start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preset {
    /// As published.
    Aws,
    /// What protects the server.
    Generous,
    /// No rates.
    Off,
}

impl Preset {
    fn parse(text: &str) -> Result<Self> {
        match text {
            "aws" => Ok(Self::Aws),
            "generous" => Ok(Self::Generous),
            "off" => Ok(Self::Off),
            _ => {
                Err(Error::usage(format!("limits.preset is {text}, which is none of aws, generous and off")))
            }
        }
    }
}

impl Limits {
    /// What is written here, and for the rest what is written there.
    pub(crate) fn or(self, there: Self) -> Self {
        // The command line and the environment know the preset alone.
        Self { preset: self.preset.or(there.preset), ..there }
    }

    /// What it means, where nothing is written of a preset.
    pub(crate) fn read(&self, default: Preset) -> Result<(Quotas, Rates)> {
        let preset = self.preset.as_deref().map_or(Ok(default), Preset::parse)?;
        let quotas = self.quotas(Quotas::default());
        if !(1..=PROCESSORS_MAX).contains(&quotas.processors_max) {
            let processors = quotas.processors_max;
            return Err(Error::usage(format!(
                "limits.processors_max is {processors}, which is not 1, 2 or 3"
            )));
        }
        for (key, bytes, least) in [
            ("content_bytes_max", quotas.content_bytes_max, STANDARD_CONTENT_BYTES_MAX),
            ("metadata_bytes_max", quotas.metadata_bytes_max, METADATA_BYTES_MAX),
        ] {
            if !(least..=BYTES_CEILING).contains(&bytes) {
                let range = format!("from {least} to {BYTES_CEILING}");
                return Err(Error::usage(format!("limits.{key} is {bytes}, which is not {range}")));
            }
        }
        if ELASTIC_MEMBERS_MAX < quotas.sub_channels_max * quotas.sub_channel_memberships_max {
            return Err(Error::usage(format!(
                "limits.sub_channels_max times limits.sub_channel_memberships_max is over {ELASTIC_MEMBERS_MAX}"
            )));
        }
        let rates = self.rates(match preset {
            Preset::Aws => Rates::PUBLISHED,
            Preset::Generous => Rates::GENEROUS,
            Preset::Off => Rates::OFF,
        });
        Ok((quotas, rates))
    }

    fn quotas(&self, preset: Quotas) -> Quotas {
        let or = |written: Option<u32>, preset: i64| written.map_or(preset, i64::from);
        let bytes = |written: Option<u32>, preset: usize| {
            written.map_or(preset, |bytes| bytes.try_into().unwrap_or(preset))
        };
        Quotas {
            app_instances_max: or(self.app_instances_max, preset.app_instances_max),
            users_max: or(self.users_max, preset.users_max),
            admins_max: or(self.admins_max, preset.admins_max),
            bots_max: or(self.bots_max, preset.bots_max),
            endpoints_max: or(self.endpoints_max, preset.endpoints_max),
            channels_max: or(self.channels_max, preset.channels_max),
            elastic_channels_max: or(self.elastic_channels_max, preset.elastic_channels_max),
            moderators_max: or(self.moderators_max, preset.moderators_max),
            bans_max: or(self.bans_max, preset.bans_max),
            channel_flows_max: or(self.channel_flows_max, preset.channel_flows_max),
            processors_max: or(self.processors_max, preset.processors_max),
            channel_memberships_max: or(self.channel_memberships_max, preset.channel_memberships_max),
            user_memberships_max: or(self.user_memberships_max, preset.user_memberships_max),
            sub_channels_max: or(self.sub_channels_max, preset.sub_channels_max),
            sub_channel_memberships_max: or(
                self.sub_channel_memberships_max,
                preset.sub_channel_memberships_max,
            ),
            content_bytes_max: bytes(self.content_bytes_max, preset.content_bytes_max),
            metadata_bytes_max: bytes(self.metadata_bytes_max, preset.metadata_bytes_max),
            connections_per_user_max: or(self.connections_per_user_max, preset.connections_per_user_max),
            connect_late_seconds: or(self.connect_late_seconds, preset.connect_late_seconds),
            connection_frames_per_second_max: or(
                self.connection_frames_per_second_max,
                preset.connection_frames_per_second_max,
            ),
            prefetch_channels_max: or(self.prefetch_channels_max, preset.prefetch_channels_max),
            prefetch_messages_max: or(self.prefetch_messages_max, preset.prefetch_messages_max),
            prefetch_memberships_max: or(self.prefetch_memberships_max, preset.prefetch_memberships_max),
            public_restricted_self_join: self
                .public_restricted_self_join
                .unwrap_or(preset.public_restricted_self_join),
        }
    }

    #[expect(clippy::too_many_lines, reason = "a line or more for each rate, and nothing else")]
    fn rates(&self, preset: Rates) -> Rates {
        let or = |written: Option<u32>, preset: u32| written.unwrap_or(preset);
        Rates {
            bearer_calls_per_second: or(self.bearer_calls_per_second, preset.bearer_calls_per_second),
            identity_calls_per_second: or(self.identity_calls_per_second, preset.identity_calls_per_second),
            app_instance_changes_per_second: or(
                self.app_instance_changes_per_second,
                preset.app_instance_changes_per_second,
            ),
            app_instance_descriptions_per_second: or(
                self.app_instance_descriptions_per_second,
                preset.app_instance_descriptions_per_second,
            ),
            app_instance_lists_per_second: or(
                self.app_instance_lists_per_second,
                preset.app_instance_lists_per_second,
            ),
            user_changes_per_second: or(self.user_changes_per_second, preset.user_changes_per_second),
            user_descriptions_per_second: or(
                self.user_descriptions_per_second,
                preset.user_descriptions_per_second,
            ),
            user_lists_per_second: or(self.user_lists_per_second, preset.user_lists_per_second),
            other_identity_calls_per_second: or(
                self.other_identity_calls_per_second,
                preset.other_identity_calls_per_second,
            ),
            channel_changes_per_second: or(
                self.channel_changes_per_second,
                preset.channel_changes_per_second,
            ),
            channel_lists_per_second: or(self.channel_lists_per_second, preset.channel_lists_per_second),
            channel_descriptions_per_second: or(
                self.channel_descriptions_per_second,
                preset.channel_descriptions_per_second,
            ),
            membership_changes_per_second: or(
                self.membership_changes_per_second,
                preset.membership_changes_per_second,
            ),
            elastic_membership_changes_per_second: or(
                self.elastic_membership_changes_per_second,
                preset.elastic_membership_changes_per_second,
            ),
            membership_batches_per_second: or(
                self.membership_batches_per_second,
                preset.membership_batches_per_second,
            ),
            membership_lists_per_second: or(
                self.membership_lists_per_second,
                preset.membership_lists_per_second,
            ),
            messages_per_second: or(self.messages_per_second, preset.messages_per_second),
            message_lists_per_second: or(self.message_lists_per_second, preset.message_lists_per_second),
            message_reads_per_second: or(self.message_reads_per_second, preset.message_reads_per_second),
            message_statuses_per_second: or(
                self.message_statuses_per_second,
                preset.message_statuses_per_second,
            ),
            user_channel_lists_per_second: or(
                self.user_channel_lists_per_second,
                preset.user_channel_lists_per_second,
            ),
            sub_channel_lists_per_second: or(
                self.sub_channel_lists_per_second,
                preset.sub_channel_lists_per_second,
            ),
            other_messaging_calls_per_second: or(
                self.other_messaging_calls_per_second,
                preset.other_messaging_calls_per_second,
            ),
            connections_per_second: or(self.connections_per_second, preset.connections_per_second),
            session_endpoints_per_second: or(
                self.session_endpoints_per_second,
                preset.session_endpoints_per_second,
            ),
            iam_calls_per_second: or(self.iam_calls_per_second, preset.iam_calls_per_second),
            sts_calls_per_second: or(self.sts_calls_per_second, preset.sts_calls_per_second),
            explanations_per_second: or(self.explanations_per_second, preset.explanations_per_second),
            exchanges_per_second: or(self.exchanges_per_second, preset.exchanges_per_second),
            refused_calls_per_second: or(self.refused_calls_per_second, preset.refused_calls_per_second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Quotas, Rates)> {
        toml::from_str::<Limits>(text).unwrap().read(Preset::Generous)
    }

    #[test]
    fn a_preset_says_where_to_start_and_a_value_stands_over_it() {
        assert_eq!(read("").unwrap(), (Quotas::default(), Rates::GENEROUS));
        assert_eq!(read("preset = 'aws'").unwrap(), (Quotas::default(), Rates::PUBLISHED));
        let (quotas, rates) = read("preset = 'off'\nprocessors_max = 3\nmessages_per_second = 7").unwrap();
        assert_eq!(quotas, Quotas { processors_max: 3, ..Quotas::default() });
        assert_eq!(rates, Rates { messages_per_second: 7, ..Rates::OFF });
    }

    #[test]
    fn a_preset_on_the_command_line_keeps_the_values_of_the_file() {
        let there: Limits = toml::from_str("preset = 'aws'\nmessages_per_second = 7").unwrap();
        let here = Limits { preset: Some("off".to_owned()), ..Limits::default() };
        let (_, rates) = here.or(there).read(Preset::Generous).unwrap();
        assert_eq!(rates, Rates { messages_per_second: 7, ..Rates::OFF });
    }

    #[test]
    fn every_key_reaches_what_it_is_named_for() {
        let empty = serde_json::to_value(Limits::default()).unwrap();
        let keys: Vec<_> =
            empty.as_object().unwrap().keys().filter(|key| *key != "preset").cloned().collect();
        let value = |(number, key): (usize, &String)| match key.as_str() {
            "processors_max" => format!("{key} = 2"),
            "public_restricted_self_join" => format!("{key} = false"),
            // No less than what the interface allows.
            key if key.ends_with("_bytes_max") => format!("{key} = {}", 5001 + number),
            _ => format!("{key} = {}", 501 + number),
        };
        let values = keys.iter().enumerate().map(value).collect::<Vec<_>>().join("\n");
        // Debug shows fields by their names, which are the keys.
        let shown = format!("{:?}", read(&values).unwrap());
        for line in values.lines() {
            assert!(shown.contains(&line.replace(" = ", ": ")), "{line} is not in {shown}");
        }
    }

    #[test]
    fn what_cannot_hold_is_refused() {
        for (text, named) in [
            ("preset = 'huge'", "limits.preset is huge"),
            ("processors_max = 4", "limits.processors_max"),
            ("processors_max = 0", "limits.processors_max"),
            ("sub_channels_max = 1001", "limits.sub_channels_max"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.status, crate::error::ExitStatus::Usage);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
