//! What happens to a user or a bot as a whole, by an operation or by a job: they end.

use carillon_model::Timestamp;
use carillon_model::arn::IdentityKind;
use carillon_model::event::Event;
use carillon_store::app_instance::Counts;
use carillon_store::identity::Found;
use carillon_store::{self as store, Tx, Work};

use crate::chat::channel::instance_key;
use crate::error::Result;

/// Ends a user or a bot: inaccessible from here on, no administrator, without endpoints, their sockets closed, their
/// id free. They may belong to very many channels, so they leave those later, by [`crate::jobs::leave_channels`].
pub(crate) fn delete(tx: &mut Tx, found: &Found, now: Timestamp) -> Result<()> {
    let (key, arn) = (found.identity.key, &found.identity.arn);
    let instance = instance_key(&arn.app_instance())?;
    let (users, bots) = match arn.kind() {
        IdentityKind::User => (1, 0),
        IdentityKind::Bot => (0, 1),
    };
    let ended = Counts { users, bots, admins: i64::from(found.is_admin), ..Counts::default() };
    store::app_instance::shrink(tx, instance, ended)?;
    store::identity::set_deleted(tx, key, found.is_admin, now)?;
    store::endpoint::delete_all(tx, key)?;
    // Tags belong to the ARN, which another user may get.
    store::tag::delete_all(tx, arn.as_str())?;
    let at = tx.instant(now);
    tx.emit(Event::delete_app_instance_user(key, at))?;
    tx.wake(Work::Leave);
    Ok(())
}
