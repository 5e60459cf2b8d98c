//! Who moderates a channel. Their making, and whether someone is one, stand with the channel.

use carillon_model::arn::AppInstanceArn;
use carillon_model::channel::{Appointment, Channel};
use carillon_model::identity::Identity;
use carillon_model::{Key, Timestamp};

use crate::appointed::appointed;
use crate::engine::values;
use crate::{Result, Tx, channel, identity};

appointed!("moderator");

/// Up to `limit` channels after `after` that someone moderates, in the order of their keys, each with the last
/// message that only they, or they and the sender, could see.
pub fn list_channels(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    member: Key,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<(Channel, Option<Timestamp>)>> {
    tx.rows(
        "SELECT c.key, c.name, c.mode, c.privacy, c.metadata, c.created_by, c.created_at, c.updated_at,
           c.last_message_at, c.sequence, c.clock, c.member_count, c.maximum_sub_channels,
           c.target_memberships_per_sub_channel, c.minimum_membership_percentage, c.expiration_days,
           c.expiration_criterion, c.id,
           (SELECT MAX(m.last_target_at) FROM membership m WHERE m.channel = c.key AND m.member = $1)
         FROM moderator o JOIN channel c ON c.key = o.channel AND c.deleted_at IS NULL
         WHERE o.member = $1 AND $2 < o.channel ORDER BY o.channel LIMIT $3",
        values![member, after.unwrap_or(Key([0; 16])), limit],
        |row| {
            let id: String = row.get(17)?;
            Ok((channel::channel(row, &instance.channel(&id), 0)?, row.get(18)?))
        },
    )
}
