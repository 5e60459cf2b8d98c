//! The operations, by what they concern. A new one is a file below and a line here.

pub mod identity;
pub mod messaging;
pub mod tags;

use crate::operation::Visitor;

/// Shows all operations.
pub fn visit(visitor: &mut impl Visitor) {
    visit_identity(visitor);
    visit_tags(visitor);
    visit_messaging(visitor);
}

/// Those of the identity interface.
fn visit_identity(visitor: &mut impl Visitor) {
    use identity::*;
    visitor.write::<create_app_instance::CreateAppInstance>();
    visitor.write::<create_app_instance_admin::CreateAppInstanceAdmin>();
    visitor.write::<create_app_instance_bot::CreateAppInstanceBot>();
    visitor.write::<create_app_instance_user::CreateAppInstanceUser>();
    visitor.write::<delete_app_instance::DeleteAppInstance>();
    visitor.write::<delete_app_instance_admin::DeleteAppInstanceAdmin>();
    visitor.write::<delete_app_instance_bot::DeleteAppInstanceBot>();
    visitor.write::<delete_app_instance_user::DeleteAppInstanceUser>();
    visitor.write::<deregister_app_instance_user_endpoint::DeregisterAppInstanceUserEndpoint>();
    visitor.read::<describe_app_instance::DescribeAppInstance>();
    visitor.read::<describe_app_instance_admin::DescribeAppInstanceAdmin>();
    visitor.read::<describe_app_instance_bot::DescribeAppInstanceBot>();
    visitor.read::<describe_app_instance_user::DescribeAppInstanceUser>();
    visitor.read::<describe_app_instance_user_endpoint::DescribeAppInstanceUserEndpoint>();
    visitor.read::<get_app_instance_retention_settings::GetAppInstanceRetentionSettings>();
    visitor.read::<list_app_instance_admins::ListAppInstanceAdmins>();
    visitor.read::<list_app_instance_bots::ListAppInstanceBots>();
    visitor.read::<list_app_instance_user_endpoints::ListAppInstanceUserEndpoints>();
    visitor.read::<list_app_instance_users::ListAppInstanceUsers>();
    visitor.read::<list_app_instances::ListAppInstances>();
    visitor.write::<put_app_instance_retention_settings::PutAppInstanceRetentionSettings>();
    visitor.write::<put_app_instance_user_expiration_settings::PutAppInstanceUserExpirationSettings>();
    visitor.write::<register_app_instance_user_endpoint::RegisterAppInstanceUserEndpoint>();
    visitor.write::<update_app_instance::UpdateAppInstance>();
    visitor.write::<update_app_instance_bot::UpdateAppInstanceBot>();
    visitor.write::<update_app_instance_user::UpdateAppInstanceUser>();
    visitor.write::<update_app_instance_user_endpoint::UpdateAppInstanceUserEndpoint>();
}

/// Those that both interfaces publish, on the same paths.
fn visit_tags(visitor: &mut impl Visitor) {
    use tags::*;
    visitor.read::<list_tags_for_resource::ListTagsForResource>();
    visitor.write::<tag_resource::TagResource>();
    visitor.write::<untag_resource::UntagResource>();
}

/// Those of the messaging interface.
fn visit_messaging(visitor: &mut impl Visitor) {
    use messaging::*;
    visitor.write::<associate_channel_flow::AssociateChannelFlow>();
    visitor.write::<batch_create_channel_membership::BatchCreateChannelMembership>();
    visitor.write::<channel_flow_callback::ChannelFlowCallback>();
    visitor.write::<create_channel::CreateChannel>();
    visitor.write::<create_channel_ban::CreateChannelBan>();
    visitor.write::<create_channel_flow::CreateChannelFlow>();
    visitor.write::<create_channel_membership::CreateChannelMembership>();
    visitor.write::<create_channel_moderator::CreateChannelModerator>();
    visitor.write::<delete_channel::DeleteChannel>();
    visitor.write::<delete_channel_ban::DeleteChannelBan>();
    visitor.write::<delete_channel_flow::DeleteChannelFlow>();
    visitor.write::<delete_channel_membership::DeleteChannelMembership>();
    visitor.write::<delete_channel_message::DeleteChannelMessage>();
    visitor.write::<delete_channel_moderator::DeleteChannelModerator>();
    visitor.write::<delete_messaging_streaming_configurations::DeleteMessagingStreamingConfigurations>();
    visitor.read::<describe_channel::DescribeChannel>();
    visitor.read::<describe_channel_ban::DescribeChannelBan>();
    visitor.read::<describe_channel_flow::DescribeChannelFlow>();
    visitor.read::<describe_channel_membership::DescribeChannelMembership>();
    visitor.read::<describe_channel_membership_for_app_instance_user::DescribeChannelMembershipForAppInstanceUser>();
    visitor
        .read::<describe_channel_moderated_by_app_instance_user::DescribeChannelModeratedByAppInstanceUser>();
    visitor.read::<describe_channel_moderator::DescribeChannelModerator>();
    visitor.write::<disassociate_channel_flow::DisassociateChannelFlow>();
    visitor.read::<get_channel_membership_preferences::GetChannelMembershipPreferences>();
    visitor.read::<get_channel_message::GetChannelMessage>();
    visitor.read::<get_channel_message_status::GetChannelMessageStatus>();
    visitor.read::<get_messaging_session_endpoint::GetMessagingSessionEndpoint>();
    visitor.read::<get_messaging_streaming_configurations::GetMessagingStreamingConfigurations>();
    visitor.read::<list_channel_bans::ListChannelBans>();
    visitor.read::<list_channel_flows::ListChannelFlows>();
    visitor.read::<list_channel_memberships::ListChannelMemberships>();
    visitor
        .read::<list_channel_memberships_for_app_instance_user::ListChannelMembershipsForAppInstanceUser>();
    visitor.read::<list_channel_messages::ListChannelMessages>();
    visitor.read::<list_channel_moderators::ListChannelModerators>();
    visitor.read::<list_channels::ListChannels>();
    visitor.read::<list_channels_associated_with_channel_flow::ListChannelsAssociatedWithChannelFlow>();
    visitor.read::<list_channels_moderated_by_app_instance_user::ListChannelsModeratedByAppInstanceUser>();
    visitor.read::<list_sub_channels::ListSubChannels>();
    visitor.write::<put_channel_expiration_settings::PutChannelExpirationSettings>();
    visitor.write::<put_channel_membership_preferences::PutChannelMembershipPreferences>();
    visitor.write::<put_messaging_streaming_configurations::PutMessagingStreamingConfigurations>();
    visitor.write::<redact_channel_message::RedactChannelMessage>();
    visitor.read::<search_channels::SearchChannels>();
    visitor.write::<send_channel_message::SendChannelMessage>();
    visitor.write::<update_channel::UpdateChannel>();
    visitor.write::<update_channel_flow::UpdateChannelFlow>();
    visitor.write::<update_channel_message::UpdateChannelMessage>();
    visitor.write::<update_channel_read_marker::UpdateChannelReadMarker>();
}
