//! `CreateAppInstanceAdmin`: promotes a user or bot. It gives every right on all channels, and no membership.

use carillon_store::app_instance::Counts;

use crate::prelude::*;

/// The request.
#[operation(POST "/app-instances/{appInstanceArn}/admins" => 201, Created)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
pub struct CreateAppInstanceAdmin {
    /// Who.
    pub app_instance_admin_arn: IdentityArn,
    /// Where.
    #[label]
    pub app_instance_arn: AppInstanceArn,
}

/// The answer.
#[shape]
pub struct Created {
    /// Who.
    pub app_instance_admin: Identity,
    /// Where.
    pub app_instance_arn: AppInstanceArn,
}

impl Write for CreateAppInstanceAdmin {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Created> {
        let instance = call.app_instance(tx, &self.app_instance_arn)?;
        let found = call.identity(tx, &self.app_instance_admin_arn, &self.app_instance_arn)?;
        if found.is_admin {
            return Err(Error::conflict("The user or bot is an administrator already"));
        }
        let counts = store::app_instance::find_counts(tx, instance)?;
        let counts = counts.ok_or_else(|| Error::forbidden("The app instance does not exist"))?;
        let most = call.surroundings.quotas.admins_max;
        if most <= counts.admins {
            return Err(Error::limit_exceeded("administrators of an app instance", most));
        }
        let (one, most) = (Counts { admins: 1, ..Counts::default() }, Counts { admins: most, ..Counts::MAX });
        store::app_instance::grow(tx, instance, one, most)?;
        store::identity::promote(tx, found.identity.key, call.now)?;
        let app_instance_arn = self.app_instance_arn.clone();
        Ok(Created { app_instance_admin: Identity::from(&found.identity), app_instance_arn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn promoting_twice_is_a_conflict_and_a_stranger_is_refused(world: &mut World) {
        let promote = CreateAppInstanceAdmin {
            app_instance_admin_arn: world.user("ana"),
            app_instance_arn: world.instance().clone(),
        };
        let admin = world.call(&promote).unwrap().app_instance_admin;
        assert_eq!((admin.arn.id(), admin.name.as_str()), ("ana", "Ana"));
        assert_eq!(world.call(&promote).unwrap_err().code, ErrorCode::Conflict);
        let missing = CreateAppInstanceAdmin {
            app_instance_admin_arn: world.instance().user("nobody"),
            ..promote.clone()
        };
        assert_eq!(world.call(&missing).unwrap_err().code, ErrorCode::Forbidden);
        let foreign = CreateAppInstanceAdmin { app_instance_arn: world.new_instance(), ..promote };
        assert_eq!(world.call(&foreign).unwrap_err().code, ErrorCode::BadRequest);
    }
}
