//! What happens to a channel as a whole, by an operation or by a job: its record changes, or it ends.

use carillon_model::channel::Channel;
use carillon_model::event::{ChannelShown, Event};
use carillon_model::{AppInstanceArn, Key, Timestamp};
use carillon_store::app_instance::Counts;
use carillon_store::claim::Claim;
use carillon_store::{self as store, Tx, Work};

use crate::error::{Error, Result};

/// Writes the record of a claimed channel, and tells its members under the channel's present number.
pub(crate) fn update(tx: &mut Tx, channel: &mut Channel) -> Result<()> {
    let (event, _) = write(tx, channel)?;
    Ok(tx.emit(event)?)
}

/// The same where what changed is when the channel ends by itself: streams are told just that.
pub(crate) fn settle_expiration(tx: &mut Tx, channel: &mut Channel) -> Result<()> {
    let (event, shown) = write(tx, channel)?;
    tx.record(&Event::update_channel_expiration_settings(channel, &shown), 1)?;
    Ok(tx.emit_unrecorded(event)?)
}

fn write(tx: &mut Tx, channel: &mut Channel) -> Result<(Event, ChannelShown)> {
    channel.updated_at = channel.clock;
    store::channel::update(tx, channel)?;
    let Told { shown, places, moderating } = told(tx, channel)?;
    Ok((Event::update_channel(channel, &shown, &places, &moderating), shown))
}

/// Whether what happens in a channel goes into a stream: some of it is looked for only then.
pub(crate) fn is_streamed(tx: &Tx, channel: &Channel) -> bool {
    let instance = channel.arn.app_instance_key();
    tx.outlets().zip(instance).is_some_and(|(outlets, instance)| outlets.has_streams(instance))
}

/// Changes the flow of a channel that is claimed, and tells its members.
pub(crate) fn set_flow(tx: &mut Tx, channel: &mut Channel, flow: Option<Key>, now: Timestamp) -> Result<()> {
    store::channel_flow::set_of(tx, channel.key, flow)?;
    store::claim::take(tx, channel, Claim::of(1), now)?;
    update(tx, channel)
}

/// Ends a claimed channel: inaccessible from here on, its id free, its members told under the channel's present
/// number. What it held is destroyed later, by [`crate::jobs::destroy`].
pub(crate) fn delete(tx: &mut Tx, channel: &Channel) -> Result<()> {
    let Told { shown, places, moderating } = told(tx, channel)?;
    store::channel::set_deleted(tx, channel)?;
    // Tags belong to the ARN, which another channel may get.
    store::tag::delete_all(tx, channel.arn.as_str())?;
    let instance = instance_key(&channel.arn.app_instance())?;
    let elastic_channels = i64::from(channel.elastic.is_some());
    store::app_instance::shrink(tx, instance, Counts { channels: 1, elastic_channels, ..Counts::default() })?;
    tx.emit(Event::delete_channel(channel, &shown, &places, &moderating))?;
    tx.wake(Work::Destroy);
    Ok(())
}

/// The key in the ARN of an app instance.
pub(crate) fn instance_key(instance: &AppInstanceArn) -> Result<Key> {
    instance.key().ok_or_else(|| Error::forbidden("The app instance does not exist"))
}

/// What an event about a channel shows beside its row, and whom it reaches.
struct Told {
    shown: ChannelShown,
    places: Vec<Key>,
    /// The members who see how the channel is split, where it is.
    moderating: Vec<Key>,
}

fn told(tx: &mut Tx, channel: &Channel) -> Result<Told> {
    let instance = channel.arn.app_instance();
    let creator = store::identity::get(tx, &instance, channel.created_by)?;
    let created_by = creator.ok_or_else(|| store::Error::broken("the creator of a channel has no row"))?;
    let flow = store::channel_flow::find_key_of(tx, channel.key)?;
    let flow = flow.map(|flow| instance.channel_flow(&flow.uuid()));
    let moderating = match channel.elastic {
        Some(_) => store::membership::list_moderating(tx, channel.key, instance_key(&instance)?)?,
        None => Vec::new(),
    };
    let places = store::sub_channel::list_places(tx, channel)?;
    Ok(Told { shown: ChannelShown { created_by, flow }, places, moderating })
}
