//! The operations of Amazon Chime SDK Identity.

pub mod create_app_instance;
pub mod create_app_instance_admin;
pub mod create_app_instance_user;
pub mod delete_app_instance_admin;
pub mod describe_app_instance;
pub mod describe_app_instance_admin;
pub mod describe_app_instance_user;
pub mod get_app_instance_retention_settings;
pub mod list_app_instance_admins;
pub mod list_app_instance_users;
pub mod list_app_instances;
pub mod put_app_instance_retention_settings;
pub mod put_app_instance_user_expiration_settings;
pub mod update_app_instance;
pub mod update_app_instance_user;
