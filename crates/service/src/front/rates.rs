//! How often each operation may be called: the rates, and the table that says which operation has which.
//!
//! A rate is a token bucket that holds one second's calls. Nothing here counts; that is `limiter`. To add
//! an operation, give it a row in `TABLE`; a test fails until it has one. To add a rate, a line in `rates!` and a
//! key in the server's `[limits]`.

/// Declares the rates: each with its key in the settings, its name here, what is published, and what only protects
/// the server.
macro_rules! rates {
    ($($(#[$meta:meta])* $field:ident: $name:ident = $published:literal, $generous:literal;)*) => {
        /// Calls a second, each for one thing of its scope; 0 is no limit.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Rates { $($(#[$meta])* pub $field: u32,)* }

        /// One of the rates.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Rate { $($(#[$meta])* $name,)* }

        impl Rates {
            /// What the original publishes for us-east-1; where it publishes nothing, what its nearest sibling has.
            pub const PUBLISHED: Self = Self { $($field: $published,)* };
            /// What a single client of an application does not reach, and a loop gone wild does.
            pub const GENEROUS: Self = Self { $($field: $generous,)* };
            /// No limits.
            pub const OFF: Self = Self { $($field: 0,)* };

            pub(crate) fn of(&self, rate: Rate) -> u32 {
                match rate { $(Rate::$name => self.$field,)* }
            }

            /// One rate alone.
            #[cfg(test)]
            pub(crate) fn only(rate: Rate, per_second: u32) -> Self {
                match rate { $(Rate::$name => Self { $field: per_second, ..Self::OFF },)* }
            }
        }

        impl Rate {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its key in the settings, by which an exhausted rate is named to the client.
            pub(crate) fn key(self) -> &'static str {
                match self { $(Self::$name => stringify!($field),)* }
            }
        }
    };
}

rates! {
    /// Every call with one bearer, together.
    bearer_calls_per_second: BearerCalls = 10, 5_000;
    /// Every call of the identity interface, together, for the account.
    identity_calls_per_second: IdentityCalls = 50, 25_000;
    /// Creating app instances, for the account; updating and deleting one.
    app_instance_changes_per_second: AppInstanceChanges = 5, 2_500;
    /// Describing an app instance.
    app_instance_descriptions_per_second: AppInstanceDescriptions = 20, 10_000;
    /// Listing app instances, for the account.
    app_instance_lists_per_second: AppInstanceLists = 10, 5_000;
    /// Creating, updating and deleting users, for an app instance.
    user_changes_per_second: UserChanges = 10, 5_000;
    /// Describing a user.
    user_descriptions_per_second: UserDescriptions = 20, 10_000;
    /// Listing the users of an app instance.
    user_lists_per_second: UserLists = 10, 5_000;
    /// Administrators, bots, endpoints, retention, expiration and tags, for an app instance.
    other_identity_calls_per_second: OtherIdentityCalls = 10, 5_000;
    /// Creating, updating and deleting channels, for an app instance.
    channel_changes_per_second: ChannelChanges = 15, 7_500;
    /// Listing the channels of an app instance.
    channel_lists_per_second: ChannelLists = 10, 5_000;
    /// Describing a channel, or one member, moderator or ban of it.
    channel_descriptions_per_second: ChannelDescriptions = 20, 10_000;
    /// Creating and deleting memberships, bans and moderators of a channel.
    membership_changes_per_second: MembershipChanges = 15, 7_500;
    /// The same, of an elastic channel.
    elastic_membership_changes_per_second: ElasticMembershipChanges = 30, 15_000;
    /// Adding members to a channel in batches.
    membership_batches_per_second: MembershipBatches = 1, 500;
    /// Listing the members, bans or moderators of a channel.
    membership_lists_per_second: MembershipLists = 15, 7_500;
    /// Sending, updating, redacting and deleting messages of a channel or sub-channel, and callbacks, together.
    messages_per_second: Messages = 30, 15_000;
    /// Listing the messages of a channel.
    message_lists_per_second: MessageLists = 30, 15_000;
    /// Getting messages of a channel.
    message_reads_per_second: MessageReads = 30, 15_000;
    /// Asking for the status of messages of a channel.
    message_statuses_per_second: MessageStatuses = 30, 15_000;
    /// Listing the channels of a user, or those that it moderates.
    user_channel_lists_per_second: UserChannelLists = 15, 7_500;
    /// Listing the sub-channels of an elastic channel.
    sub_channel_lists_per_second: SubChannelLists = 15, 7_500;
    /// Flows, streaming, search, preferences, read markers and expiration, each for what it concerns.
    other_messaging_calls_per_second: OtherMessagingCalls = 10, 5_000;
    /// Connections that a user opens.
    connections_per_second: Connections = 1, 100;
    /// Asking where sockets are opened, for a caller.
    session_endpoints_per_second: SessionEndpoints = 10, 5_000;
    /// Actions of IAM, each, for the account.
    iam_calls_per_second: IamCalls = 10, 5_000;
    /// Actions of STS, together, for a caller; one whom a provider vouches for is a caller.
    sts_calls_per_second: StsCalls = 600, 60_000;
    /// Asking why somebody may or may not do something, for a caller.
    explanations_per_second: Explanations = 10, 1_000;
    /// Exchanges of credentials, for a user.
    exchanges_per_second: Exchanges = 5, 500;
    /// Calls of any interface that policy refuses, for the caller whom it refuses.
    refused_calls_per_second: RefusedCalls = 50, 5_000;
}

/// What a rate counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The account.
    Account,
    /// The app instance of the bearer; without a bearer, that of what the call names.
    AppInstance,
    /// The bearer; without one, the user that the call names.
    User,
    /// The channel.
    Channel,
    /// The sub-channel; where there are none, the channel.
    SubChannel,
    /// The bearer, whatever it calls.
    Bearer,
    /// Whoever signs: a session by itself, a user over all its access keys.
    Caller,
}

