//! The structures that travel, one for each shape that an operation of ours uses.

use std::collections::BTreeMap;

use carillon_macros::shape;
use carillon_model::bot::Lex;
use carillon_model::channel::{
    Channel as StoredChannel, ElasticChannelConfiguration as Elastic, Membership, Preferences,
};
use carillon_model::channel_flow::{ChannelFlow as StoredFlow, Processor as StoredProcessor};
use carillon_model::identity::Identity as Who;
use carillon_model::message::{Attributes, Message};
use carillon_model::text::*;
use carillon_model::{ChannelArn, ChannelFlowArn, IdentityArn, Key, Timestamp};
use carillon_store::membership::Belonging;

/// A user or bot by ARN and display name.
#[shape]
pub struct Identity {
    /// The ARN.
    pub arn: IdentityArn,
    /// The display name; of a deleted one, the last.
    pub name: ResourceName,
}

impl From<&Who> for Identity {
    fn from(identity: &Who) -> Self {
        Self { arn: identity.arn.clone(), name: ResourceName::stored(identity.name.clone()) }
    }
}

/// A tag.
#[shape]
pub struct Tag {
    /// Its key.
    pub key: TagKey,
    /// Its value.
    pub value: TagValue,
}

/// What speaks for a bot, and when.
#[shape]
pub struct Configuration {
    /// A program of Amazon Lex V2.
    pub lex: LexConfiguration,
}

/// A program that speaks for a bot, and when.
#[shape]
pub struct LexConfiguration {
    /// Which messages it answers, in older words.
    pub responds_to: Option<RespondsTo>,
    /// Which messages it answers.
    pub invoked_by: Option<InvokedBy>,
    /// The program.
    pub lex_bot_alias_arn: LexBotAliasArn,
    /// The language that it speaks.
    pub locale_id: LocaleId,
    /// What it says when the bot joins a channel.
    pub welcome_intent: Option<LexIntentName>,
}

impl From<Lex> for Configuration {
    fn from(lex: Lex) -> Self {
        let invoked_by = lex.invoked_by.map(|invoked_by| InvokedBy {
            standard_messages: invoked_by.standard,
            targeted_messages: invoked_by.targeted,
        });
        Self {
            lex: LexConfiguration {
                responds_to: lex.responds_to,
                invoked_by,
                lex_bot_alias_arn: lex.alias,
                locale_id: lex.locale,
                welcome_intent: lex.welcome_intent,
            },
        }
    }
}

/// Which messages a bot answers.
#[shape]
pub struct InvokedBy {
    /// Of those to everyone.
    pub standard_messages: StandardMessages,
    /// Of those to the bot alone.
    pub targeted_messages: TargetedMessages,
}

/// What a push service knows a device by.
#[shape]
pub struct EndpointAttributes {
    /// For notifications.
    pub device_token: DeviceToken,
    /// For calls.
    pub voip_device_token: Option<DeviceToken>,
}

/// Whether a device can be reached.
#[shape]
pub struct EndpointState {
    /// Whether it can.
    pub status: EndpointStatus,
    /// Why it cannot.
    pub status_reason: Option<EndpointStatusReason>,
}

/// When a channel goes away by itself.
#[shape]
pub struct ExpirationSettings {
    /// After how many days.
    pub expiration_days: ExpirationDays,
    /// Counted from when.
    pub expiration_criterion: ExpirationCriterion,
}

/// When a user goes away by itself.
#[shape]
pub struct UserExpirationSettings {
    /// After how many days.
    pub expiration_days: ExpirationDays,
    /// Counted from when.
    pub expiration_criterion: UserExpirationCriterion,
}

/// How an elastic channel is split.
#[shape]
pub struct ElasticChannelConfiguration {
    /// The most sub-channels.
    pub maximum_sub_channels: MaximumSubChannels,
    /// The regular members that fill one.
    pub target_memberships_per_sub_channel: TargetMembershipsPerSubChannel,
    /// The share of the target below which one is dissolved.
    pub minimum_membership_percentage: MinimumMembershipPercentage,
}

