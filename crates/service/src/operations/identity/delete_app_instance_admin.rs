//! `DeleteAppInstanceAdmin`: demotes a user or bot. It stays, and keeps what it is to each channel.

use carillon_store::app_instance::Counts;

use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(DELETE "/app-instances/{appInstanceArn}/admins/{appInstanceAdminArn}" => 204, NoContent)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
pub struct DeleteAppInstanceAdmin {
    /// Who.
    #[label]
    pub app_instance_admin_arn: IdentityArn,
    /// Where.
    #[label]
    pub app_instance_arn: AppInstanceArn,
}

impl Write for DeleteAppInstanceAdmin {
    fn lane(&self) -> Lane {
        Lane::instance(&self.app_instance_arn)
    }

    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        let instance = call.app_instance(tx, &self.app_instance_arn)?;
        let found = call.identity(tx, &self.app_instance_admin_arn, &self.app_instance_arn)?;
        if !found.is_admin {
            return Err(Error::conflict("The user or bot is not an administrator"));
        }
        store::app_instance::shrink(tx, instance, Counts { admins: 1, ..Counts::default() })?;
        store::identity::demote(tx, found.identity.key)?;
        Ok(NoContent {})
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_app_instance_user::DescribeAppInstanceUser;
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_demoted_administrator_stays_a_user_and_makes_room_for_another(world: &mut World) {
        let root = world.admin("root");
        world.set_quotas(|quotas| quotas.admins_max = 1);
        let demote = DeleteAppInstanceAdmin {
            app_instance_admin_arn: root.clone(),
            app_instance_arn: world.instance().clone(),
        };
        world.call(&demote).unwrap();
        assert_eq!(world.call(&demote).unwrap_err().code, ErrorCode::Conflict);
        assert!(world.call(&DescribeAppInstanceUser { app_instance_user_arn: root }).is_ok());
        world.admin("toor");
        let missing =
            DeleteAppInstanceAdmin { app_instance_admin_arn: world.instance().user("nobody"), ..demote };
        assert_eq!(world.call(&missing).unwrap_err().code, ErrorCode::Forbidden);
    }
}