impl Scope {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Account => "the account",
            Self::AppInstance => "an app instance",
            Self::User => "a user",
            Self::Channel => "a channel",
            Self::SubChannel => "a channel or sub-channel",
            Self::Bearer => "a bearer",
            Self::Caller => "a caller",
        }
    }
}

/// The rate of some operations. Each counts by itself, unless the rate is one for all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) rate: Rate,
    pub(crate) scope: Scope,
    pub(crate) operations: &'static [&'static str],
}

const fn row(rate: Rate, scope: Scope, operations: &'static [&'static str]) -> Row {
    Row { rate, scope, operations }
}

/// The operations of the identity interface, which also share one rate. The tags stand in both interfaces, on the
/// same paths; they count here.
#[rustfmt::skip]
pub(crate) const IDENTITY: &[Row] = &[
    row(Rate::AppInstanceChanges, Scope::Account, &["CreateAppInstance"]),
    row(Rate::AppInstanceChanges, Scope::AppInstance, &["UpdateAppInstance", "DeleteAppInstance"]),
    row(Rate::AppInstanceDescriptions, Scope::AppInstance, &["DescribeAppInstance"]),
    row(Rate::AppInstanceLists, Scope::Account, &["ListAppInstances"]),
    row(Rate::UserChanges, Scope::AppInstance, &["CreateAppInstanceUser", "UpdateAppInstanceUser",
        "DeleteAppInstanceUser"]),
    row(Rate::UserDescriptions, Scope::User, &["DescribeAppInstanceUser"]),
    row(Rate::UserLists, Scope::AppInstance, &["ListAppInstanceUsers"]),
    row(Rate::OtherIdentityCalls, Scope::AppInstance, &[
        "CreateAppInstanceAdmin", "DeleteAppInstanceAdmin", "DescribeAppInstanceAdmin", "ListAppInstanceAdmins",
        "CreateAppInstanceBot", "DeleteAppInstanceBot", "DescribeAppInstanceBot", "ListAppInstanceBots",
        "UpdateAppInstanceBot",
        "RegisterAppInstanceUserEndpoint", "DeregisterAppInstanceUserEndpoint",
        "DescribeAppInstanceUserEndpoint", "ListAppInstanceUserEndpoints", "UpdateAppInstanceUserEndpoint",
        "GetAppInstanceRetentionSettings", "PutAppInstanceRetentionSettings",
        "PutAppInstanceUserExpirationSettings",
        "ListTagsForResource", "TagResource", "UntagResource",
    ]),
];

