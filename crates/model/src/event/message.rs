//! What is said of messages.

use std::collections::BTreeMap;

use serde::Serialize;

use super::frame::serialize;
use super::person::Person;
use super::{Audience, Event, EventMessageType, EventType};
use crate::arn::ChannelArn;
use crate::channel::Channel;
use crate::channel_flow::FlowOperation;
use crate::key::Key;
use crate::message::{Attributes, Message};
use crate::text::{
    ChannelMessageStatus, ChannelMessageType, Content, ContentType, MessageAttributeStringValue,
    MessageMetadata, StatusDetail,
};

impl Event {
    /// A new message, to its channel or to its sender and target.
    pub fn create_channel_message(channel: &Channel, message: &Message) -> Self {
        Self::about_message(channel, EventType::CreateChannelMessage, message)
    }

    /// A message that its sender edited, to those who were told of it.
    pub fn update_channel_message(channel: &Channel, message: &Message) -> Self {
        Self::change_of_message(channel, EventType::UpdateChannelMessage, message)
    }

    /// A message that was redacted, to those who were told of it.
    pub fn redact_channel_message(channel: &Channel, message: &Message) -> Self {
        Self::change_of_message(channel, EventType::RedactChannelMessage, message)
    }

    /// A message that was deleted, to those who were told of it. Clients show the payload in the message's
    /// place, so whoever makes it has erased the content.
    pub fn delete_channel_message(channel: &Channel, message: &Message) -> Self {
        Self::change_of_message(channel, EventType::DeleteChannelMessage, message)
    }

    /// A new message that a flow released, to those who are told of it: its number is not the one in its key.
    pub fn release_channel_message(channel: &Channel, message: &Message) -> Self {
        Self::change_of_message(channel, EventType::CreateChannelMessage, message)
    }

    /// What a flow did with a message, or has yet to do, to its sender alone.
    pub fn flow_of_message(channel: &Channel, operation: FlowOperation, message: &Message) -> Self {
        let kind = match (operation, message.status) {
            (FlowOperation::Create, ChannelMessageStatus::Pending) => EventType::PendingCreateChannelMessage,
            (FlowOperation::Create, ChannelMessageStatus::Failed) => EventType::FailedCreateChannelMessage,
            (FlowOperation::Create, ChannelMessageStatus::Denied) => EventType::DeniedCreateChannelMessage,
            (FlowOperation::Create, ChannelMessageStatus::Sent) => EventType::CreateChannelMessage,
            (FlowOperation::Update, ChannelMessageStatus::Pending) => EventType::PendingUpdateChannelMessage,
            (FlowOperation::Update, ChannelMessageStatus::Failed) => EventType::FailedUpdateChannelMessage,
            (FlowOperation::Update, ChannelMessageStatus::Denied) => EventType::DeniedUpdateChannelMessage,
            (FlowOperation::Update, ChannelMessageStatus::Sent) => EventType::UpdateChannelMessage,
        };
        let event = Self::change_of_message(channel, kind, message);
        Self { audience: Audience::only([message.sender.key]), ..event }
    }

    fn change_of_message(channel: &Channel, kind: EventType, message: &Message) -> Self {
        Self { message: Some(message.key), ..Self::about_message(channel, kind, message) }
    }

    fn about_message(channel: &Channel, kind: EventType, message: &Message) -> Self {
        let audience = match &message.target {
            None => Audience::members(message.sub_channel),
            Some(target) => Audience::only([message.sender.key, target.key]),
        };
        let message_type = match message.kind {
            ChannelMessageType::Standard => EventMessageType::Standard,
            ChannelMessageType::Control => EventMessageType::Control,
        };
        let payload = serialize(&MessagePayload::new(&channel.arn, channel.key, message));
        Self::new(channel, kind, message_type, audience, payload)
    }
}

/// The members of a message in an event. Absent rather than null: clients compare them with `undefined`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MessagePayload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_arn: Option<&'a str>,
    message_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    #[serde(rename = "Type")]
    kind: ChannelMessageType,
    created_timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_edited_timestamp: Option<String>,
    last_updated_timestamp: String,
    sender: Person<'a>,
    redacted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    persistence: Option<&'static str>,
    status: StatusPayload<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_attributes: Option<BTreeMap<&'a str, ValuesPayload<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<[TargetPayload<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_channel_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatusPayload<'a> {
    value: ChannelMessageStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ValuesPayload<'a> {
    string_values: &'a [MessageAttributeStringValue],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TargetPayload<'a> {
    member_arn: &'a str,
}

impl<'a> MessagePayload<'a> {
    fn new(arn: &'a ChannelArn, channel: Key, message: &'a Message) -> Self {
        Self {
            channel_arn: Some(arn.as_str()),
            persistence: Some(message.persistence.as_str()),
            sub_channel_id: super::sub_channel_id(channel, message.sub_channel),
            ..Self::summary(message)
        }
    }

    /// A message in a list, which says once for all where they are.
    pub(super) fn summary(message: &'a Message) -> Self {
        let attributes = |attributes: &'a Attributes| {
            attributes
                .iter()
                .map(|(key, values)| (key.as_str(), ValuesPayload { string_values: values }))
                .collect()
        };
        Self {
            channel_arn: None,
            message_id: message.key.to_string(),
            content: message.content.as_ref().map(Content::as_str),
            metadata: message.metadata.as_ref().map(MessageMetadata::as_str),
            kind: message.kind,
            created_timestamp: message.created_at().to_string(),
            last_edited_timestamp: message.edited_at.map(|time| time.to_string()),
            last_updated_timestamp: message.updated_at.to_string(),
            sender: Person::from(&message.sender),
            redacted: message.redacted,
            persistence: None,
            status: StatusPayload {
                value: message.status,
                detail: message.status_detail.as_ref().map(StatusDetail::as_str),
            },
            message_attributes: message.attributes.as_ref().map(attributes),
            content_type: message.content_type.as_ref().map(ContentType::as_str),
            target: message.target.as_ref().map(|target| [TargetPayload { member_arn: target.arn.as_str() }]),
            sub_channel_id: None,
        }
    }
}
