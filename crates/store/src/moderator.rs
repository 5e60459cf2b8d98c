//! Who moderates a channel.

use carillon_model::arn::AppInstanceArn;
use carillon_model::channel::{Appointment, Channel};
use carillon_model::identity::Identity;
use carillon_model::{Key, Timestamp};

use crate::appointed::appointed;
use crate::channel::{self, channel_columns};
use crate::engine::values;
use crate::identity::{identity, identity_columns};
use crate::paging;
use crate::row::{read, sql};
use crate::{Result, Tx};

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
    paging::there(limit, after.unwrap_or(Key([0; 16])), |after, limit| {
        tx.rows(
            sql!("SELECT c.id, " channel_columns!(c)
                 ", (SELECT MAX(m.last_target_at) FROM membership m WHERE m.channel = c.key AND m.member = $1)
                  , c.deleted_at
             FROM (SELECT p.channel FROM moderator p WHERE p.member = $1 AND $2 < p.channel
                   ORDER BY p.channel LIMIT $3) AS o
             JOIN channel c ON c.key = o.channel"),
            values![member, after, limit],
            |row| {
                let channel = channel::named(row, instance)?;
                let (key, target) = (channel.key, row.read()?);
                Ok(((channel, target), key, row.read()?))
            },
        )
    })
}
