//! The operations of Amazon Chime SDK Identity.

pub mod create_app_instance;
pub mod create_app_instance_admin;
pub mod create_app_instance_user;
pub mod describe_app_instance;
pub mod describe_app_instance_user;
pub mod list_app_instance_users;
pub mod list_app_instances;
