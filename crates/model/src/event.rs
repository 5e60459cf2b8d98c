//! What happened, for everyone who watches: the event of one committed change.
//!
//! An event is made in the transaction that made the change, stored in its outbox, and delivered after the
//! commit. Its payload is serialized once; [`Event::frame`] is the one place that makes its wire form.

mod details;
mod id;

pub use details::ChannelDetails;
pub use id::EventId;

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::arn::{ChannelArn, ChannelFlowArn};
use crate::channel::{Channel, Membership};
use crate::channel_flow::FlowOperation;
use crate::identity::Identity;
use crate::key::{Key, MessageKey};
use crate::message::Message;
use crate::text::{
    ChannelMembershipType, ChannelMessageStatus, ChannelMessageType, ChannelMode, ChannelPrivacy,
    ExpirationCriterion, ExpirationDays, MaximumSubChannels, MinimumMembershipPercentage,
    TargetMembershipsPerSubChannel,
};
use crate::timestamp::Timestamp;

crate::choice! {
    /// The types of event, as the wire names them.
    EventType {
        /// Several joined or were added at once.
        BatchCreateChannelMembership = "BATCH_CREATE_CHANNEL_MEMBERSHIP",
        /// A new message waits for its channel flow. Like all of a flow's doings, only its sender is told.
        PendingCreateChannelMessage = "PENDING_CREATE_CHANNEL_MESSAGE",
        /// An edit waits for the channel flow.
        PendingUpdateChannelMessage = "PENDING_UPDATE_CHANNEL_MESSAGE",
        /// A new message failed in the flow.
        FailedCreateChannelMessage = "FAILED_CREATE_CHANNEL_MESSAGE",
        /// An edit failed in the flow.
        FailedUpdateChannelMessage = "FAILED_UPDATE_CHANNEL_MESSAGE",
        /// A processor of the flow denied a new message.
        DeniedCreateChannelMessage = "DENIED_CREATE_CHANNEL_MESSAGE",
        /// A processor of the flow denied an edit.
        DeniedUpdateChannelMessage = "DENIED_UPDATE_CHANNEL_MESSAGE",
        /// A message was sent.
        CreateChannelMessage = "CREATE_CHANNEL_MESSAGE",
        /// A message was edited by its sender.
        UpdateChannelMessage = "UPDATE_CHANNEL_MESSAGE",
        /// What a message said was erased.
        RedactChannelMessage = "REDACT_CHANNEL_MESSAGE",
        /// A message was taken away.
        DeleteChannelMessage = "DELETE_CHANNEL_MESSAGE",
        /// Someone joined or was added.
        CreateChannelMembership = "CREATE_CHANNEL_MEMBERSHIP",
        /// A channel was deleted, or expired.
        DeleteChannel = "DELETE_CHANNEL",
        /// Someone left or was removed.
        DeleteChannelMembership = "DELETE_CHANNEL_MEMBERSHIP",
        /// What is recorded of a channel changed.
        UpdateChannel = "UPDATE_CHANNEL",
        /// A user or a bot was deleted, or expired. No socket is told: those of the user end.
        DeleteAppInstanceUser = "DELETE_APP_INSTANCE_USER",
        /// Balancing moved a member of an elastic channel to another sub-channel.
        UpdateChannelMembership = "UPDATE_CHANNEL_MEMBERSHIP",
        /// A sub-channel came into being. No socket is told, only streams.
        CreateSubChannel = "CREATE_SUB_CHANNEL",
        /// A sub-channel is no more. No socket is told, only streams.
        DeleteSubChannel = "DELETE_SUB_CHANNEL",
    }
    /// Why something happened, where the wire says it.
    EventReason {
        /// Balancing dissolved the sub-channel of a membership.
        SubChannelDeleted = "subchannel_DELETED",
    }
    /// What an event is about.
    EventMessageType {
        /// A STANDARD message.
        Standard = "STANDARD",
        /// A CONTROL message.
        Control = "CONTROL",
        /// Anything else.
        System = "SYSTEM",
    }
}

