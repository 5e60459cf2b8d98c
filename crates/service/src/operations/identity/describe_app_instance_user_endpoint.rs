//! `DescribeAppInstanceUserEndpoint`: a device of a user, whole.

use super::endpoints::{id_of, key_of, no_endpoint, owner, state_of};
use crate::prelude::*;

/// The request.
#[operation(GET "/app-instance-users/{appInstanceUserArn}/endpoints/{endpointId}" => 200, Described)]
#[errors(BadRequest)]
pub struct DescribeAppInstanceUserEndpoint {
    /// Who; here alone the interface asks for any text.
    #[label]
    pub app_instance_user_arn: LooseUserArn,
    /// Which.
    #[label]
    pub endpoint_id: EndpointId,
}

/// The answer.
#[shape]
pub struct Described {
    /// The endpoint.
    pub app_instance_user_endpoint: AppInstanceUserEndpoint,
}

/// An endpoint, whole.
#[shape]
pub struct AppInstanceUserEndpoint {
    /// Whose.
    pub app_instance_user_arn: IdentityArn,
    /// Its id.
    pub endpoint_id: EndpointId,
    /// Its name.
    pub name: Option<EndpointName>,
    /// What kind of push service reaches it.
    #[member("Type")]
    pub kind: EndpointType,
    /// The push application that it belongs to.
    pub resource_arn: AnyArn,
    /// What the push service knows it by.
    pub endpoint_attributes: EndpointAttributes,
    /// When it was registered.
    pub created_timestamp: Timestamp,
    /// When it last changed.
    pub last_updated_timestamp: Timestamp,
    /// Whether the user wants to be notified there.
    pub allow_messages: AllowMessages,
    /// Whether it can be reached.
    pub endpoint_state: Option<EndpointState>,
}

impl Read for DescribeAppInstanceUserEndpoint {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Described> {
        let arn: IdentityArn = self
            .app_instance_user_arn
            .as_str()
            .parse()
            .map_err(|violation| Error::bad_request(format!("AppInstanceUserArn: {violation}")))?;
        let owner = owner(tx, call, &arn)?;
        let endpoint =
            store::endpoint::find(tx, owner, key_of(&self.endpoint_id)?)?.ok_or_else(no_endpoint)?;
        Ok(Described {
            app_instance_user_endpoint: AppInstanceUserEndpoint {
                app_instance_user_arn: arn,
                endpoint_id: id_of(endpoint.key),
                endpoint_state: Some(state_of(&endpoint)),
                name: endpoint.name,
                kind: endpoint.kind,
                resource_arn: endpoint.resource,
                endpoint_attributes: EndpointAttributes {
                    device_token: endpoint.device_token,
                    voip_device_token: endpoint.voip_device_token,
                },
                created_timestamp: endpoint.created_at,
                last_updated_timestamp: endpoint.updated_at,
                allow_messages: endpoint.allow_messages,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn an_endpoint_is_its_users_alone(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let endpoint_id = world.call(&endpoint_request(&ana, "token")).unwrap().endpoint_id;
        let mut code = |who: &str, id: &str| {
            let (app_instance_user_arn, endpoint_id) = (text(who), text(id));
            let describe = DescribeAppInstanceUserEndpoint { app_instance_user_arn, endpoint_id };
            world.call(&describe).map(drop).map_err(|refused| refused.code)
        };
        assert_eq!(code(ana.as_str(), endpoint_id.as_str()), Ok(()));
        assert_eq!(code(bob.as_str(), endpoint_id.as_str()), Err(ErrorCode::Forbidden));
        assert_eq!(code(ana.as_str(), "no-id-of-ours"), Err(ErrorCode::Forbidden));
        assert_eq!(code("ana", endpoint_id.as_str()), Err(ErrorCode::BadRequest));
    }
}
