//! What retention means: from when on messages are seen, and from when on the others are destroyed.

use carillon_model::text::MessageId;
use carillon_model::{AppInstanceArn, Key, MessageKey, Timestamp};
use carillon_store::app_instance::Retention;
use carillon_store::{self as store, Tx};

use crate::error::Result;
use crate::jobs::STEP_LEN_MAX;

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

/// Channels that one step of [`destroy`] looks at.
const CHANNELS_MAX: i64 = 50;

/// Destroys messages that passed their period and the grace, in the channels after `from` (at first the key of
/// zeros); answers where to go on, or nothing at the end.
pub fn destroy(tx: &mut Tx, now: Timestamp, from: Key) -> Result<Option<Key>> {
    let channels = store::app_instance::list_destroying(tx, from, now, CHANNELS_MAX)?;
    let (mut done, mut left) = (from, STEP_LEN_MAX);
    for (channel, days) in &channels {
        let bound = MessageKey::least(now.plus_ms(-DAY_MS * days.get()));
        let deleted = store::message::delete_before(tx, *channel, bound, left)?;
        let deleted = deleted + store::in_flight::delete_before(tx, *channel, bound, left)?;
        left -= i64::try_from(deleted).unwrap_or(left);
        if left <= 0 {
            // The channel may hold more: the next step begins with it again.
            return Ok(Some(done));
        }
        done = *channel;
    }
    Ok((channels.len() as u64 == CHANNELS_MAX.unsigned_abs()).then_some(done))
}