/// The member of a channel's payload that says how it is split.
const ELASTIC_MEMBER: &str = "ElasticChannelConfiguration";

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The channel that it happened in; the user, where it happened to a user and in no channel.
    pub channel: Key,
    /// Its number in the channel: each is greater than the one before.
    pub sequence: i64,
    /// When it happened, by the channel's clock.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventType,
    /// What it is about.
    pub message_type: EventMessageType,
    /// Who is told.
    pub audience: Audience,
    /// What it changes about who is told of later events.
    pub changes: Vec<Change>,
    /// The message that it changed, so that redaction finds it. The event of a new message needs none: it has the
    /// number that the message's key holds.
    pub message: Option<MessageKey>,
    /// Why it happened, where the wire says it.
    pub reason: Option<EventReason>,
    /// The payload: a JSON object.
    pub payload: String,
}

/// Who is told of an event: the members of these sub-channels, and these users. Of an elastic channel's record, those
/// who are named see how it is split, and nobody else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// Sub-channels whose members are told; of an ordinary channel, the channel itself.
    pub sub_channels: Vec<Key>,
    /// Whether hidden members are left out.
    pub but_hidden: bool,
    /// Users who are told whether or not they belong.
    pub users: Vec<Key>,
}

/// What an event changes about who is told of later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// From here on this user is told.
    Joined {
        /// Who.
        member: Key,
        /// Where.
        sub_channel: Key,
        /// As a hidden member.
        hidden: bool,
    },
    /// From here on this user is not told.
    Left {
        /// Who.
        member: Key,
        /// Where.
        sub_channel: Key,
        /// As a hidden member.
        #[serde(default)]
        hidden: bool,
    },
    /// From here on nobody is told: the place is no more.
    Ended {
        /// Where.
        sub_channel: Key,
    },
    /// From here on this user is told nothing anywhere: they are no more, and their sessions end.
    Gone {
        /// Who.
        user: Key,
    },
}

/// What an event about a channel shows beside its row.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelShown {
    /// Who made it.
    pub created_by: Identity,
    /// The flow that its messages pass.
    pub flow: Option<ChannelFlowArn>,
}

impl Audience {
    /// All members of a sub-channel.
    pub fn members(sub_channel: Key) -> Self {
        Self { sub_channels: vec![sub_channel], ..Self::default() }
    }

    /// All members of all sub-channels of a channel, hidden or not.
    pub fn channel(sub_channels: &[Key]) -> Self {
        Self { sub_channels: sub_channels.to_vec(), ..Self::default() }
    }

    /// The members of a sub-channel who are not hidden, and one user more.
    pub fn open_members_and(sub_channel: Key, user: Key) -> Self {
        Self { sub_channels: vec![sub_channel], but_hidden: true, users: vec![user] }
    }

    /// These users too.
    pub fn include(&mut self, users: &[Key]) {
        self.users.extend(users);
        self.users.sort();
        self.users.dedup();
    }

