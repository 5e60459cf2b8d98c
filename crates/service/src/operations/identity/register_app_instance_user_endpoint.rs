//! `RegisterAppInstanceUserEndpoint`: gives a user a device that they are notified on.
//!
//! A device is one user's in an app instance: who registers it last has it.

use aws_lc_rs::digest::{SHA256, digest};
use carillon_model::endpoint::Endpoint;

use super::endpoints::{id_of, owner};
use crate::once::{Once, once};
use crate::prelude::*;

/// The request.
#[operation(POST "/app-instance-users/{appInstanceUserArn}/endpoints" => 201, Registered)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
pub struct RegisterAppInstanceUserEndpoint {
    /// Who.
    #[label]
    pub app_instance_user_arn: IdentityArn,
    /// The name of the device.
    pub name: Option<EndpointName>,
    /// What kind of push service reaches it.
    #[member("Type")]
    pub kind: EndpointType,
    /// The push application that it belongs to.
    pub resource_arn: AnyArn,
    /// What the push service knows it by.
    pub endpoint_attributes: EndpointAttributes,
    /// Makes a repeated request have one effect.
    pub client_request_token: ClientRequestToken,
    /// Whether the user wants to be notified there; absent, they do.
    pub allow_messages: Option<AllowMessages>,
}

/// The answer.
#[shape]
pub struct Registered {
    /// Who.
    pub app_instance_user_arn: IdentityArn,
    /// The endpoint.
    pub endpoint_id: EndpointId,
}

impl Write for RegisterAppInstanceUserEndpoint {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Registered> {
        self.check(call)?;
        let owner = owner(tx, call, &self.app_instance_user_arn)?;
        let token = (owner, &self.client_request_token);
        let registered =
            once(tx, call, self, token, |key: &Key| key.to_string(), |tx| self.register(tx, call, owner))?;
        let key = match registered {
            Once::First(key) => Some(key),
            Once::Earlier(kept) => Key::from_hex(&kept),
        };
        let key = key.ok_or_else(|| crate::once::unreadable(Self::NAME))?;
        Ok(Registered { app_instance_user_arn: self.app_instance_user_arn.clone(), endpoint_id: id_of(key) })
    }
}

impl RegisterAppInstanceUserEndpoint {
    fn check(&self, call: &Call) -> Result<()> {
        let arn = self.resource_arn.as_str();
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [_, _, "mobiletargeting", region, account, resource] = parts[..] else {
            return Err(Error::bad_request("ResourceArn: must be the ARN of a push application"));
        };
        if !resource.strip_prefix("apps/").is_some_and(|id| !id.is_empty() && !id.contains('/')) {
            return Err(Error::bad_request("ResourceArn: must be the ARN of a push application"));
        }
        let home = &call.surroundings.home;
        if (region, account) != (home.region(), home.account()) {
            return Err(Error::forbidden(
                "ResourceArn: the push application is not of the app instance's account and region",
            ));
        }
        if self.kind == EndpointType::Gcm && self.endpoint_attributes.voip_device_token.is_some() {
            return Err(Error::bad_request("VoipDeviceToken: is for the types APNS and APNS_SANDBOX"));
        }
        Ok(())
    }

    fn register(&self, tx: &mut Tx, call: &Call, owner: Key) -> Result<Key> {
        store::identity::hold(tx, owner)?;
        let device = self.device();
        store::endpoint::give_device(tx, &device, owner, call.now)?;
        let most = call.surroundings.quotas.endpoints_max;
        if most <= store::endpoint::count(tx, owner)? {
            return Err(Error::limit_exceeded("endpoints of a user", most));
        }
        let endpoint = Endpoint {
            key: call.new_key(),
            owner,
            device,
            name: self.name.clone(),
            kind: self.kind,
            resource: self.resource_arn.clone(),
            device_token: self.endpoint_attributes.device_token.clone(),
            voip_device_token: self.endpoint_attributes.voip_device_token.clone(),
            allow_messages: self.allow_messages.unwrap_or(AllowMessages::All),
            status: EndpointStatus::Active,
            status_reason: None,
            created_at: call.now,
            updated_at: call.now,
        };
        store::endpoint::insert(tx, &endpoint)?;
        Ok(endpoint.key)
    }

