//! `UpdateAppInstanceUserEndpoint`: changes the name of a device, or whether its user wants to be notified there.

use super::endpoints::{key_of, no_endpoint, owner};
use crate::prelude::*;

/// The request.
#[operation(PUT "/app-instance-users/{appInstanceUserArn}/endpoints/{endpointId}" => 200, Updated)]
#[errors(BadRequest, Conflict)]
pub struct UpdateAppInstanceUserEndpoint {
    /// Who.
    #[label]
    pub app_instance_user_arn: IdentityArn,
    /// Which.
    #[label]
    pub endpoint_id: EndpointId,
    /// Its name from now on; absent, as it was.
    pub name: Option<EndpointName>,
    /// Whether the user wants to be notified there from now on; absent, as it was.
    pub allow_messages: Option<AllowMessages>,
}

/// The answer.
#[shape]
pub struct Updated {
    /// Who.
    pub app_instance_user_arn: IdentityArn,
    /// Which.
    pub endpoint_id: EndpointId,
}

impl Write for UpdateAppInstanceUserEndpoint {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Updated> {
        let owner = owner(tx, call, &self.app_instance_user_arn)?;
        let (which, name) = ((owner, key_of(&self.endpoint_id)?), self.name.as_ref());
        if !store::endpoint::update(tx, which, name, self.allow_messages, call.now)? {
            return Err(no_endpoint());
        }
        let (app_instance_user_arn, endpoint_id) =
            (self.app_instance_user_arn.clone(), self.endpoint_id.clone());
        Ok(Updated { app_instance_user_arn, endpoint_id })
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_app_instance_user_endpoint::DescribeAppInstanceUserEndpoint;
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn what_is_not_given_stays(world: &mut World) {
        let ana = world.user("ana");
        let endpoint_id = world.call(&endpoint_request(&ana, "token")).unwrap().endpoint_id;
        let describe = DescribeAppInstanceUserEndpoint {
            app_instance_user_arn: text(ana.as_str()),
            endpoint_id: endpoint_id.clone(),
        };
        world.advance_ms(7);
        let mut update = UpdateAppInstanceUserEndpoint {
            app_instance_user_arn: ana,
            endpoint_id,
            name: None,
            allow_messages: Some(AllowMessages::None),
        };
        world.call(&update).unwrap();
        let shown = world.call(&describe).unwrap().app_instance_user_endpoint;
        assert_eq!((shown.name, shown.allow_messages), (Some(text("Phone")), AllowMessages::None));
        assert_eq!((shown.created_timestamp, shown.last_updated_timestamp), (START, START.plus_ms(7)));
        (update.name, update.allow_messages) = (Some(text("Tablet")), None);
        world.call(&update).unwrap();
        let shown = world.call(&describe).unwrap().app_instance_user_endpoint;
        assert_eq!((shown.name, shown.allow_messages), (Some(text("Tablet")), AllowMessages::None));
        update.endpoint_id = text("8d1e2f30-aaaa-4bbb-8ccc-000000000001");
        assert_eq!(world.call(&update).unwrap_err().code, ErrorCode::Forbidden);
    }
}