impl From<&ElasticChannelConfiguration> for Elastic {
    fn from(configuration: &ElasticChannelConfiguration) -> Self {
        Self {
            maximum_sub_channels: configuration.maximum_sub_channels,
            target_memberships_per_sub_channel: configuration.target_memberships_per_sub_channel,
            minimum_membership_percentage: configuration.minimum_membership_percentage,
        }
    }
}

/// A channel, whole.
#[shape]
pub struct Channel {
    /// Its name.
    pub name: NonEmptyResourceName,
    /// Its ARN.
    pub channel_arn: ChannelArn,
    /// Who may add members.
    pub mode: ChannelMode,
    /// Who may read it.
    pub privacy: ChannelPrivacy,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
    /// Who made it.
    pub created_by: Option<Identity>,
    /// When it was made.
    pub created_timestamp: Timestamp,
    /// The last persistent message that the caller can see.
    pub last_message_timestamp: Option<Timestamp>,
    /// When it last changed.
    pub last_updated_timestamp: Timestamp,
    /// The flow that its messages pass.
    pub channel_flow_arn: Option<ChannelFlowArn>,
    /// How it is split, if it is elastic.
    pub elastic_channel_configuration: Option<ElasticChannelConfiguration>,
    /// When it goes away by itself.
    pub expiration_settings: Option<ExpirationSettings>,
}

impl Channel {
    /// A channel, for someone whose last visible message is of `last_message_at`.
    pub fn new(
        channel: &StoredChannel,
        created_by: Option<&Who>,
        last_message_at: Option<Timestamp>,
    ) -> Self {
        Self {
            name: channel.name.clone(),
            channel_arn: channel.arn.clone(),
            mode: channel.mode,
            privacy: channel.privacy,
            metadata: shown(channel.metadata.clone()),
            created_by: created_by.map(Identity::from),
            created_timestamp: channel.created_at,
            last_message_timestamp: last_message_at,
            last_updated_timestamp: channel.updated_at,
            channel_flow_arn: None,
            elastic_channel_configuration: channel.elastic.map(|elastic| ElasticChannelConfiguration {
                maximum_sub_channels: elastic.maximum_sub_channels,
                target_memberships_per_sub_channel: elastic.target_memberships_per_sub_channel,
                minimum_membership_percentage: elastic.minimum_membership_percentage,
            }),
            expiration_settings: channel.expiration.map(|(expiration_days, expiration_criterion)| {
                ExpirationSettings { expiration_days, expiration_criterion }
            }),
        }
    }
}

/// A channel, in a list.
#[shape]
pub struct ChannelSummary {
    /// Its name.
    pub name: NonEmptyResourceName,
    /// Its ARN.
    pub channel_arn: ChannelArn,
    /// Who may add members.
    pub mode: ChannelMode,
    /// Who may read it.
    pub privacy: ChannelPrivacy,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
    /// The last persistent message that the caller can see.
    pub last_message_timestamp: Option<Timestamp>,
}

impl ChannelSummary {
    /// A channel, for someone who was last sent a message of their own at `last_target_at`.
    pub fn new(channel: StoredChannel, last_target_at: Option<Timestamp>) -> Self {
        Self {
            name: channel.name,
            channel_arn: channel.arn,
            mode: channel.mode,
            privacy: channel.privacy,
            metadata: shown(channel.metadata),
            last_message_timestamp: channel.last_message_at.max(last_target_at),
        }
    }
}

/// A membership, whole.
#[shape]
pub struct ChannelMembership {
    /// Who added them.
    pub invited_by: Identity,
    /// Seen or hidden.
    #[member("Type")]
    pub kind: ChannelMembershipType,
    /// Who.
    pub member: Identity,
    /// Where.
    pub channel_arn: ChannelArn,
    /// Since when.
    pub created_timestamp: Timestamp,
    /// When it last changed.
    pub last_updated_timestamp: Timestamp,
    /// The sub-channel, in an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
}

