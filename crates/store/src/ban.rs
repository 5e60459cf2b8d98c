//! Who is banned from a channel.

use carillon_model::arn::AppInstanceArn;
use carillon_model::channel::Appointment;
use carillon_model::identity::Identity;
use carillon_model::{Key, Timestamp};

use crate::appointed::appointed;
use crate::engine::values;
use crate::{Result, Tx, identity};

/// Bans an identity; false when it is banned.
pub fn insert(tx: &mut Tx, channel: Key, member: Key, by: Key, now: Timestamp) -> Result<bool> {
    let sql = "INSERT INTO ban (channel, member, created_by, created_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, values![channel, member, by, now])? == 1)
}

/// Whether an identity is banned from a channel.
pub fn exists(tx: &mut Tx, channel: Key, member: Key) -> Result<bool> {
    let sql = "SELECT 1 FROM ban WHERE channel = $1 AND member = $2";
    Ok(tx.row(sql, values![channel, member], |_| Ok(()))?.is_some())
}

appointed!("ban");