    /// Only these users.
    pub fn only(users: impl IntoIterator<Item = Key>) -> Self {
        let mut audience = Self::default();
        audience.include(&users.into_iter().collect::<Vec<Key>>());
        audience
    }
}

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

    /// A new membership. Of a hidden one, only `moderating` members and the newcomer learn.
    pub fn create_channel_membership(channel: &Channel, membership: &Membership, moderating: &[Key]) -> Self {
        let mut event =
            Self::about_membership(channel, EventType::CreateChannelMembership, membership, moderating);
        event.changes = vec![joined(membership)];
        event
    }

    /// New memberships of one kind in an ordinary channel, at least one. Of hidden ones, only `moderating` members
    /// and the newcomers learn.
    pub fn batch_create_channel_membership(
        channel: &Channel,
        memberships: &[Membership],
        moderating: &[Key],
    ) -> Option<Self> {
        let first = memberships.first()?;
        let newcomers = memberships.iter().map(|membership| membership.member.key);
        let mut audience = Audience::only(newcomers.chain(moderating.iter().copied()));
        if first.kind == ChannelMembershipType::Default {
            (audience.sub_channels, audience.but_hidden) = (vec![channel.key], true);
        }
        let payload = serialize(&BatchPayload {
            invited_by: Person::from(&first.invited_by),
            r#type: first.kind,
            members: memberships.iter().map(|membership| Person::from(&membership.member)).collect(),
            channel_arn: channel.arn.as_str(),
        });
        let kind = EventType::BatchCreateChannelMembership;
        let event = Self::new(channel, kind, EventMessageType::System, audience, payload);
        Some(Self { changes: memberships.iter().map(joined).collect(), ..event })
    }

    /// A channel whose record changed, to everyone in these sub-channels. Clients replace their copy by the payload,
    /// so it is whole; of an elastic channel, only for `moderating` members.
    pub fn update_channel(
        channel: &Channel,
        shown: &ChannelShown,
        sub_channels: &[Key],
        moderating: &[Key],
    ) -> Self {
        let payload = serialize(&ChannelPayload::new(channel, shown));
        let mut audience = Audience::channel(sub_channels);
        audience.include(moderating);
        Self::new(channel, EventType::UpdateChannel, EventMessageType::System, audience, payload)
    }

    /// A channel that is no more. Everyone in these sub-channels learns that, and nothing after it.
    pub fn delete_channel(
        channel: &Channel,
        shown: &ChannelShown,
        sub_channels: &[Key],
        moderating: &[Key],
    ) -> Self {
        let payload = serialize(&ChannelPayload::new(channel, shown));
        let mut audience = Audience::channel(sub_channels);
        audience.include(moderating);
        let event = Self::new(channel, EventType::DeleteChannel, EventMessageType::System, audience, payload);
        let changes = sub_channels.iter().map(|sub_channel| Change::Ended { sub_channel: *sub_channel });
        Self { changes: changes.collect(), ..event }
    }

    /// A membership that ended. Of a hidden one, only `moderating` members and the one who left learn.
    pub fn delete_channel_membership(channel: &Channel, membership: &Membership, moderating: &[Key]) -> Self {
        let mut event =
            Self::about_membership(channel, EventType::DeleteChannelMembership, membership, moderating);
        event.changes = vec![left(membership, membership.sub_channel)];
        event
    }

    /// A user or a bot who is no more. It happened in no channel: its stream is the user's own, which ends with it.
    pub fn delete_app_instance_user(user: Key, now: Timestamp) -> Self {
        Self {
            channel: user,
            sequence: 1,
            at: now,
            kind: EventType::DeleteAppInstanceUser,
            message_type: EventMessageType::System,
            audience: Audience::default(),
            changes: vec![Change::Gone { user }],
            message: None,
            reason: None,
            payload: "{}".to_owned(),
        }
    }

    /// A moderator's membership of a sub-channel that balancing dissolved: only the moderator learns, everybody
    /// else was moved.
    pub fn dissolve_channel_membership(channel: &Channel, membership: &Membership) -> Self {
        Self {
            audience: Audience::only([membership.member.key]),
            reason: Some(EventReason::SubChannelDeleted),
            ..Self::delete_channel_membership(channel, membership, &[])
        }
    }

    /// A membership that balancing moved from the sub-channel `from` to where it is now. Only the member learns, and
    /// is told from here on of the one and no more of the other.
    pub fn update_channel_membership(channel: &Channel, membership: &Membership, from: Key) -> Self {
        let kind = EventType::UpdateChannelMembership;
        let member = membership.member.key;
        Self {
            audience: Audience::only([member]),
            changes: vec![left(membership, from), joined(membership)],
            ..Self::about_membership(channel, kind, membership, &[])
        }
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

    fn about_membership(
        channel: &Channel,
        kind: EventType,
        membership: &Membership,
        moderating: &[Key],
    ) -> Self {
        let subject = membership.member.key;
        let audience = match membership.kind {
            ChannelMembershipType::Default => Audience::open_members_and(membership.sub_channel, subject),
            ChannelMembershipType::Hidden => Audience::only(moderating.iter().copied().chain([subject])),
        };
        let payload = serialize(&MembershipPayload::new(&channel.arn, channel.key, membership));
        Self::new(channel, kind, EventMessageType::System, audience, payload)
    }

    fn new(
        channel: &Channel,
        kind: EventType,
        message_type: EventMessageType,
        audience: Audience,
        payload: String,
    ) -> Self {
        let (sequence, at) = (channel.sequence, channel.clock);
        Self {
            channel: channel.key,
            sequence,
            at,
            kind,
            message_type,
            audience,
            changes: Vec::new(),
            message: None,
            reason: None,
            payload,
        }
    }

    /// The frame that goes to a socket, with what its client resumes from: `told` is the time before which nothing
    /// is left to tell.
    pub fn frame(&self, told: Timestamp) -> String {
        if self.has_more_for_some() {
            self.frame_of(&self.payload_for_all(), told)
        } else {
            self.frame_of(&self.payload, told)
        }
    }

    /// The frame that goes to a socket of this user.
    pub fn frame_for(&self, user: Key, told: Timestamp) -> String {
        if self.audience.users.contains(&user) { self.whole_frame(told) } else { self.frame(told) }
    }

    /// The frame for those whom the audience names.
    pub fn whole_frame(&self, told: Timestamp) -> String {
        self.frame_of(&self.payload, told)
    }

    /// Whether those whom the audience names see more than the others.
    pub fn has_more_for_some(&self) -> bool {
        matches!(self.kind, EventType::UpdateChannel | EventType::DeleteChannel)
            && self.payload.contains(ELASTIC_MEMBER)
    }

    /// The payload without what only those see who moderate: a client that sees how a channel is split takes its user
    /// for a moderator.
    fn payload_for_all(&self) -> String {
        let payload = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&self.payload);
        let mut payload = payload.expect("a payload is an object");
        payload.remove(ELASTIC_MEMBER);
        serialize(&payload)
    }

    fn frame_of(&self, payload: &str, told: Timestamp) -> String {
        let id = EventId { told, last: Some((self.channel, self.sequence)) }.to_string();
        frame(self.kind.as_str(), self.message_type, self.reason, Some(&id), Some(payload))
    }

    /// Whether this tells someone who sits in `places`, each with whether they are hidden there.
    pub fn tells(&self, user: Key, places: &HashMap<Key, bool>) -> bool {
        let sees = |place| places.get(place).is_some_and(|hidden| !(self.audience.but_hidden && *hidden));
        self.audience.users.contains(&user) || self.audience.sub_channels.iter().any(sees)
    }
}

