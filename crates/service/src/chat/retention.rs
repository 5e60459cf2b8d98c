//! What retention means: from when on messages are seen, and from when on the others are destroyed.

use carillon_model::text::MessageId;
use carillon_model::{AppInstanceArn, MessageKey, Timestamp};
use carillon_store::app_instance::Retention;
use carillon_store::{self as store, Tx};

use crate::error::Result;

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
    Ok(kept_since(store::app_instance::find_retention(tx, key)?, now))
}

/// The same, where the retention is known.
pub(crate) fn kept_since(retention: Option<Retention>, now: Timestamp) -> Option<Timestamp> {
    retention.map(|retention| now.plus_ms(-DAY_MS * retention.days.get()))
}

/// The key that a `MessageId` spells, of a message that is not past its retention.
pub(crate) fn seen_key(retention: Option<Retention>, id: &MessageId, now: Timestamp) -> Option<MessageKey> {
    let since = kept_since(retention, now);
    MessageKey::from_hex(id.as_str()).filter(|key| since.is_none_or(|since| since <= key.created()))
}