impl ChannelMembership {
    /// A membership of this channel.
    pub fn new(channel_arn: &ChannelArn, membership: &Membership) -> Self {
        Self {
            invited_by: Identity::from(&membership.invited_by),
            kind: membership.kind,
            member: Identity::from(&membership.member),
            channel_arn: channel_arn.clone(),
            created_timestamp: membership.created_at,
            last_updated_timestamp: membership.updated_at,
            sub_channel_id: sub_channel_id(membership.channel, membership.sub_channel),
        }
    }
}

/// Memberships that were made at once.
#[shape]
pub struct BatchChannelMemberships {
    /// Who added them.
    pub invited_by: Identity,
    /// Seen or hidden.
    #[member("Type")]
    pub kind: ChannelMembershipType,
    /// Who.
    pub members: Vec<Identity>,
    /// Where.
    pub channel_arn: ChannelArn,
    /// The sub-channel that the request named.
    pub sub_channel_id: Option<SubChannelId>,
}

/// Why one of a batch was not added.
#[shape]
pub struct BatchCreateChannelMembershipError {
    /// Who.
    pub member_arn: IdentityArn,
    /// Why, for programs.
    pub error_code: BatchErrorCode,
    /// Why, for people.
    pub error_message: Option<ErrorMessage>,
}

/// What a member wants to be notified of.
#[shape]
pub struct ChannelMembershipPreferences {
    /// On their devices.
    pub push_notifications: Option<PushNotificationPreferences>,
}

/// What a member wants to be notified of on their devices.
#[shape]
pub struct PushNotificationPreferences {
    /// All, nothing, or what the rule lets through.
    pub allow_notifications: AllowNotifications,
    /// The rule.
    pub filter_rule: Option<FilterRule>,
}

impl From<Preferences> for ChannelMembershipPreferences {
    fn from(preferences: Preferences) -> Self {
        let Preferences { allow_notifications, filter_rule } = preferences;
        Self { push_notifications: Some(PushNotificationPreferences { allow_notifications, filter_rule }) }
    }
}

/// One sub-channel of an elastic channel.
#[shape]
pub struct SubChannelSummary {
    /// Its id.
    pub sub_channel_id: SubChannelId,
    /// How many belong to it, moderators among them.
    pub membership_count: i64,
}

/// What a search asks of a channel.
#[shape]
pub struct SearchField {
    /// What it looks at.
    pub key: SearchFieldKey,
    /// With what it compares.
    #[length(1, 20)]
    pub values: Vec<SearchFieldValue>,
    /// How it compares.
    pub operator: SearchFieldOperator,
}

/// Who a channel's moderator is.
#[shape]
pub struct ChannelModerator {
    /// Who.
    pub moderator: Identity,
    /// Where.
    pub channel_arn: ChannelArn,
    /// Since when.
    pub created_timestamp: Timestamp,
    /// By whom.
    pub created_by: Identity,
}

/// A moderator, in a list.
#[shape]
pub struct ChannelModeratorSummary {
    /// Who.
    pub moderator: Identity,
}

/// Who is banned from a channel.
#[shape]
pub struct ChannelBan {
    /// Who.
    pub member: Identity,
    /// Where.
    pub channel_arn: ChannelArn,
    /// Since when.
    pub created_timestamp: Timestamp,
    /// By whom.
    pub created_by: Identity,
}

/// A ban, in a list.
#[shape]
pub struct ChannelBanSummary {
    /// Who.
    pub member: Identity,
}

/// A member, in a list.
#[shape]
pub struct ChannelMembershipSummary {
    /// Who.
    pub member: Identity,
}

/// A channel that someone belongs to, and how.
#[shape]
pub struct ChannelMembershipForAppInstanceUserSummary {
    /// The channel.
    pub channel_summary: ChannelSummary,
    /// How they belong.
    pub app_instance_user_membership_summary: AppInstanceUserMembershipSummary,
}

