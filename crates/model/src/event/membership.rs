//! What is said of memberships.

use serde::Serialize;

use super::frame::serialize;
use super::person::Person;
use super::{Audience, Change, Event, EventMessageType, EventReason, EventType};
use crate::arn::ChannelArn;
use crate::channel::{Channel, Membership};
use crate::key::Key;
use crate::text::ChannelMembershipType;

impl Event {
    /// A new membership. Of a hidden one, only `moderating` members and the newcomer learn.
    pub fn create_channel_membership(channel: &Channel, membership: &Membership, moderating: &[Key]) -> Self {
        let mut event =
            Self::about_membership(channel, EventType::CreateChannelMembership, membership, moderating);
        event.changes = vec![Change::joined(membership)];
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
        Some(Self { changes: memberships.iter().map(Change::joined).collect(), ..event })
    }

    /// A membership that ended. Of a hidden one, only `moderating` members and the one who left learn.
    pub fn delete_channel_membership(channel: &Channel, membership: &Membership, moderating: &[Key]) -> Self {
        let mut event =
            Self::about_membership(channel, EventType::DeleteChannelMembership, membership, moderating);
        event.changes = vec![Change::left(membership, membership.sub_channel)];
        event
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
            changes: vec![Change::left(membership, from), Change::joined(membership)],
            ..Self::about_membership(channel, kind, membership, &[])
        }
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
            sub_channel_id: super::sub_channel_id(channel, membership.sub_channel),
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
