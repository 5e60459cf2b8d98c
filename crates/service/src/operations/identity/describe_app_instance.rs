//! `DescribeAppInstance`: an app instance, whole.

use crate::prelude::*;

/// The request.
#[operation(GET "/app-instances/{appInstanceArn}" => 200, Described)]
#[errors(BadRequest)]
pub struct DescribeAppInstance {
    /// Which.
    #[label]
    pub app_instance_arn: AppInstanceArn,
}

/// The answer.
#[shape]
pub struct Described {
    /// The app instance.
    pub app_instance: AppInstance,
}

/// An app instance, whole.
#[shape]
pub struct AppInstance {
    /// Its ARN.
    pub app_instance_arn: AppInstanceArn,
    /// Its name.
    pub name: NonEmptyResourceName,
    /// When it was made.
    pub created_timestamp: Timestamp,
    /// When it last changed.
    pub last_updated_timestamp: Timestamp,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
}

impl Read for DescribeAppInstance {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Described> {
        let key = call.app_instance(tx, &self.app_instance_arn)?;
        let found = store::app_instance::find(tx, &call.surroundings.home, key)?;
        let instance = found.ok_or_else(|| Error::forbidden("The app instance does not exist"))?;
        Ok(Described {
            app_instance: AppInstance {
                app_instance_arn: instance.arn,
                name: instance.name,
                created_timestamp: instance.created_at,
                last_updated_timestamp: instance.updated_at,
                metadata: shown(instance.metadata),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_missing_instance_is_as_forbidden_as_a_foreign_one(world: &mut World) {
        let existing = world.instance().clone();
        let missing = existing.as_str()[..existing.as_str().len() - 12].to_owned() + "000000000000";
        let foreign = existing.as_str().replace("us-east-1", "eu-west-1");
        for arn in [missing, foreign, existing.as_str().replace(&existing.key().unwrap().uuid(), "x")] {
            let refused =
                world.call(&DescribeAppInstance { app_instance_arn: arn.parse().unwrap() }).unwrap_err();
            assert_eq!(refused.code, ErrorCode::Forbidden, "{arn}");
        }
        assert!(world.call(&DescribeAppInstance { app_instance_arn: existing }).is_ok());
    }
}
