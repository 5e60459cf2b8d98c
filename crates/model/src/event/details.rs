//! `CHANNEL_DETAILS`: what a session is shown of a channel when it begins. Not an event: it is read, not emitted.

use serde::Serialize;

use super::EventMessageType;
use super::frame::{frame, serialize};
use super::message::MessagePayload;
use super::person::Person;
use crate::channel::Channel;
use crate::identity::Identity;
use crate::message::Message;
use crate::text::{ChannelMode, ChannelPrivacy};
use crate::timestamp::Timestamp;

/// A channel, as someone sees it who belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelDetails {
    /// The channel.
    pub channel: Channel,
    /// The last message that they can see.
    pub last_message_at: Option<Timestamp>,
    /// The newest messages that they can see, the newest first.
    pub messages: Vec<Message>,
    /// Whether there are older ones.
    pub has_more_messages: bool,
    /// Some of the members.
    pub members: Vec<Identity>,
    /// How far they have read.
    pub read_at: Option<Timestamp>,
}

impl ChannelDetails {
    /// The frame that goes to a socket.
    pub fn frame(&self) -> String {
        let payload = serialize(&DetailsPayload {
            channel: SummaryPayload::new(&self.channel, self.last_message_at),
            channel_messages: self.messages.iter().map(MessagePayload::summary).collect(),
            channel_messages_has_more: self.has_more_messages,
            channel_memberships: self.members.iter().map(MemberPayload::from).collect(),
            read_marker_timestamp: self.read_at.map(|time| time.to_string()),
        });
        frame("CHANNEL_DETAILS", EventMessageType::System, None, None, Some(&payload))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DetailsPayload<'a> {
    channel: SummaryPayload<'a>,
    channel_messages: Vec<MessagePayload<'a>>,
    channel_messages_has_more: bool,
    channel_memberships: Vec<MemberPayload<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_marker_timestamp: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryPayload<'a> {
    name: &'a str,
    channel_arn: &'a str,
    mode: ChannelMode,
    privacy: ChannelPrivacy,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message_timestamp: Option<String>,
}

impl<'a> SummaryPayload<'a> {
    fn new(channel: &'a Channel, last_message_at: Option<Timestamp>) -> Self {
        let metadata = channel.metadata.as_ref().map(crate::text::Metadata::as_str);
        Self {
            name: channel.name.as_str(),
            channel_arn: channel.arn.as_str(),
            mode: channel.mode,
            privacy: channel.privacy,
            metadata: metadata.filter(|metadata| !metadata.is_empty()),
            last_message_timestamp: last_message_at.map(|time| time.to_string()),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MemberPayload<'a> {
    member: Person<'a>,
}

impl<'a> From<&'a Identity> for MemberPayload<'a> {
    fn from(identity: &'a Identity) -> Self {
        Self { member: Person::from(identity) }
    }
}