    /// The same for the same device in the same application on the push service and here. No part can hold the
    /// newlines between them.
    fn device(&self) -> [u8; 32] {
        let instance = self.app_instance_user_arn.app_instance();
        let token = self.endpoint_attributes.device_token.as_str();
        let text = [instance.as_str(), self.resource_arn.as_str(), token].join("\n");
        digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("this digest has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_app_instance_user_endpoint::DescribeAppInstanceUserEndpoint;
    use super::super::list_app_instance_user_endpoints::ListAppInstanceUserEndpoints;
    use super::*;
    use crate::testing::*;

    fn state(world: &mut World, who: &IdentityArn, id: &EndpointId) -> Option<EndpointState> {
        let describe = DescribeAppInstanceUserEndpoint {
            app_instance_user_arn: text(who.as_str()),
            endpoint_id: id.clone(),
        };
        world.call(&describe).ok()?.app_instance_user_endpoint.endpoint_state
    }

    fn count(world: &mut World, who: &IdentityArn) -> usize {
        let list = ListAppInstanceUserEndpoints {
            app_instance_user_arn: who.clone(),
            max_results: None,
            next_token: None,
        };
        world.call(&list).unwrap().app_instance_user_endpoints.len()
    }

    #[engine_test]
    fn a_token_registers_once_and_what_was_registered_is_shown(world: &mut World) {
        let ana = world.user("ana");
        let register = endpoint_request(&ana, "token");
        let id = world.call(&register).unwrap().endpoint_id;
        assert_eq!(world.call(&register).unwrap().endpoint_id, id);
        let other = RegisterAppInstanceUserEndpoint { name: Some(text("other")), ..register.clone() };
        assert_eq!(world.call(&other).unwrap_err().code, ErrorCode::Conflict);
        let describe = DescribeAppInstanceUserEndpoint {
            app_instance_user_arn: text(ana.as_str()),
            endpoint_id: id.clone(),
        };
        let shown = world.call(&describe).unwrap().app_instance_user_endpoint;
        assert_eq!((shown.app_instance_user_arn, shown.endpoint_id), (ana, id));
        assert_eq!((shown.name, shown.kind), (register.name, register.kind));
        assert_eq!(shown.resource_arn, register.resource_arn);
        assert_eq!(shown.endpoint_attributes, register.endpoint_attributes);
        assert_eq!((shown.created_timestamp, shown.last_updated_timestamp), (START, START));
        assert_eq!(shown.allow_messages, AllowMessages::All);
        let active = EndpointState { status: EndpointStatus::Active, status_reason: None };
        assert_eq!(shown.endpoint_state, Some(active));
    }

    #[engine_test]
    fn a_device_is_one_users_and_the_newest_registration_has_it(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let first = world.call(&endpoint_request(&ana, "token")).unwrap().endpoint_id;
        let again = RegisterAppInstanceUserEndpoint {
            client_request_token: text("again"),
            ..endpoint_request(&ana, "token")
        };
        let second = world.call(&again).unwrap().endpoint_id;
        assert_ne!(first, second);
        assert_eq!((state(world, &ana, &first), count(world, &ana)), (None, 1));
        let of_bob = world.call(&endpoint_request(&bob, "token")).unwrap().endpoint_id;
        let handed_on = EndpointState {
            status: EndpointStatus::Inactive,
            status_reason: Some(EndpointStatusReason::InvalidDeviceToken),
        };
        assert_eq!(state(world, &ana, &second), Some(handed_on));
        assert_eq!(state(world, &bob, &of_bob).unwrap().status, EndpointStatus::Active);
        let stranger = world.stranger("eve");
        world.call(&endpoint_request(&stranger, "token")).unwrap();
        assert_eq!(state(world, &bob, &of_bob).unwrap().status, EndpointStatus::Active);
    }

    #[engine_test]
    fn the_quota_of_endpoints_holds(world: &mut World) {
        let (ana, most) = (world.user("ana"), world.quotas().endpoints_max);
        assert_eq!(most, 10);
        for number in 0..most {
            world.call(&endpoint_request(&ana, &format!("token-{number}"))).unwrap();
        }
        let refused = world.call(&endpoint_request(&ana, "more")).unwrap_err();
        assert_eq!(refused.code, ErrorCode::ResourceLimitExceeded);
        let known = RegisterAppInstanceUserEndpoint {
            client_request_token: text("again"),
            ..endpoint_request(&ana, "token-3")
        };
        world.call(&known).unwrap();
    }

    #[engine_test]
    fn what_is_no_push_application_of_this_account_is_refused(world: &mut World) {
        let good = endpoint_request(&world.user("ana"), "token");
        let here = "arn:aws:mobiletargeting:us-east-1:111122223333";
        for (arn, code) in [
            ("arn:aws:sns:us-east-1:111122223333:apps/1f".to_owned(), ErrorCode::BadRequest),
            (format!("{here}:app/1f"), ErrorCode::BadRequest),
            (format!("{here}:apps/"), ErrorCode::BadRequest),
            (format!("{here}:apps/1f/channels"), ErrorCode::BadRequest),
            ("arn:aws:mobiletargeting:us-east-1:999999999999:apps/1f".to_owned(), ErrorCode::Forbidden),
            ("arn:aws:mobiletargeting:eu-west-1:111122223333:apps/1f".to_owned(), ErrorCode::Forbidden),
        ] {
            let bad = RegisterAppInstanceUserEndpoint { resource_arn: text(&arn), ..good.clone() };
            assert_eq!(world.call(&bad).unwrap_err().code, code, "{arn}");
        }
        let mut call = RegisterAppInstanceUserEndpoint { kind: EndpointType::Gcm, ..good.clone() };
        call.endpoint_attributes.voip_device_token = Some(text("voip"));
        assert_eq!(world.call(&call).unwrap_err().code, ErrorCode::BadRequest);
        call.kind = EndpointType::ApnsSandbox;
        world.call(&call).unwrap();
        let nobody = endpoint_request(&world.instance().user("nobody"), "token");
        assert_eq!(world.call(&nobody).unwrap_err().code, ErrorCode::Forbidden);
        let bot = endpoint_request(&world.bot("Belle"), "token");
        assert_eq!(world.call(&bot).unwrap_err().code, ErrorCode::BadRequest);
    }
}