impl ChannelMembershipForAppInstanceUserSummary {
    /// A channel that `member` belongs to, as `viewer` sees it: how far one has read and when one was last sent a
    /// message of one's own, nobody else learns.
    pub fn new(belonging: Belonging, member: &Who, viewer: &IdentityArn) -> Self {
        let own = member.arn == *viewer;
        let read_at = belonging.read_at.filter(|_| own);
        let last_target_at = belonging.last_target_at.filter(|_| own);
        Self {
            app_instance_user_membership_summary: AppInstanceUserMembershipSummary {
                kind: belonging.kind,
                read_marker_timestamp: read_at,
                sub_channel_id: sub_channel_id(belonging.channel.key, belonging.sub_channel),
            },
            channel_summary: ChannelSummary::new(belonging.channel, last_target_at),
        }
    }
}

/// A channel that someone moderates.
#[shape]
pub struct ChannelModeratedByAppInstanceUserSummary {
    /// The channel.
    pub channel_summary: ChannelSummary,
}

/// How someone belongs to a channel.
#[shape]
pub struct AppInstanceUserMembershipSummary {
    /// Seen or hidden.
    #[member("Type")]
    pub kind: ChannelMembershipType,
    /// How far they have read.
    pub read_marker_timestamp: Option<Timestamp>,
    /// Which sub-channel they belong to.
    pub sub_channel_id: Option<SubChannelId>,
}

/// How far a message has come.
#[shape]
pub struct ChannelMessageStatusStructure {
    /// The status.
    pub value: ChannelMessageStatus,
    /// Why.
    pub detail: Option<StatusDetail>,
}

impl From<&Message> for ChannelMessageStatusStructure {
    fn from(message: &Message) -> Self {
        Self { value: message.status, detail: message.status_detail.clone() }
    }
}

/// The values of one attribute.
#[shape]
pub struct MessageAttributeValue {
    /// The values.
    pub string_values: Option<Vec<MessageAttributeStringValue>>,
}

/// What an application attaches to a message.
pub type MessageAttributeMap = BTreeMap<MessageAttributeName, MessageAttributeValue>;

/// The attributes of a request as the store keeps them.
pub fn attributes(map: &MessageAttributeMap) -> Attributes {
    map.iter().map(|(key, value)| (key.clone(), value.string_values.clone().unwrap_or_default())).collect()
}

/// The attributes of a message as the wire has them.
pub(crate) fn attribute_map(attributes: Attributes) -> MessageAttributeMap {
    attributes
        .into_iter()
        .map(|(key, values)| (key, MessageAttributeValue { string_values: Some(values) }))
        .collect()
}

/// The one other member that may see a message.
#[shape]
pub struct Target {
    /// Who.
    pub member_arn: Option<IdentityArn>,
}

/// What the push notification of a message says.
#[shape]
pub struct PushNotificationConfiguration {
    /// Its title.
    pub title: Option<PushNotificationTitle>,
    /// Its text.
    pub body: Option<PushNotificationBody>,
    /// How it arrives.
    #[member("Type")]
    pub kind: Option<PushNotificationType>,
}

/// A message, whole.
#[shape]
pub struct ChannelMessage {
    /// The channel.
    pub channel_arn: ChannelArn,
    /// Its id.
    pub message_id: MessageId,
    /// What it says; absent once redacted.
    pub content: Option<Content>,
    /// What the application wrote on it.
    pub metadata: Option<MessageMetadata>,
    /// What it is.
    #[member("Type")]
    pub kind: ChannelMessageType,
    /// When it was accepted.
    pub created_timestamp: Timestamp,
    /// When its content was last edited.
    pub last_edited_timestamp: Option<Timestamp>,
    /// When anything of it last changed.
    pub last_updated_timestamp: Timestamp,
    /// Who sent it.
    pub sender: Identity,
    /// Whether its content was erased.
    pub redacted: bool,
    /// Whether it is kept.
    pub persistence: ChannelMessagePersistenceType,
    /// How far it has come; always there, because clients read its value unguarded.
    pub status: ChannelMessageStatusStructure,
    /// What the application attached.
    pub message_attributes: Option<MessageAttributeMap>,
    /// The sub-channel, in an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
    /// What the content is.
    pub content_type: Option<ContentType>,
    /// The one other member that may see it.
    pub target: Option<Vec<Target>>,
}

