//! The operations of Amazon Chime SDK Identity.

mod bots;
pub mod create_app_instance;
pub mod create_app_instance_admin;
pub mod create_app_instance_bot;
pub mod create_app_instance_user;
pub mod delete_app_instance;
pub mod delete_app_instance_admin;
pub mod delete_app_instance_bot;
pub mod delete_app_instance_user;
pub mod deregister_app_instance_user_endpoint;
pub mod describe_app_instance;
pub mod describe_app_instance_admin;
pub mod describe_app_instance_bot;
pub mod describe_app_instance_user;
pub mod describe_app_instance_user_endpoint;
mod endpoints;
pub mod get_app_instance_retention_settings;
pub mod list_app_instance_admins;
pub mod list_app_instance_bots;
pub mod list_app_instance_user_endpoints;
pub mod list_app_instance_users;
pub mod list_app_instances;
pub mod put_app_instance_retention_settings;
pub mod put_app_instance_user_expiration_settings;
pub mod register_app_instance_user_endpoint;
pub mod update_app_instance;
pub mod update_app_instance_bot;
pub mod update_app_instance_user;
pub mod update_app_instance_user_endpoint;

use crate::operation::Visitor;

/// Shows all of them.
pub(super) fn visit(visitor: &mut impl Visitor) {
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
