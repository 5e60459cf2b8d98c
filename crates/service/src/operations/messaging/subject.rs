//! Whose channels a view is about: the caller's, or for administrators, anyone's.

use carillon_model::IdentityArn;
use carillon_model::identity::Identity;
use carillon_store::Tx;

use crate::call::Call;
use crate::error::{Error, Result};

/// The user or bot that a request names, the bearer where it names none.
pub(super) fn subject(tx: &mut Tx, call: &Call, named: Option<&IdentityArn>) -> Result<Identity> {
    let bearer = call.bearer(tx)?;
    let Some(other) = named.filter(|named| **named != bearer.identity.arn) else {
        return Ok(bearer.identity);
    };
    let instance = bearer.identity.arn.app_instance();
    if !bearer.is_admin || other.app_instance() != instance {
        return Err(Error::not_admitted(
            call.operation,
            "of another AppInstanceUserArn it is for administrators of the app instance",
        ));
    }
    Ok(call.identity(tx, other, &instance)?.identity)
}