impl ChannelMessage {
    /// A message of this channel.
    pub fn new(channel_arn: &ChannelArn, message: Message) -> Self {
        let sub_channel_id = sub_channel_id(message.channel, message.sub_channel);
        let persistence = message.persistence;
        let summary = ChannelMessageSummary::from(message);
        Self {
            channel_arn: channel_arn.clone(),
            message_id: summary.message_id,
            content: summary.content,
            metadata: summary.metadata,
            kind: summary.kind,
            created_timestamp: summary.created_timestamp,
            last_edited_timestamp: summary.last_edited_timestamp,
            last_updated_timestamp: summary.last_updated_timestamp,
            sender: summary.sender,
            redacted: summary.redacted,
            persistence,
            status: summary.status,
            message_attributes: summary.message_attributes,
            sub_channel_id,
            content_type: summary.content_type,
            target: summary.target,
        }
    }
}

/// A message, in a list.
#[shape]
pub struct ChannelMessageSummary {
    /// Its id.
    pub message_id: MessageId,
    /// What it says; absent once redacted.
    pub content: Option<Content>,
    /// What the application wrote on it.
    pub metadata: Option<MessageMetadata>,
    /// What it is.
    #[member("Type")]
    pub kind: ChannelMessageType,
    /// When it was accepted.
    pub created_timestamp: Timestamp,
    /// When anything of it last changed.
    pub last_updated_timestamp: Timestamp,
    /// When its content was last edited.
    pub last_edited_timestamp: Option<Timestamp>,
    /// Who sent it.
    pub sender: Identity,
    /// Whether its content was erased.
    pub redacted: bool,
    /// How far it has come.
    pub status: ChannelMessageStatusStructure,
    /// What the application attached.
    pub message_attributes: Option<MessageAttributeMap>,
    /// What the content is.
    pub content_type: Option<ContentType>,
    /// The one other member that may see it.
    pub target: Option<Vec<Target>>,
}

impl From<Message> for ChannelMessageSummary {
    fn from(message: Message) -> Self {
        Self {
            message_id: MessageId::stored(message.key.to_string()),
            created_timestamp: message.created_at(),
            status: ChannelMessageStatusStructure::from(&message),
            sender: Identity::from(&message.sender),
            content: message.content,
            metadata: shown(message.metadata),
            kind: message.kind,
            last_updated_timestamp: message.updated_at,
            last_edited_timestamp: message.edited_at,
            redacted: message.redacted,
            message_attributes: message.attributes.map(attribute_map),
            content_type: message.content_type,
            target: message.target.map(|target| vec![Target { member_arn: Some(target.arn) }]),
        }
    }
}

/// A function, and how it is called.
#[shape]
pub struct LambdaConfiguration {
    /// The function.
    pub resource_arn: LambdaFunctionArn,
    /// How it is called.
    pub invocation_type: InvocationType,
}

/// What a processor is.
#[shape]
pub struct ProcessorConfiguration {
    /// A function.
    pub lambda: LambdaConfiguration,
}

/// One function that a message passes.
#[shape]
pub struct Processor {
    /// Its name.
    pub name: NonEmptyResourceName,
    /// What it is.
    pub configuration: ProcessorConfiguration,
    /// Its place among the processors of the flow.
    pub execution_order: ChannelFlowExecutionOrder,
    /// What happens to a message when it cannot be reached.
    pub fallback_action: FallbackAction,
}

