//! What retention means: from when on messages are seen, and from when on the others are destroyed.

use carillon_model::arn::Home;
use carillon_model::text::{MessageId, RetentionDays};
use carillon_model::{AppInstanceArn, ChannelArn, Key, MessageKey, Timestamp};
use carillon_store::app_instance::Retention;
use carillon_store::{self as store, Tx};

use crate::error::Result;

/// Rows that one step of what the clock starts looks at, so that it never holds a send up.
pub const STEP_LEN_MAX: i64 = 500;
/// A day.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How long what retention hides can still be shown again.
pub const GRACE_MS: i64 = 30 * DAY_MS;

/// When destruction begins, while that is to come.
pub(crate) fn initiates_at(retention: Option<Retention>, now: Timestamp) -> Option<Timestamp> {
    retention.map(|retention| retention.destroys_at).filter(|time| now < *time)
}

/// The time before which messages of this app instance are not seen; nothing where all are.
pub(crate) fn seen_since(tx: &mut Tx, arn: &AppInstanceArn, now: Timestamp) -> Result<Option<Timestamp>> {
    let Some(key) = arn.key() else { return Ok(None) };
    let retention = store::app_instance::find_retention(tx, key)?;
    Ok(retention.map(|retention| now.plus_ms(-DAY_MS * retention.days.get())))
}

/// The key that a `MessageId` spells, of a message of this app instance that is not past its retention.
pub(crate) fn seen_key(
    tx: &mut Tx,
    arn: &AppInstanceArn,
    id: &MessageId,
    now: Timestamp,
) -> Result<Option<MessageKey>> {
    let Some(key) = MessageKey::from_hex(id.as_str()) else { return Ok(None) };
    let since = seen_since(tx, arn, now)?;
    Ok(Some(key).filter(|key| since.is_none_or(|since| since <= key.created())))
}

/// App instances that one look finds. Few have a retention.
const INSTANCES_LEN_MAX: i64 = 100;
/// Channels that one look goes through: a seek or two in each.
const CHANNELS_LEN_MAX: i64 = 200;

/// An app instance whose old messages are to be destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destroying {
    /// The app instance.
    pub instance: Key,
    /// The least key of a message that stays.
    pub bound: MessageKey,
}

/// The app instances after `from` (at first the key of zeros) whose old messages are to be destroyed, and where to go
/// on, or nothing at the end.
pub fn find_instances(tx: &mut Tx, now: Timestamp, from: Key) -> Result<(Vec<Destroying>, Option<Key>)> {
    let found = store::app_instance::list_destroying(tx, from, now, INSTANCES_LEN_MAX)?;
    let is_full = usize::try_from(INSTANCES_LEN_MAX).is_ok_and(|most| found.len() == most);
    let next = found.last().map(|(key, _)| *key).filter(|_| is_full);
    let destroying = |(instance, days): (Key, RetentionDays)| Destroying {
        instance,
        bound: MessageKey::least(now.plus_ms(-DAY_MS * days.get())),
    };
    Ok((found.into_iter().map(destroying).collect(), next))
}

/// Channels that hold old messages, and where to go on.
pub type Old = (Vec<(ChannelArn, Key)>, Option<String>);

/// The channels of such an app instance that hold old messages, among those whose ids come after `from`, for a
/// [`destroy`] each in its lane, and where to go on, or nothing at the end.
pub fn find_channels(tx: &mut Tx, home: &Home, destroying: Destroying, from: &str) -> Result<Old> {
    let Destroying { instance, bound } = destroying;
    let looked_at = store::channel::list_with_old(tx, instance, bound, from, CHANNELS_LEN_MAX)?;
    let is_full = usize::try_from(CHANNELS_LEN_MAX).is_ok_and(|most| looked_at.len() == most);
    let next = looked_at.last().map(|channel| channel.id.clone()).filter(|_| is_full);
    let instance = home.app_instance(instance);
    let old = looked_at.into_iter().filter(|channel| channel.has_old);
    Ok((old.map(|channel| (instance.channel(&channel.id), channel.key)).collect(), next))
}

/// Destroys old messages of a channel; false when none is left.
pub fn destroy(tx: &mut Tx, channel: Key, bound: MessageKey) -> Result<bool> {
    let deleted = store::message::delete_before(tx, channel, bound, STEP_LEN_MAX)?
        + store::in_flight::delete_before(tx, channel, bound, STEP_LEN_MAX)?;
    Ok(STEP_LEN_MAX.unsigned_abs() <= deleted)
}
