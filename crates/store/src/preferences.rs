//! What members want to be notified of. It stands in their memberships.

use carillon_model::Key;
use carillon_model::arn::AppInstanceArn;
use carillon_model::channel::Preferences;
use carillon_model::identity::Identity;
use carillon_model::text::AllowNotifications;

use crate::engine::values;
use crate::identity::{identity, identity_columns};
use crate::row::sql;
use crate::{Result, Row, Tx, claim};

/// What a member of an ordinary channel wants to be notified of, if they ever said.
pub fn find(tx: &mut Tx, channel: Key, member: Key) -> Result<Option<Preferences>> {
    let sql = "SELECT allow_notifications, filter_rule FROM membership
               WHERE channel = $1 AND member = $2 AND allow_notifications IS NOT NULL";
    tx.row(sql, values![channel, member], |row| {
        Ok(Preferences { allow_notifications: row.read()?, filter_rule: row.read()? })
    })
}

/// Replaces what a member of an ordinary channel wants to be notified of; false when there is no such member.
pub fn set(tx: &mut Tx, channel: Key, member: Key, preferences: Option<&Preferences>) -> Result<bool> {
    claim::hold(tx, channel)?;
    let allow = preferences.map(|preferences| preferences.allow_notifications);
    let rule = preferences.and_then(|preferences| preferences.filter_rule.as_ref());
    let sql =
        "UPDATE membership SET allow_notifications = $3, filter_rule = $4 WHERE channel = $1 AND member = $2";
    Ok(tx.execute(sql, values![channel, member, allow, rule])? == 1)
}

/// A member, and what they want to be notified of, if they ever said.
#[derive(Debug, Clone, PartialEq)]
pub struct Notifiable {
    /// Who.
    pub member: Identity,
    /// What of.
    pub preferences: Option<Preferences>,
}

/// Members who may be notified: those of whom `$which` is true.
macro_rules! select_notifiable {
    ($which:literal) => {
        sql!("SELECT " identity_columns!(i) ", m.allow_notifications, m.filter_rule FROM
               (SELECT p.member, p.allow_notifications, p.filter_rule FROM membership p
                WHERE p.channel = $1 AND p.sub_channel = $2 AND " $which " ORDER BY p.member LIMIT $4) AS m
             JOIN identity i ON i.key = m.member ORDER BY m.member")
    };
}

/// Up to `limit` members of a place of a channel after `after`, hidden ones among them.
pub fn list(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    (channel, place): (Key, Key),
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<Notifiable>> {
    // Of an elastic channel the index of its sub-channels leads to them; an ordinary one has no other place.
    let sql = if place == channel {
        select_notifiable!("$3 < p.member")
    } else {
        select_notifiable!("p.sub_channel <> p.channel AND $3 < p.member")
    };
    let after = after.unwrap_or(Key([0; 16]));
    tx.rows(sql, values![channel, place, after, limit], |row| notifiable(row, instance))
}

/// One member of a place of a channel.
pub fn find_notifiable(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    (channel, place): (Key, Key),
    member: Key,
) -> Result<Option<Notifiable>> {
    let sql = select_notifiable!("p.member = $3");
    tx.row(sql, values![channel, place, member, 1_i64], |row| notifiable(row, instance))
}

fn notifiable(row: &mut Row<'_>, instance: &AppInstanceArn) -> Result<Notifiable> {
    let member = identity(row, instance)?;
    let (allow, filter_rule) = row.read::<(Option<AllowNotifications>, _)>()?;
    let preferences = allow.map(|allow_notifications| Preferences { allow_notifications, filter_rule });
    Ok(Notifiable { member, preferences })
}