/// The first frame of a session: from here on it is told of every event. `id` is what its client resumes from before
/// any other came.
pub fn session_established(id: Option<&str>) -> String {
    frame("SESSION_ESTABLISHED", EventMessageType::System, None, id, None)
}

/// What a session is told whose client asked for what it missed, and cannot be given it.
pub fn reload_required(told: Timestamp) -> String {
    let id = EventId { told, last: None }.to_string();
    frame("RELOAD_REQUIRED", EventMessageType::System, None, Some(&id), None)
}

/// A frame is an object of two members: headers, and the payload as a *string* of JSON.
fn frame(
    kind: &str,
    message_type: EventMessageType,
    reason: Option<EventReason>,
    id: Option<&str>,
    payload: Option<&str>,
) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Frame<'a> {
        headers: Headers<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Headers<'a> {
        #[serde(rename = "x-amz-chime-event-type")]
        kind: &'a str,
        #[serde(rename = "x-amz-chime-message-type")]
        message_type: &'a str,
        #[serde(rename = "x-amz-chime-event-reason", skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        #[serde(rename = "x-carillon-event-id", skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    }
    let reason = reason.map(|reason| reason.as_str());
    serialize(&Frame { headers: Headers { kind, message_type: message_type.as_str(), reason, id }, payload })
}

fn serialize(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts, numbers and lists always serialize")
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Person<'a> {
    arn: &'a str,
    name: &'a str,
}

impl<'a> From<&'a Identity> for Person<'a> {
    fn from(identity: &'a Identity) -> Self {
        Self { arn: identity.arn.as_str(), name: &identity.name }
    }
}

