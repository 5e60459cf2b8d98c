//! The operations of Amazon Chime SDK Messaging.

pub mod create_channel;
pub mod create_channel_ban;
pub mod create_channel_membership;
pub mod create_channel_moderator;
pub mod delete_channel_ban;
pub mod delete_channel_membership;
pub mod delete_channel_moderator;
pub mod describe_channel;
pub mod describe_channel_ban;
pub mod describe_channel_membership;
pub mod describe_channel_membership_for_app_instance_user;
pub mod describe_channel_moderated_by_app_instance_user;
pub mod describe_channel_moderator;
pub mod get_channel_message;
pub mod get_channel_message_status;
pub mod get_messaging_session_endpoint;
pub mod list_channel_bans;
pub mod list_channel_memberships;
pub mod list_channel_memberships_for_app_instance_user;
pub mod list_channel_messages;
pub mod list_channel_moderators;
pub mod list_channels;
pub mod list_channels_moderated_by_app_instance_user;
mod placement;
pub mod send_channel_message;
mod subject;
pub mod update_channel;
