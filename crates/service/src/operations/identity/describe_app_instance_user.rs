//! `DescribeAppInstanceUser`: a user, whole. Clients take its refusal for "create it now".

use crate::prelude::*;

/// The request.
#[operation(GET "/app-instance-users/{appInstanceUserArn}" => 200, Described)]
#[errors(BadRequest)]
pub struct DescribeAppInstanceUser {
    /// Who.
    #[label]
    pub app_instance_user_arn: IdentityArn,
}

/// The answer.
#[shape]
pub struct Described {
    /// The user.
    pub app_instance_user: AppInstanceUser,
}

/// A user, whole.
#[shape]
pub struct AppInstanceUser {
    /// Its ARN.
    pub app_instance_user_arn: IdentityArn,
    /// Its display name.
    pub name: UserName,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
    /// When it was made.
    pub created_timestamp: Timestamp,
    /// When it last changed.
    pub last_updated_timestamp: Timestamp,
    /// When it goes away by itself.
    pub expiration_settings: Option<UserExpirationSettings>,
}

impl Read for DescribeAppInstanceUser {
    fn run(&self, tx: &mut Tx, _: &Call) -> Result<Described> {
        crate::call::only_user("AppInstanceUserArn", &self.app_instance_user_arn)?;
        let found = store::identity::find_user(tx, &self.app_instance_user_arn)?;
        let user = found.ok_or_else(|| Error::forbidden("The user does not exist"))?;
        Ok(Described {
            app_instance_user: AppInstanceUser {
                app_instance_user_arn: user.arn,
                name: user.name,
                metadata: shown(user.metadata),
                created_timestamp: user.created_at,
                last_updated_timestamp: user.updated_at,
                expiration_settings: user.expiration.map(|(expiration_days, expiration_criterion)| {
                    UserExpirationSettings { expiration_days, expiration_criterion }
                }),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_missing_user_is_forbidden_and_a_bot_is_no_user(world: &mut World) {
        let nobody = world.instance().user("nobody");
        let refused = world.call(&DescribeAppInstanceUser { app_instance_user_arn: nobody }).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden);
        let bot = world.instance().identity(carillon_model::arn::IdentityKind::Bot, "echo");
        let refused = world.call(&DescribeAppInstanceUser { app_instance_user_arn: bot }).unwrap_err();
        assert_eq!(refused.code, ErrorCode::BadRequest);
    }
}
