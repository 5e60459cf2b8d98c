//! The quotas of the service, by their published defaults.

use carillon_model::message::{METADATA_BYTES_MAX, STANDARD_CONTENT_BYTES_MAX};

/// How much of each thing there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// App instances of the account.
    pub app_instances_max: i64,
    /// Users of an app instance.
    pub users_max: i64,
    /// Administrators of an app instance.
    pub admins_max: i64,
    /// Bots of an app instance; nothing is published.
    pub bots_max: i64,
    /// Endpoints of a user.
    pub endpoints_max: i64,
    /// Channels of an app instance.
    pub channels_max: i64,
    /// Elastic channels of an app instance.
    pub elastic_channels_max: i64,
    /// Moderators of a channel.
    pub moderators_max: i64,
    /// Bans of a channel.
    pub bans_max: i64,
    /// Channel flows of an app instance.
    pub channel_flows_max: i64,
    /// Processors of a channel flow; the interface allows three.
    pub processors_max: i64,
    /// Memberships of a channel that is not elastic.
    pub channel_memberships_max: i64,
    /// Memberships of a user.
    pub user_memberships_max: i64,
    /// Sub-channels of an elastic channel.
    pub sub_channels_max: i64,
    /// Memberships of a sub-channel.
    pub sub_channel_memberships_max: i64,
    /// Bytes of the content of a STANDARD message.
    pub content_bytes_max: usize,
    /// Bytes of the metadata of a message.
    pub metadata_bytes_max: usize,
    /// Sessions of a user that are connected at the same time.
    pub connections_per_user_max: i64,
    /// Seconds after the end of its life in which a URL that opens a socket is still taken: clients sign it for ten
    /// seconds, by a clock that nothing corrects, as an answer of REST corrects theirs.
    pub connect_late_seconds: i64,
    /// Frames that the client of a session may send in a second, pings among them: it sends none but answers to pings.
    pub connection_frames_per_second_max: i64,
    /// Channels that a session is told of when it connects with prefetch.
    pub prefetch_channels_max: i64,
    /// Messages of each channel that it is told of then.
    pub prefetch_messages_max: i64,
    /// Memberships of each channel that it is told of then.
    pub prefetch_memberships_max: i64,
    /// Whether who does not belong to a channel that is `PUBLIC` and `RESTRICTED` may add themselves, as to any public
    /// one.
    pub public_restricted_self_join: bool,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            app_instances_max: 100,
            users_max: 100_000,
            admins_max: 100,
            bots_max: 100,
            endpoints_max: 10,
            channels_max: 10_000_000,
            elastic_channels_max: 1,
            moderators_max: 1_000,
            bans_max: 10_000,
            channel_flows_max: 100,
            processors_max: 1,
            channel_memberships_max: 10_000,
            user_memberships_max: 20_000,
            sub_channels_max: 100,
            sub_channel_memberships_max: 1_000,
            content_bytes_max: STANDARD_CONTENT_BYTES_MAX,
            metadata_bytes_max: METADATA_BYTES_MAX,
            connections_per_user_max: 10,
            connect_late_seconds: 300,
            connection_frames_per_second_max: 50,
            prefetch_channels_max: 50,
            prefetch_messages_max: 20,
            prefetch_memberships_max: 30,
            public_restricted_self_join: true,
        }
    }
}

/// Members of an elastic channel, moderators not counted. The product of its configuration may not pass it.
pub const ELASTIC_MEMBERS_MAX: i64 = 1_000_000;
/// Tags of a resource.
pub const TAGS_MAX: usize = 50;
