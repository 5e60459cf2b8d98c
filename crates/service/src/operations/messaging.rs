//! The operations of Amazon Chime SDK Messaging.

mod content;
pub mod create_channel;
pub mod create_channel_membership;
pub mod delete_channel_membership;
pub mod delete_channel_message;
pub mod describe_channel;
mod existing;
pub mod get_channel_message;
pub mod get_channel_message_status;
pub mod get_messaging_session_endpoint;
pub mod list_channel_memberships;
pub mod list_channel_memberships_for_app_instance_user;
pub mod list_channel_messages;
pub mod list_channels;
mod placement;
pub mod redact_channel_message;
pub mod send_channel_message;
pub mod update_channel_message;