/// The operations of the messaging interface.
#[rustfmt::skip]
pub(crate) const MESSAGING: &[Row] = &[
    row(Rate::ChannelChanges, Scope::AppInstance, &["CreateChannel", "UpdateChannel", "DeleteChannel"]),
    row(Rate::ChannelLists, Scope::AppInstance, &["ListChannels"]),
    row(Rate::ChannelDescriptions, Scope::Channel, &["DescribeChannel", "DescribeChannelBan",
        "DescribeChannelMembership", "DescribeChannelModerator"]),
    row(Rate::MembershipChanges, Scope::Channel, &["CreateChannelMembership", "DeleteChannelMembership",
        "CreateChannelBan", "DeleteChannelBan", "CreateChannelModerator", "DeleteChannelModerator"]),
    row(Rate::MembershipBatches, Scope::Channel, &["BatchCreateChannelMembership"]),
    row(Rate::MembershipLists, Scope::Channel, &["ListChannelMemberships", "ListChannelBans",
        "ListChannelModerators"]),
    row(Rate::Messages, Scope::SubChannel, &["SendChannelMessage", "UpdateChannelMessage",
        "RedactChannelMessage", "DeleteChannelMessage", "ChannelFlowCallback"]),
    row(Rate::MessageLists, Scope::Channel, &["ListChannelMessages"]),
    row(Rate::MessageReads, Scope::Channel, &["GetChannelMessage"]),
    row(Rate::MessageStatuses, Scope::Channel, &["GetChannelMessageStatus"]),
    row(Rate::UserChannelLists, Scope::User, &["ListChannelMembershipsForAppInstanceUser",
        "ListChannelsModeratedByAppInstanceUser"]),
    row(Rate::SubChannelLists, Scope::Channel, &["ListSubChannels"]),
    row(Rate::OtherMessagingCalls, Scope::Channel, &["PutChannelExpirationSettings", "AssociateChannelFlow",
        "DisassociateChannelFlow"]),
    row(Rate::OtherMessagingCalls, Scope::User, &["SearchChannels", "UpdateChannelReadMarker",
        "GetChannelMembershipPreferences", "PutChannelMembershipPreferences",
        "DescribeChannelMembershipForAppInstanceUser", "DescribeChannelModeratedByAppInstanceUser"]),
    row(Rate::OtherMessagingCalls, Scope::AppInstance, &["CreateChannelFlow", "DeleteChannelFlow",
        "DescribeChannelFlow", "ListChannelFlows", "UpdateChannelFlow", "ListChannelsAssociatedWithChannelFlow",
        "DeleteMessagingStreamingConfigurations", "GetMessagingStreamingConfigurations",
        "PutMessagingStreamingConfigurations"]),
    row(Rate::SessionEndpoints, Scope::Caller, &["GetMessagingSessionEndpoint"]),
];

/// The extensions: each has the rate of its nearest sibling, and counts by itself.
#[rustfmt::skip]
pub(crate) const EXTENSIONS: &[Row] = &[
    row(Rate::MembershipLists, Scope::Channel, &["ListChannelReadMarkers"]),
    row(Rate::UserChannelLists, Scope::User, &["ListUnreadCounts"]),
    row(Rate::OtherMessagingCalls, Scope::User, &["SearchChannelMessages"]),
];

/// The whole table: which rate applies to which operation.
pub(crate) fn table() -> impl Iterator<Item = (bool, &'static Row)> {
    let others = MESSAGING.iter().chain(EXTENSIONS);
    IDENTITY.iter().map(|row| (true, row)).chain(others.map(|row| (false, row)))
}

/// A published rate that counts a call of some operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its key in the settings.
    pub key: &'static str,
    /// How many calls a second it allows.
    pub per_second: u32,
    /// Whose calls it counts.
    pub scope: Scope,
    /// The operation that it counts by itself; nothing where several count together.
    pub operation: Option<&'static str>,
}

