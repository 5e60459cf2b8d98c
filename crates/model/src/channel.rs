//! Channels and who belongs to them.

use crate::arn::ChannelArn;
use crate::identity::Identity;
use crate::key::Key;
use crate::text::{
    AllowNotifications, ChannelMembershipType, ChannelMode, ChannelPrivacy, ExpirationCriterion,
    ExpirationDays, FilterRule, MaximumSubChannels, Metadata, MinimumMembershipPercentage,
    NonEmptyResourceName, TargetMembershipsPerSubChannel,
};
use crate::timestamp::Timestamp;

/// A channel, as its row holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Its key. An ordinary channel is its own only sub-channel, under the same key.
    pub key: Key,
    /// Its ARN.
    pub arn: ChannelArn,
    /// Its name.
    pub name: NonEmptyResourceName,
    /// Who may add members.
    pub mode: ChannelMode,
    /// Who may find and read it.
    pub privacy: ChannelPrivacy,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
    /// Who made it.
    pub created_by: Key,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The last persistent message that every member sees.
    pub last_message_at: Option<Timestamp>,
    /// The number of the last event that was given one; taken under the channel's claim.
    pub sequence: i64,
    /// The latest time that anything in the channel happened. It never runs backwards, so the order of
    /// timestamps is the order of events even where the machines' clocks disagree.
    pub clock: Timestamp,
    /// How many memberships it has.
    pub member_count: i64,
    /// The split into sub-channels, for an elastic channel.
    pub elastic: Option<ElasticChannelConfiguration>,
    /// When it goes away by itself.
    pub expiration: Option<(ExpirationDays, ExpirationCriterion)>,
}

impl Channel {
    /// Whether members may add members.
    pub fn is_unrestricted(&self) -> bool {
        self.mode == ChannelMode::Unrestricted
    }

    /// Whether everyone of the app instance may read it.
    pub fn is_public(&self) -> bool {
        self.privacy == ChannelPrivacy::Public
    }
}

/// How an elastic channel is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElasticChannelConfiguration {
    /// The most sub-channels.
    pub maximum_sub_channels: MaximumSubChannels,
    /// The regular members that fill one.
    pub target_memberships_per_sub_channel: TargetMembershipsPerSubChannel,
    /// The share of the target below which one is dissolved.
    pub minimum_membership_percentage: MinimumMembershipPercentage,
}

/// That someone moderates a channel, or is banned from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Appointment {
    /// Who.
    pub member: Identity,
    /// By whom.
    pub created_by: Identity,
    /// Since when.
    pub created_at: Timestamp,
}

/// What a member wants to be notified of.
#[derive(Debug, Clone, PartialEq)]
pub struct Preferences {
    /// All, nothing, or what the rule lets through.
    pub allow_notifications: AllowNotifications,
    /// The rule, kept as it was written.
    pub filter_rule: Option<FilterRule>,
}

/// A membership, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Membership {
    /// The channel.
    pub channel: Key,
    /// The sub-channel; of an ordinary channel, the channel itself.
    pub sub_channel: Key,
    /// Who belongs.
    pub member: Identity,
    /// Who added them.
    pub invited_by: Identity,
    /// How they belong.
    pub kind: ChannelMembershipType,
    /// Since when.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
