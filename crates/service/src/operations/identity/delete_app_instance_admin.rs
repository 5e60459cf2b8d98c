//! `DeleteAppInstanceAdmin`: demotes a user or bot. It stays, and keeps what it is to each channel.

use crate::operation::NoContent;
use crate::operation::prelude::*;

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
    fn aggregate(&self) -> &str {
        self.app_instance_arn.as_str()
    }

    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        let instance = call.app_instance(tx, &self.app_instance_arn)?;
        let found = call.identity(tx, &self.app_instance_admin_arn, &self.app_instance_arn)?;
        let not_one = || Error::conflict("The user or bot is not an administrator");
        if !found.is_admin {
            return Err(not_one());
        }
        let claimed = store::app_instance::claim(tx, instance)?;
        let mut counts = claimed.ok_or_else(|| Error::forbidden("The app instance does not exist"))?;
        if !store::identity::demote(tx, found.identity.key)? {
            return Err(not_one());
        }
        counts.admins -= 1;
        store::app_instance::set_counts(tx, instance, counts)?;
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
