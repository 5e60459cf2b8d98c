//! `PutAppInstanceUserExpirationSettings`: says when a user goes away by itself, counted from its creation.

use crate::prelude::*;

/// The request.
#[operation(PUT "/app-instance-users/{appInstanceUserArn}/expiration-settings" => 200, Put)]
#[errors(BadRequest, Conflict)]
pub struct PutAppInstanceUserExpirationSettings {
    /// Who.
    #[label]
    pub app_instance_user_arn: IdentityArn,
    /// When; absent, never.
    pub expiration_settings: Option<UserExpirationSettings>,
}

/// The answer.
#[shape]
pub struct Put {
    /// Who.
    pub app_instance_user_arn: IdentityArn,
    /// When.
    pub expiration_settings: Option<UserExpirationSettings>,
}

impl Write for PutAppInstanceUserExpirationSettings {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Put> {
        let user = call.user(tx, "AppInstanceUserArn", &self.app_instance_user_arn)?;
        let settings = self.expiration_settings.as_ref();
        let expiration = settings.map(|settings| (settings.expiration_days, settings.expiration_criterion));
        store::identity::set_expiration(tx, user.key, expiration)?;
        Ok(Put { app_instance_user_arn: user.arn, expiration_settings: self.expiration_settings.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_app_instance_user::DescribeAppInstanceUser;
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn settings_are_kept_until_they_are_taken_away(world: &mut World) {
        let ana = world.user("ana");
        let describe = DescribeAppInstanceUser { app_instance_user_arn: ana.clone() };
        let settings = Some(UserExpirationSettings {
            expiration_days: text("30"),
            expiration_criterion: UserExpirationCriterion::CreatedTimestamp,
        });
        let mut put = PutAppInstanceUserExpirationSettings {
            app_instance_user_arn: ana,
            expiration_settings: settings.clone(),
        };
        assert_eq!(world.call(&put).unwrap().expiration_settings, settings);
        assert_eq!(world.call(&describe).unwrap().app_instance_user.expiration_settings, settings);
        put.expiration_settings = None;
        assert_eq!(world.call(&put).unwrap().expiration_settings, None);
        assert_eq!(world.call(&describe).unwrap().app_instance_user.expiration_settings, None);
    }

    #[engine_test]
    fn a_missing_user_is_forbidden(world: &mut World) {
        let put = PutAppInstanceUserExpirationSettings {
            app_instance_user_arn: world.instance().user("nobody"),
            expiration_settings: None,
        };
        assert_eq!(world.call(&put).unwrap_err().code, ErrorCode::Forbidden);
    }
}