impl From<&Processor> for StoredProcessor {
    fn from(processor: &Processor) -> Self {
        Self {
            name: processor.name.clone(),
            function: processor.configuration.lambda.resource_arn.clone(),
            invocation: processor.configuration.lambda.invocation_type,
            order: processor.execution_order,
            fallback: processor.fallback_action,
        }
    }
}

impl From<StoredProcessor> for Processor {
    fn from(processor: StoredProcessor) -> Self {
        let lambda =
            LambdaConfiguration { resource_arn: processor.function, invocation_type: processor.invocation };
        Self {
            name: processor.name,
            configuration: ProcessorConfiguration { lambda },
            execution_order: processor.order,
            fallback_action: processor.fallback,
        }
    }
}

/// A channel flow, whole.
#[shape]
pub struct ChannelFlow {
    /// Its ARN.
    pub channel_flow_arn: ChannelFlowArn,
    /// Its processors.
    #[length(1, 3)]
    pub processors: Vec<Processor>,
    /// Its name.
    pub name: NonEmptyResourceName,
    /// When it was made.
    pub created_timestamp: Timestamp,
    /// When it last changed.
    pub last_updated_timestamp: Timestamp,
}

impl From<StoredFlow> for ChannelFlow {
    fn from(flow: StoredFlow) -> Self {
        Self {
            channel_flow_arn: flow.arn,
            processors: flow.processors.into_iter().map(Processor::from).collect(),
            name: flow.name,
            created_timestamp: flow.created_at,
            last_updated_timestamp: flow.updated_at,
        }
    }
}

/// A channel flow, in a list.
#[shape]
pub struct ChannelFlowSummary {
    /// Its ARN.
    pub channel_flow_arn: ChannelFlowArn,
    /// Its name.
    pub name: NonEmptyResourceName,
    /// Its processors.
    #[length(1, 3)]
    pub processors: Vec<Processor>,
}

impl From<StoredFlow> for ChannelFlowSummary {
    fn from(flow: StoredFlow) -> Self {
        let ChannelFlow { channel_flow_arn, name, processors, .. } = ChannelFlow::from(flow);
        Self { channel_flow_arn, name, processors }
    }
}

/// A channel that has a flow, in a list.
#[shape]
pub struct ChannelAssociatedWithFlowSummary {
    /// Its name.
    pub name: NonEmptyResourceName,
    /// Its ARN.
    pub channel_arn: ChannelArn,
    /// Who may add members.
    pub mode: ChannelMode,
    /// Who may read it.
    pub privacy: ChannelPrivacy,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
}

/// What a processor answers about a message.
#[shape]
pub struct ChannelMessageCallback {
    /// Which message.
    pub message_id: MessageId,
    /// What it says from now on.
    pub content: Option<NonEmptyContent>,
    /// What is written on it from now on.
    pub metadata: Option<MessageMetadata>,
    /// What its push notification says.
    pub push_notification: Option<PushNotificationConfiguration>,
    /// What is attached from now on.
    pub message_attributes: Option<MessageAttributeMap>,
    /// The sub-channel, in an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
    /// What the content is.
    pub content_type: Option<ContentType>,
}

/// Where one type of data is streamed to.
#[shape]
pub struct StreamingConfiguration {
    /// What is streamed.
    #[former("AppInstanceDataType")]
    pub data_type: MessagingDataType,
    /// The stream.
    pub resource_arn: AnyArn,
}

/// Where to open a socket.
#[shape]
pub struct MessagingSessionEndpoint {
    /// Host and port, without a scheme.
    pub url: UrlType,
}

/// Empty metadata is left out of answers.
pub fn shown<T: AsRef<str>>(metadata: Option<T>) -> Option<T> {
    metadata.filter(|metadata| !metadata.as_ref().is_empty())
}

/// The id of a sub-channel; an ordinary channel, its own only sub-channel, shows none.
pub fn sub_channel_id(channel: Key, sub_channel: Key) -> Option<SubChannelId> {
    (sub_channel != channel).then(|| SubChannelId::stored(sub_channel.to_string()))
}
