//! What happens to a channel as a whole, by an operation or by a job: its record changes, or it ends.

use carillon_model::channel::Channel;
use carillon_model::event::Event;
use carillon_model::identity::Identity;
use carillon_model::{AppInstanceArn, Key};
use carillon_store::{self as store, Tx};

use crate::error::{Error, Result};

/// Writes the record of a claimed channel, and tells its members under the channel's present number.
pub(crate) fn update(tx: &mut Tx, channel: &mut Channel) -> Result<()> {
    channel.updated_at = channel.clock;
    store::channel::update(tx, channel)?;
    let (creator, places) = told(tx, channel)?;
    tx.emit(Event::update_channel(channel, &creator, &places))?;
    Ok(())
}

/// Ends a claimed channel: inaccessible from here on, its id free, its members told under the channel's present
/// number. What it held is destroyed later, by [`crate::jobs::destroy_channels`].
pub(crate) fn delete(tx: &mut Tx, channel: &Channel) -> Result<()> {
    let (creator, places) = told(tx, channel)?;
    store::channel::set_deleted(tx, channel)?;
    // Tags belong to the ARN, which another channel may get.
    store::tag::delete_all(tx, channel.arn.as_str())?;
    let instance = instance_key(&channel.arn.app_instance())?;
    if let Some(mut counts) = store::app_instance::claim(tx, instance)? {
        counts.channels -= 1;
        counts.elastic_channels -= i64::from(channel.elastic.is_some());
        store::app_instance::set_counts(tx, instance, counts)?;
    }
    tx.emit(Event::delete_channel(channel, &creator, &places))?;
    Ok(())
}

/// The key in the ARN of an app instance.
pub(crate) fn instance_key(instance: &AppInstanceArn) -> Result<Key> {
    instance.key().ok_or_else(|| Error::forbidden("The app instance does not exist"))
}

/// What an event about a channel shows and whom it reaches: the creator, and all places.
fn told(tx: &mut Tx, channel: &Channel) -> Result<(Identity, Vec<Key>)> {
    let creator = store::identity::get(tx, &channel.arn.app_instance(), channel.created_by)?;
    let creator = creator.ok_or_else(|| store::Error::broken("the creator of a channel has no row"))?;
    Ok((creator, store::sub_channel::list_places(tx, channel)?))
}
