//! What happens to a user or a bot as a whole, by an operation or by a job: they end.

use carillon_model::Timestamp;
use carillon_model::arn::IdentityKind;
use carillon_model::event::Event;
use carillon_store::identity::Found;
use carillon_store::{self as store, Tx, Work};

use crate::channels::instance_key;
use crate::error::Result;

/// Ends a user or a bot: inaccessible from here on, no administrator, without endpoints, their sockets closed, their
/// id free. They may belong to very many channels, so they leave those later, by [`crate::jobs::leave_channel`].
/// False when somebody else ended them meanwhile.
pub(crate) fn delete(tx: &mut Tx, found: &Found, now: Timestamp) -> Result<bool> {
    let (key, arn) = (found.identity.key, &found.identity.arn);
    let instance = instance_key(&arn.app_instance())?;
    let counts = store::app_instance::claim(tx, instance)?;
    if !store::identity::set_deleted(tx, key, now)? {
        return Ok(false);
    }
    if let Some(mut counts) = counts {
        match arn.kind() {
            IdentityKind::User => counts.users -= 1,
            IdentityKind::Bot => counts.bots -= 1,
        }
        counts.admins -= i64::from(found.is_admin);
        store::app_instance::set_counts(tx, instance, counts)?;
    }
    store::endpoint::delete_all(tx, key)?;
    // Tags belong to the ARN, which another user may get.
    store::tag::delete_all(tx, arn.as_str())?;
    tx.emit(Event::delete_app_instance_user(key, now))?;
    tx.wake(Work::Leave);
    Ok(true)
}
