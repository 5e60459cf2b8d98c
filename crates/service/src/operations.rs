//! The operations, by what they concern. A new one is a file below and a line here.

pub mod identity;
pub mod messaging;
pub mod tags;

use crate::operation::{Route, read, write};

/// All operations.
pub fn all() -> Vec<Route> {
    identity_routes().into_iter().chain(tag_routes()).chain(messaging_routes()).collect()
}

/// Those of the identity interface.
fn identity_routes() -> Vec<Route> {
    use identity::*;
    vec![
        write::<create_app_instance::CreateAppInstance>(),
        write::<create_app_instance_admin::CreateAppInstanceAdmin>(),
        write::<create_app_instance_bot::CreateAppInstanceBot>(),
        write::<create_app_instance_user::CreateAppInstanceUser>(),
        write::<delete_app_instance::DeleteAppInstance>(),
        write::<delete_app_instance_admin::DeleteAppInstanceAdmin>(),
        write::<delete_app_instance_bot::DeleteAppInstanceBot>(),
        write::<delete_app_instance_user::DeleteAppInstanceUser>(),
        write::<deregister_app_instance_user_endpoint::DeregisterAppInstanceUserEndpoint>(),
        read::<describe_app_instance::DescribeAppInstance>(),
        read::<describe_app_instance_admin::DescribeAppInstanceAdmin>(),
        read::<describe_app_instance_bot::DescribeAppInstanceBot>(),
        read::<describe_app_instance_user::DescribeAppInstanceUser>(),
        read::<describe_app_instance_user_endpoint::DescribeAppInstanceUserEndpoint>(),
        read::<get_app_instance_retention_settings::GetAppInstanceRetentionSettings>(),
        read::<list_app_instance_admins::ListAppInstanceAdmins>(),
        read::<list_app_instance_bots::ListAppInstanceBots>(),
        read::<list_app_instance_user_endpoints::ListAppInstanceUserEndpoints>(),
        read::<list_app_instance_users::ListAppInstanceUsers>(),
        read::<list_app_instances::ListAppInstances>(),
        write::<put_app_instance_retention_settings::PutAppInstanceRetentionSettings>(),
        write::<put_app_instance_user_expiration_settings::PutAppInstanceUserExpirationSettings>(),
        write::<register_app_instance_user_endpoint::RegisterAppInstanceUserEndpoint>(),
        write::<update_app_instance::UpdateAppInstance>(),
        write::<update_app_instance_bot::UpdateAppInstanceBot>(),
        write::<update_app_instance_user::UpdateAppInstanceUser>(),
        write::<update_app_instance_user_endpoint::UpdateAppInstanceUserEndpoint>(),
    ]
}

/// Those that both interfaces publish, on the same paths.
fn tag_routes() -> Vec<Route> {
    use tags::*;
    vec![
        read::<list_tags_for_resource::ListTagsForResource>(),
        write::<tag_resource::TagResource>(),
        write::<untag_resource::UntagResource>(),
    ]
}

/// Those of the messaging interface.
fn messaging_routes() -> Vec<Route> {
    use messaging::*;
    vec![
        write::<associate_channel_flow::AssociateChannelFlow>(),
        write::<batch_create_channel_membership::BatchCreateChannelMembership>(),
        write::<channel_flow_callback::ChannelFlowCallback>(),
        write::<create_channel::CreateChannel>(),
        write::<create_channel_ban::CreateChannelBan>(),
        write::<create_channel_flow::CreateChannelFlow>(),
        write::<create_channel_membership::CreateChannelMembership>(),
        write::<create_channel_moderator::CreateChannelModerator>(),
        write::<delete_channel::DeleteChannel>(),
        write::<delete_channel_ban::DeleteChannelBan>(),
        write::<delete_channel_flow::DeleteChannelFlow>(),
        write::<delete_channel_membership::DeleteChannelMembership>(),
        write::<delete_channel_message::DeleteChannelMessage>(),
        write::<delete_channel_moderator::DeleteChannelModerator>(),
        write::<delete_messaging_streaming_configurations::DeleteMessagingStreamingConfigurations>(),
        read::<describe_channel::DescribeChannel>(),
        read::<describe_channel_ban::DescribeChannelBan>(),
        read::<describe_channel_flow::DescribeChannelFlow>(),
        read::<describe_channel_membership::DescribeChannelMembership>(),
        read::<describe_channel_membership_for_app_instance_user::DescribeChannelMembershipForAppInstanceUser>(
        ),
        read::<describe_channel_moderated_by_app_instance_user::DescribeChannelModeratedByAppInstanceUser>(),
        read::<describe_channel_moderator::DescribeChannelModerator>(),
        write::<disassociate_channel_flow::DisassociateChannelFlow>(),
        read::<get_channel_membership_preferences::GetChannelMembershipPreferences>(),
        read::<get_channel_message::GetChannelMessage>(),
        read::<get_channel_message_status::GetChannelMessageStatus>(),
        read::<get_messaging_session_endpoint::GetMessagingSessionEndpoint>(),
        read::<get_messaging_streaming_configurations::GetMessagingStreamingConfigurations>(),
        read::<list_channel_bans::ListChannelBans>(),
        read::<list_channel_flows::ListChannelFlows>(),
        read::<list_channel_memberships::ListChannelMemberships>(),
        read::<list_channel_memberships_for_app_instance_user::ListChannelMembershipsForAppInstanceUser>(),
        read::<list_channel_messages::ListChannelMessages>(),
        read::<list_channel_moderators::ListChannelModerators>(),
        read::<list_channels::ListChannels>(),
        read::<list_channels_associated_with_channel_flow::ListChannelsAssociatedWithChannelFlow>(),
        read::<list_channels_moderated_by_app_instance_user::ListChannelsModeratedByAppInstanceUser>(),
        read::<list_sub_channels::ListSubChannels>(),
        write::<put_channel_expiration_settings::PutChannelExpirationSettings>(),
        write::<put_channel_membership_preferences::PutChannelMembershipPreferences>(),
        write::<put_messaging_streaming_configurations::PutMessagingStreamingConfigurations>(),
        write::<redact_channel_message::RedactChannelMessage>(),
        read::<search_channels::SearchChannels>(),
        write::<send_channel_message::SendChannelMessage>(),
        write::<update_channel::UpdateChannel>(),
        write::<update_channel_flow::UpdateChannelFlow>(),
        write::<update_channel_message::UpdateChannelMessage>(),
        write::<update_channel_read_marker::UpdateChannelReadMarker>(),
    ]
}
