//! The operations, by what they concern. A new one is a file below and a line here.

pub mod identity;
pub mod messaging;
pub mod tags;

use crate::operation::{Route, read, write};

/// All operations.
pub fn all() -> Vec<Route> {
    use identity::*;
    use messaging::*;
    use tags::*;
    vec![
        write::<create_app_instance::CreateAppInstance>(),
        write::<create_app_instance_admin::CreateAppInstanceAdmin>(),
        write::<create_app_instance_user::CreateAppInstanceUser>(),
        write::<delete_app_instance_admin::DeleteAppInstanceAdmin>(),
        read::<describe_app_instance::DescribeAppInstance>(),
        read::<describe_app_instance_admin::DescribeAppInstanceAdmin>(),
        read::<describe_app_instance_user::DescribeAppInstanceUser>(),
        read::<get_app_instance_retention_settings::GetAppInstanceRetentionSettings>(),
        read::<list_app_instance_admins::ListAppInstanceAdmins>(),
        read::<list_app_instances::ListAppInstances>(),
        read::<list_app_instance_users::ListAppInstanceUsers>(),
        write::<put_app_instance_retention_settings::PutAppInstanceRetentionSettings>(),
        write::<put_app_instance_user_expiration_settings::PutAppInstanceUserExpirationSettings>(),
        write::<update_app_instance::UpdateAppInstance>(),
        write::<update_app_instance_user::UpdateAppInstanceUser>(),
        write::<create_channel::CreateChannel>(),
        write::<create_channel_membership::CreateChannelMembership>(),
        write::<delete_channel_membership::DeleteChannelMembership>(),
        read::<describe_channel::DescribeChannel>(),
        read::<get_channel_message::GetChannelMessage>(),
        read::<get_channel_message_status::GetChannelMessageStatus>(),
        read::<get_messaging_session_endpoint::GetMessagingSessionEndpoint>(),
        read::<list_channel_memberships::ListChannelMemberships>(),
        read::<list_channel_memberships_for_app_instance_user::ListChannelMembershipsForAppInstanceUser>(),
        read::<list_channel_messages::ListChannelMessages>(),
        read::<list_channels::ListChannels>(),
        write::<send_channel_message::SendChannelMessage>(),
        read::<list_tags_for_resource::ListTagsForResource>(),
        write::<tag_resource::TagResource>(),
        write::<untag_resource::UntagResource>(),
    ]
}
