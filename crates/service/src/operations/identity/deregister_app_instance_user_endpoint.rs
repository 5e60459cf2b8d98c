//! `DeregisterAppInstanceUserEndpoint`: takes a device of a user away.

use super::endpoints::{key_of, no_endpoint, owner};
use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(DELETE "/app-instance-users/{appInstanceUserArn}/endpoints/{endpointId}" => 204, NoContent)]
#[errors(BadRequest)]
pub struct DeregisterAppInstanceUserEndpoint {
    /// Who.
    #[label]
    pub app_instance_user_arn: IdentityArn,
    /// Which.
    #[label]
    pub endpoint_id: EndpointId,
}

impl Write for DeregisterAppInstanceUserEndpoint {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        let owner = owner(tx, call, &self.app_instance_user_arn)?;
        if !store::endpoint::delete(tx, owner, key_of(&self.endpoint_id)?)? {
            return Err(no_endpoint());
        }
        Ok(NoContent {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_device_is_taken_away_once_and_by_its_user_only(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let endpoint_id = world.call(&endpoint_request(&ana, "token")).unwrap().endpoint_id;
        let deregister = |who: &IdentityArn| DeregisterAppInstanceUserEndpoint {
            app_instance_user_arn: who.clone(),
            endpoint_id: endpoint_id.clone(),
        };
        assert_eq!(world.call(&deregister(&bob)).unwrap_err().code, ErrorCode::Forbidden);
        world.call(&deregister(&ana)).unwrap();
        assert_eq!(world.call(&deregister(&ana)).unwrap_err().code, ErrorCode::Forbidden);
    }
}
