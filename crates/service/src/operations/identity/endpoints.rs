//! What the operations on endpoints have in common.

use carillon_model::endpoint::Endpoint;

use crate::prelude::*;

/// The user whose endpoints a request is about.
pub(super) fn owner(tx: &mut Tx, call: &Call, arn: &IdentityArn) -> Result<Key> {
    Ok(call.user(tx, "AppInstanceUserArn", arn)?.key)
}

/// The key that an `EndpointId` spells. What is no id of ours names nothing.
pub(super) fn key_of(id: &EndpointId) -> Result<Key> {
    Key::from_uuid(id.as_str()).ok_or_else(no_endpoint)
}

/// An endpoint that is not there.
pub(super) fn no_endpoint() -> Error {
    Error::forbidden("The endpoint does not exist")
}

/// The id of an endpoint.
pub(super) fn id_of(key: Key) -> EndpointId {
    EndpointId::stored(key.uuid())
}

/// Whether an endpoint can be reached, and why not.
pub(super) fn state_of(endpoint: &Endpoint) -> EndpointState {
    EndpointState { status: endpoint.status, status_reason: endpoint.status_reason }
}
