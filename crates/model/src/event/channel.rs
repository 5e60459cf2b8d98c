//! What is said of channels and their sub-channels.

use serde::Serialize;

use super::frame::serialize;
use super::person::Person;
use super::{Audience, Change, Event, EventMessageType, EventType};
use crate::arn::ChannelFlowArn;
use crate::channel::Channel;
use crate::identity::Identity;
use crate::key::Key;
use crate::text::{
    ChannelMode, ChannelPrivacy, ExpirationCriterion, ExpirationDays, MaximumSubChannels, Metadata,
    MinimumMembershipPercentage, TargetMembershipsPerSubChannel,
};

/// What an event about a channel shows beside its row.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelShown {
    /// Who made it.
    pub created_by: Identity,
    /// The flow that its messages pass.
    pub flow: Option<ChannelFlowArn>,
}

impl Event {
    /// A channel whose record changed, to everyone in these sub-channels. Clients replace their copy by the payload,
    /// so it is whole; of an elastic channel, only for `moderating` members.
    pub fn update_channel(
        channel: &Channel,
        shown: &ChannelShown,
        sub_channels: &[Key],
        moderating: &[Key],
    ) -> Self {
        Self::about_channel(channel, EventType::UpdateChannel, shown, (sub_channels, moderating))
    }

    /// A channel that is no more. Everyone in these sub-channels learns that, and nothing after it.
    pub fn delete_channel(
        channel: &Channel,
        shown: &ChannelShown,
        sub_channels: &[Key],
        moderating: &[Key],
    ) -> Self {
        let changes = sub_channels.iter().map(|sub_channel| Change::Ended { sub_channel: *sub_channel });
        let event = Self::about_channel(channel, EventType::DeleteChannel, shown, (sub_channels, moderating));
        Self { changes: changes.collect(), ..event }
    }

    pub(super) fn about_channel(
        channel: &Channel,
        kind: EventType,
        shown: &ChannelShown,
        (sub_channels, moderating): (&[Key], &[Key]),
    ) -> Self {
        let payload = serialize(&ChannelPayload::new(channel, shown));
        let mut audience = Audience::channel(sub_channels);
        audience.include(moderating);
        Self::new(channel, kind, EventMessageType::System, audience, payload)
    }

    /// A sub-channel that came into being.
    pub fn create_sub_channel(channel: &Channel, sub_channel: Key) -> Self {
        Self::about_sub_channel(channel, EventType::CreateSubChannel, sub_channel)
    }

    /// A sub-channel that is no more.
    pub fn delete_sub_channel(channel: &Channel, sub_channel: Key) -> Self {
        let changes = vec![Change::Ended { sub_channel }];
        Self { changes, ..Self::about_sub_channel(channel, EventType::DeleteSubChannel, sub_channel) }
    }

    fn about_sub_channel(channel: &Channel, kind: EventType, sub_channel: Key) -> Self {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Payload<'a> {
            channel_arn: &'a str,
            sub_channel_id: String,
        }
        let payload = serialize(&Payload {
            channel_arn: channel.arn.as_str(),
            sub_channel_id: sub_channel.to_string(),
        });
        Self::new(channel, kind, EventMessageType::System, Audience::default(), payload)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChannelPayload<'a> {
    name: &'a str,
    channel_arn: &'a str,
    mode: ChannelMode,
    privacy: ChannelPrivacy,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    created_by: Person<'a>,
    created_timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message_timestamp: Option<String>,
    last_updated_timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_flow_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elastic_channel_configuration: Option<ElasticPayload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_settings: Option<ExpirationPayload>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ElasticPayload {
    maximum_sub_channels: MaximumSubChannels,
    target_memberships_per_sub_channel: TargetMembershipsPerSubChannel,
    minimum_membership_percentage: MinimumMembershipPercentage,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ExpirationPayload {
    expiration_days: ExpirationDays,
    expiration_criterion: ExpirationCriterion,
}

impl<'a> ChannelPayload<'a> {
    fn new(channel: &'a Channel, shown: &'a ChannelShown) -> Self {
        Self {
            name: channel.name.as_str(),
            channel_arn: channel.arn.as_str(),
            mode: channel.mode,
            privacy: channel.privacy,
            metadata: channel.metadata.as_ref().map(Metadata::as_str),
            created_by: Person::from(&shown.created_by),
            created_timestamp: channel.created_at.to_string(),
            last_message_timestamp: channel.last_message_at.map(|time| time.to_string()),
            last_updated_timestamp: channel.updated_at.to_string(),
            channel_flow_arn: shown.flow.as_ref().map(ChannelFlowArn::as_str),
            elastic_channel_configuration: channel.elastic.map(|elastic| ElasticPayload {
                maximum_sub_channels: elastic.maximum_sub_channels,
                target_memberships_per_sub_channel: elastic.target_memberships_per_sub_channel,
                minimum_membership_percentage: elastic.minimum_membership_percentage,
            }),
            expiration_settings: channel.expiration.map(|(expiration_days, expiration_criterion)| {
                ExpirationPayload { expiration_days, expiration_criterion }
            }),
        }
    }
}
