//! `GetMessagingSessionEndpoint`: where to open a socket. Clients ask again before every reconnection.

use crate::prelude::*;

/// The request.
#[operation(GET "/endpoints/messaging-session" => 200, Got)]
pub struct GetMessagingSessionEndpoint {
    /// The networks it should be reachable on; one name serves all.
    #[query("network-type")]
    pub network_type: Option<NetworkType>,
}

/// The answer.
#[shape]
pub struct Got {
    /// Where.
    pub endpoint: MessagingSessionEndpoint,
}

impl Read for GetMessagingSessionEndpoint {
    fn run(&self, _: &mut Tx, call: &Call) -> Result<Got> {
        let url = UrlType::stored(call.surroundings.public_host.clone());
        Ok(Got { endpoint: MessagingSessionEndpoint { url } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn the_endpoint_is_a_bare_host_and_port(world: &mut World) {
        let got = world.call(&GetMessagingSessionEndpoint { network_type: Some(NetworkType::DualStack) });
        assert_eq!(got.unwrap().endpoint.url.as_str(), "ws.example.test:8443");
        let (status, body) =
            world.raw("GET", "/endpoints/messaging-session?network-type=CARRIER_PIGEON", b"");
        assert_eq!((status, body["Code"].as_str()), (400, Some("BadRequest")));
    }
}
