//! The operations, by what they concern. A new one is a file below and a line here.

pub mod identity;
pub mod messaging;

use crate::operation::{Route, read, write};

/// All operations.
pub fn all() -> Vec<Route> {
    use identity::*;
    use messaging::*;
    vec![
        write::<create_app_instance::CreateAppInstance>(),
        write::<create_app_instance_admin::CreateAppInstanceAdmin>(),
        write::<create_app_instance_user::CreateAppInstanceUser>(),
        read::<describe_app_instance::DescribeAppInstance>(),
        read::<describe_app_instance_user::DescribeAppInstanceUser>(),
        read::<list_app_instances::ListAppInstances>(),
        read::<list_app_instance_users::ListAppInstanceUsers>(),
        write::<create_channel::CreateChannel>(),
        write::<create_channel_membership::CreateChannelMembership>(),
        write::<delete_channel_membership::DeleteChannelMembership>(),
        write::<delete_channel_message::DeleteChannelMessage>(),
        read::<describe_channel::DescribeChannel>(),
        read::<get_channel_message::GetChannelMessage>(),
        read::<get_channel_message_status::GetChannelMessageStatus>(),
        read::<get_messaging_session_endpoint::GetMessagingSessionEndpoint>(),
        read::<list_channel_memberships::ListChannelMemberships>(),
        read::<list_channel_memberships_for_app_instance_user::ListChannelMembershipsForAppInstanceUser>(),
        read::<list_channel_messages::ListChannelMessages>(),
        read::<list_channels::ListChannels>(),
        write::<redact_channel_message::RedactChannelMessage>(),
        write::<send_channel_message::SendChannelMessage>(),
        write::<update_channel_message::UpdateChannelMessage>(),
    ]
}
