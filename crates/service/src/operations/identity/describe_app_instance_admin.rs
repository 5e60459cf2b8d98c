//! `DescribeAppInstanceAdmin`: an administrator. Applications call it to learn whether someone is one.

use crate::prelude::*;

/// The request.
#[operation(GET "/app-instances/{appInstanceArn}/admins/{appInstanceAdminArn}" => 200, Described)]
#[errors(BadRequest)]
pub struct DescribeAppInstanceAdmin {
    /// Who.
    #[label]
    pub app_instance_admin_arn: IdentityArn,
    /// Where.
    #[label]
    pub app_instance_arn: AppInstanceArn,
}

/// The answer.
#[shape]
pub struct Described {
    /// The administrator.
    pub app_instance_admin: AppInstanceAdmin,
}

/// An administrator, whole.
#[shape]
pub struct AppInstanceAdmin {
    /// Who.
    pub admin: Identity,
    /// Where.
    pub app_instance_arn: AppInstanceArn,
    /// Since when.
    pub created_timestamp: Timestamp,
}

impl Read for DescribeAppInstanceAdmin {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Described> {
        call.app_instance(tx, &self.app_instance_arn)?;
        call.identity(tx, &self.app_instance_admin_arn, &self.app_instance_arn)?;
        let found = store::identity::find_admin(tx, &self.app_instance_admin_arn)?;
        let (who, created_timestamp) =
            found.ok_or_else(|| Error::forbidden("The user or bot is not an administrator"))?;
        let app_instance_arn = self.app_instance_arn.clone();
        let app_instance_admin =
            AppInstanceAdmin { admin: Identity::from(&who), app_instance_arn, created_timestamp };
        Ok(Described { app_instance_admin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn only_an_administrator_is_described(world: &mut World) {
        let ana = world.user("ana");
        world.advance_ms(3);
        let root = world.admin("root");
        let describe = |who: &IdentityArn, world: &World| DescribeAppInstanceAdmin {
            app_instance_admin_arn: who.clone(),
            app_instance_arn: world.instance().clone(),
        };
        let found = world.call(&describe(&root, world)).unwrap().app_instance_admin;
        assert_eq!((found.admin.name.as_str(), found.created_timestamp), ("Root", START.plus_ms(3)));
        assert_eq!(world.call(&describe(&ana, world)).unwrap_err().code, ErrorCode::Forbidden);
        let elsewhere =
            DescribeAppInstanceAdmin { app_instance_arn: world.new_instance(), ..describe(&root, world) };
        assert_eq!(world.call(&elsewhere).unwrap_err().code, ErrorCode::BadRequest);
    }
}