/// The published rates that count a call, for whoever calls the original: the widest first. There are none of what is
/// no operation.
pub fn published(operation: &str, has_bearer: bool) -> Vec<Published> {
    let mut rows =
        table().flat_map(|(identity, row)| row.operations.iter().map(move |name| (identity, row, *name)));
    let Some((identity, row, name)) = rows.find(|(_, _, name)| *name == operation) else {
        return Vec::new();
    };
    let of = |rate: Rate, scope, operation| Published {
        key: rate.key(),
        per_second: Rates::PUBLISHED.of(rate),
        scope,
        operation,
    };
    let account = identity.then(|| of(Rate::IdentityCalls, Scope::Account, None));
    let bearer = has_bearer.then(|| of(Rate::BearerCalls, Scope::Bearer, None));
    let own = of(row.rate, row.scope, Some(name).filter(|_| row.rate != Rate::Messages));
    account.into_iter().chain(bearer).chain([own]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_operation_has_one_row_in_the_table_of_its_interface() {
        let api: Value = serde_json::from_str(include_str!("../../../../spec/api.json")).unwrap();
        let published = |interface: &str| -> BTreeSet<String> {
            api[interface]["operations"].as_object().unwrap().keys().cloned().collect()
        };
        let names = |rows: &[Row]| -> Vec<String> {
            rows.iter().flat_map(|row| row.operations).map(|name| (*name).to_owned()).collect()
        };
        let (identity, messaging) = (names(IDENTITY), names(MESSAGING));
        let rows: BTreeSet<String> = identity.iter().chain(&messaging).cloned().collect();
        assert_eq!(rows.len(), identity.len() + messaging.len(), "an operation has two rows");
        let (their_identity, their_messaging) =
            (published("chime-sdk-identity"), published("chime-sdk-messaging"));
        assert_eq!(identity.into_iter().collect::<BTreeSet<_>>(), their_identity);
        let messaging_alone: BTreeSet<_> = their_messaging.difference(&their_identity).cloned().collect();
        assert_eq!(messaging.into_iter().collect::<BTreeSet<_>>(), messaging_alone);
        assert_eq!((their_identity.len(), their_messaging.len(), rows.len()), (30, 51, 78));
        let extensions: Value =
            serde_json::from_str(include_str!("../../../../spec/extensions.json")).unwrap();
        let described = extensions["carillon-extensions"]["operations"].as_object().unwrap();
        let own = names(EXTENSIONS);
        assert_eq!(own.len(), described.len(), "an extension has two rows, or none");
        assert_eq!(own.into_iter().collect::<BTreeSet<_>>(), described.keys().cloned().collect());
    }

    #[test]
    fn the_presets_are_what_their_names_say() {
        for rate in Rate::ALL {
            let (published, generous) = (Rates::PUBLISHED.of(*rate), Rates::GENEROUS.of(*rate));
            assert!(0 < published && 100 * published <= generous, "{}", rate.key());
            assert_eq!(Rates::OFF.of(*rate), 0);
        }
        assert_eq!(Rates::PUBLISHED.messages_per_second, 30);
    }

    #[test]
    fn whoever_calls_the_original_is_told_all_rates_that_count_a_call() {
        let keys = |operation, has_bearer| -> Vec<_> {
            published(operation, has_bearer).iter().map(|one| (one.key, one.per_second, one.scope)).collect()
        };
        let (identity, bearer) = (
            ("identity_calls_per_second", 50, Scope::Account),
            ("bearer_calls_per_second", 10, Scope::Bearer),
        );
        assert_eq!(
            keys("ListTagsForResource", false),
            [identity, ("other_identity_calls_per_second", 10, Scope::AppInstance)]
        );
        assert_eq!(
            keys("ListChannelMessages", true),
            [bearer, ("message_lists_per_second", 30, Scope::Channel)]
        );
        assert_eq!(published("SendChannelMessage", true)[1].operation, None);
        assert_eq!(published("GetUser", false), []);
    }
}