/// The members of a message in an event. Absent rather than null: clients compare them with `undefined`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MessagePayload<'a> {
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
    string_values: &'a [crate::text::MessageAttributeStringValue],
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
            sub_channel_id: sub_channel_id(channel, message.sub_channel),
            ..Self::summary(message)
        }
    }

    /// A message in a list, which says once for all where they are.
    fn summary(message: &'a Message) -> Self {
        let attributes = |attributes: &'a crate::message::Attributes| {
            attributes
                .iter()
                .map(|(key, values)| (key.as_str(), ValuesPayload { string_values: values }))
                .collect()
        };
        Self {
            channel_arn: None,
            message_id: message.key.to_string(),
            content: message.content.as_ref().map(super::text::Content::as_str),
            metadata: message.metadata.as_ref().map(super::text::Metadata::as_str),
            kind: message.kind,
            created_timestamp: message.created_at().to_string(),
            last_edited_timestamp: message.edited_at.map(|time| time.to_string()),
            last_updated_timestamp: message.updated_at.to_string(),
            sender: Person::from(&message.sender),
            redacted: message.redacted,
            persistence: None,
            status: StatusPayload {
                value: message.status,
                detail: message.status_detail.as_ref().map(super::text::StatusDetail::as_str),
            },
            message_attributes: message.attributes.as_ref().map(attributes),
            content_type: message.content_type.as_ref().map(super::text::ContentType::as_str),
            target: message.target.as_ref().map(|target| [TargetPayload { member_arn: target.arn.as_str() }]),
            sub_channel_id: None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MembershipPayload<'a> {
    member: Person<'a>,
    invited_by: Person<'a>,
    r#type: ChannelMembershipType,
    channel_arn: &'a str,
    created_timestamp: String,
    last_updated_timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_channel_id: Option<String>,
}

impl<'a> MembershipPayload<'a> {
    fn new(arn: &'a ChannelArn, channel: Key, membership: &'a Membership) -> Self {
        Self {
            member: Person::from(&membership.member),
            invited_by: Person::from(&membership.invited_by),
            r#type: membership.kind,
            channel_arn: arn.as_str(),
            created_timestamp: membership.created_at.to_string(),
            last_updated_timestamp: membership.updated_at.to_string(),
            sub_channel_id: sub_channel_id(channel, membership.sub_channel),
        }
    }
}

/// Several memberships in one event. No timestamps: the wire has none here.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchPayload<'a> {
    invited_by: Person<'a>,
    r#type: ChannelMembershipType,
    members: Vec<Person<'a>>,
    channel_arn: &'a str,
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
            metadata: channel.metadata.as_ref().map(super::text::Metadata::as_str),
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

fn joined(membership: &Membership) -> Change {
    Change::Joined {
        member: membership.member.key,
        sub_channel: membership.sub_channel,
        hidden: membership.kind == ChannelMembershipType::Hidden,
    }
}

fn left(membership: &Membership, sub_channel: Key) -> Change {
    let hidden = membership.kind == ChannelMembershipType::Hidden;
    Change::Left { member: membership.member.key, sub_channel, hidden }
}

/// The `SubChannelId` of a sub-channel: its key. An ordinary channel, its own only sub-channel, shows none.
fn sub_channel_id(channel: Key, sub_channel: Key) -> Option<String> {
    (sub_channel != channel).then(|| sub_channel.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_of_a_frame_is_a_string() {
        assert_eq!(
            session_established(None),
            r#"{"Headers":{"x-amz-chime-event-type":"SESSION_ESTABLISHED","x-amz-chime-message-type":"SYSTEM"}}"#
        );
        let text = frame(
            "CREATE_CHANNEL_MESSAGE",
            EventMessageType::Control,
            None,
            None,
            Some(r#"{"Content":"\u0000\"hi\""}"#),
        );
        let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
        let payload: serde_json::Value = serde_json::from_str(frame["Payload"].as_str().unwrap()).unwrap();
        assert_eq!(payload["Content"], "\0\"hi\"");
        assert_eq!(frame["Headers"]["x-amz-chime-message-type"], "CONTROL");
    }

    #[test]
    fn an_audience_of_users_names_each_once() {
        let (a, b) = (Key([1; 16]), Key([2; 16]));
        assert_eq!(Audience::only([b, a, b]).users, [a, b]);
        let text = serde_json::to_string(&Audience::members(a)).unwrap();
        assert_eq!(serde_json::from_str::<Audience>(&text).unwrap(), Audience::members(a));
    }
}
