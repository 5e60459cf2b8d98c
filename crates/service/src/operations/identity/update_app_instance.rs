//! `UpdateAppInstance`: replaces the name and the metadata.

use crate::prelude::*;

/// The request.
#[operation(PUT "/app-instances/{appInstanceArn}" => 200, Updated)]
#[errors(BadRequest, Conflict)]
pub struct UpdateAppInstance {
    /// Which.
    #[label]
    pub app_instance_arn: AppInstanceArn,
    /// Its new name.
    pub name: NonEmptyResourceName,
    /// Its new metadata; empty, it has none.
    pub metadata: Metadata,
}

/// The answer.
#[shape]
pub struct Updated {
    /// Which.
    pub app_instance_arn: AppInstanceArn,
}

impl Write for UpdateAppInstance {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Updated> {
        let key = call.app_instance(tx, &self.app_instance_arn)?;
        let metadata = shown(Some(self.metadata.clone()));
        store::app_instance::update(tx, key, &self.name, metadata.as_ref(), call.now)?;
        Ok(Updated { app_instance_arn: self.app_instance_arn.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_app_instance::DescribeAppInstance;
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn name_and_metadata_are_both_replaced(world: &mut World) {
        let arn = world.instance().clone();
        let mut update = UpdateAppInstance {
            app_instance_arn: arn.clone(),
            name: text("Horns"),
            metadata: text("{\"b\":2}"),
        };
        world.advance_ms(5);
        assert_eq!(world.call(&update).unwrap().app_instance_arn, arn);
        let describe = DescribeAppInstance { app_instance_arn: arn };
        let found = world.call(&describe).unwrap().app_instance;
        assert_eq!((found.name.as_str(), found.metadata.unwrap().as_str()), ("Horns", "{\"b\":2}"));
        assert_eq!((found.created_timestamp, found.last_updated_timestamp), (START, START.plus_ms(5)));
        update.metadata = text("");
        world.call(&update).unwrap();
        assert_eq!(world.call(&describe).unwrap().app_instance.metadata, None);
    }

    #[engine_test]
    fn a_missing_instance_is_forbidden(world: &mut World) {
        let foreign = world.instance().as_str().replace("us-east-1", "eu-west-1");
        let update =
            UpdateAppInstance { app_instance_arn: text(&foreign), name: text("x"), metadata: text("") };
        assert_eq!(world.call(&update).unwrap_err().code, ErrorCode::Forbidden);
    }
}
