//! What streams are told: each event as a record, and facts of which no socket is told.

use serde::{Deserialize, Serialize};

use super::frame::serialize;
use super::person::Person;
use super::{Audience, ChannelShown, Event, EventMessageType, EventType};
use crate::arn::ChannelArn;
use crate::channel::{Appointment, Channel, Membership};
use crate::key::Key;
use crate::text::{ChannelMessagePersistenceType, MessagingDataType};

impl EventType {
    /// The type of data in whose streams it is; nothing where only sockets are told.
    pub fn data_type(self) -> Option<MessagingDataType> {
        match self {
            Self::CreateChannelMessage
            | Self::UpdateChannelMessage
            | Self::RedactChannelMessage
            | Self::DeleteChannelMessage => Some(MessagingDataType::ChannelMessage),
            Self::CreateChannel
            | Self::UpdateChannel
            | Self::DeleteChannel
            | Self::UpdateChannelExpirationSettings
            | Self::CreateChannelMembership
            | Self::DeleteChannelMembership
            | Self::CreateChannelModerator
            | Self::DeleteChannelModerator
            | Self::CreateChannelBan
            | Self::DeleteChannelBan
            | Self::CreateSubChannel
            | Self::DeleteSubChannel => Some(MessagingDataType::Channel),
            Self::BatchCreateChannelMembership
            | Self::PendingCreateChannelMessage
            | Self::PendingUpdateChannelMessage
            | Self::FailedCreateChannelMessage
            | Self::FailedUpdateChannelMessage
            | Self::DeniedCreateChannelMessage
            | Self::DeniedUpdateChannelMessage
            | Self::DeleteAppInstanceUser
            | Self::UpdateChannelMembership => None,
        }
    }
}

/// The member of every payload in a stream that says where it happened, and what a message's says of its keeping.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Where<'a> {
    channel_arn: &'a str,
    persistence: Option<&'a str>,
}

/// Whose an event is.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The app instance of its channel.
    pub app_instance: Key,
    /// Whether it is about a message that is not kept.
    pub is_non_persistent: bool,
}

/// A record, as far as it says where something happened.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Located<'a> {
    #[serde(borrow)]
    payload: Where<'a>,
}

/// The channel that a record is about: by it a stream keeps the order.
pub fn channel_of_record(record: &str) -> Option<&str> {
    serde_json::from_str::<Located<'_>>(record).ok().map(|located| located.payload.channel_arn)
}

impl Event {
    /// The record of a stream, to the byte. Its payload is an object, not a string.
    pub fn record(&self) -> String {
        format!(r#"{{"EventType":"{}","Payload":{}}}"#, self.kind.as_str(), self.payload)
    }

    /// Whose it is; nothing where it is about no channel.
    pub fn locate(&self) -> Option<Found> {
        let Where { channel_arn, persistence } = serde_json::from_str(&self.payload).ok()?;
        let app_instance = channel_arn.parse::<ChannelArn>().ok()?.app_instance_key()?;
        let is_non_persistent = persistence == Some(ChannelMessagePersistenceType::NonPersistent.as_str());
        Some(Found { app_instance, is_non_persistent })
    }

    /// A channel that came into being.
    pub fn create_channel(channel: &Channel, shown: &ChannelShown) -> Self {
        Self::about_channel(channel, EventType::CreateChannel, shown, (&[], &[]))
    }

    /// A channel, whose end by itself was settled.
    pub fn update_channel_expiration_settings(channel: &Channel, shown: &ChannelShown) -> Self {
        Self::about_channel(channel, EventType::UpdateChannelExpirationSettings, shown, (&[], &[]))
    }

    /// One of several new memberships, of which sockets are told in one event.
    pub fn one_of_batch(channel: &Channel, membership: &Membership) -> Self {
        Self { audience: Audience::default(), ..Self::create_channel_membership(channel, membership, &[]) }
    }

    /// Somebody moderates a channel from now on.
    pub fn create_channel_moderator(channel: &Channel, moderator: &Appointment) -> Self {
        Self::about_moderator(channel, EventType::CreateChannelModerator, moderator)
    }

    /// Somebody moderates a channel no more.
    pub fn delete_channel_moderator(channel: &Channel, moderator: &Appointment) -> Self {
        Self::about_moderator(channel, EventType::DeleteChannelModerator, moderator)
    }

    /// Somebody is banned from now on.
    pub fn create_channel_ban(channel: &Channel, ban: &Appointment) -> Self {
        Self::about_ban(channel, EventType::CreateChannelBan, ban)
    }

    /// Somebody is banned no more.
    pub fn delete_channel_ban(channel: &Channel, ban: &Appointment) -> Self {
        Self::about_ban(channel, EventType::DeleteChannelBan, ban)
    }

    fn about_moderator(channel: &Channel, kind: EventType, one: &Appointment) -> Self {
        let moderator = Some(Person::from(&one.member));
        Self::fact(channel, kind, &AppointmentPayload { moderator, ..AppointmentPayload::new(channel, one) })
    }

    fn about_ban(channel: &Channel, kind: EventType, one: &Appointment) -> Self {
        let member = Some(Person::from(&one.member));
        Self::fact(channel, kind, &AppointmentPayload { member, ..AppointmentPayload::new(channel, one) })
    }

    fn fact(channel: &Channel, kind: EventType, payload: &AppointmentPayload<'_>) -> Self {
        Self::new(channel, kind, EventMessageType::System, Audience::default(), serialize(payload))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AppointmentPayload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    moderator: Option<Person<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<Person<'a>>,
    channel_arn: &'a str,
    created_timestamp: String,
    created_by: Person<'a>,
}

impl<'a> AppointmentPayload<'a> {
    fn new(channel: &'a Channel, one: &'a Appointment) -> Self {
        Self {
            moderator: None,
            member: None,
            channel_arn: channel.arn.as_str(),
            created_timestamp: one.created_at.to_string(),
            created_by: Person::from(&one.created_by),
        }
    }
}
