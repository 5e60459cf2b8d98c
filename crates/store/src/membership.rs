//! Memberships.

use std::sync::LazyLock;

use carillon_model::arn::{AppInstanceArn, ChannelArn, IdentityArn};
use carillon_model::channel::{Channel, Membership};
use carillon_model::identity::Identity;
use carillon_model::session::Seat;
use carillon_model::text::ChannelMembershipType;
use carillon_model::{Key, Timestamp};

use crate::channel::{self, channel_columns};
use crate::engine::{MANY, Value, parameters, several, values};
use crate::identity::{self, Found, identity, identity_columns};
use crate::paging::{self, Placed};
use crate::row::{Written, read, row, sql};
use crate::{Result, Row, Tx};

row! { ($) membership_columns:
    fn membership(row, member: Identity, instance: &AppInstanceArn) -> Membership {
        channel, sub_channel, kind, created_at, updated_at;
        invited_by: identity(row, instance)?,
        member: member
    }
}

/// Adds a membership, of a [`Candidate`] who is no member.
pub fn insert(tx: &mut Tx, membership: &Membership) -> Result<()> {
    tx.defer(
        membership_columns!(INSERT INTO membership (member, invited_by, ..)),
        &membership.values(values![membership.member.key, membership.invited_by.key]),
    )
}

/// Someone who is to be added to a channel: everything that decides whether they can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Who it is.
    pub found: Found,
    /// Whether they moderate the channel.
    pub is_moderator: bool,
    /// Whether they are banned from it.
    pub is_banned: bool,
    /// Whether they are in the place that was asked for; who does not moderate, in any.
    pub is_member: bool,
}

/// Those of up to [`crate::LIST_LEN_MAX`] users, or bots, of one app instance who exist, to be added to a channel
/// in the sub-channel that a request names, if it does. One read, however many they are.
pub fn find_candidates(
    tx: &mut Tx,
    channel: Key,
    named: Option<Key>,
    arns: &[&IdentityArn],
) -> Result<Vec<Candidate>> {
    static ONE: LazyLock<String> = LazyLock::new(|| candidates_sql(1));
    static ALL: LazyLock<String> = LazyLock::new(|| candidates_sql(MANY));
    let Some(first) = arns.first() else { return Ok(Vec::new()) };
    let (instance, key, kind) = (first.app_instance(), first.app_instance_key(), first.kind());
    let named = named.unwrap_or(Key([0; 16]));
    let mut values = values![channel, named, key, kind].to_vec();
    let sql = several(&ONE, &ALL, &mut values, arns.iter().map(|arn| Value::Text(arn.id().into())));
    tx.rows(sql, &values, |row| {
        let identity = identity(row, &instance)?;
        let is_admin = row.read::<Option<Timestamp>>()?.is_some();
        Ok(Candidate {
            found: Found { identity, is_admin, membership_count: row.read()? },
            is_moderator: row.read::<Option<Key>>()?.is_some(),
            is_banned: row.read::<Option<Key>>()?.is_some(),
            is_member: row.read::<Option<Key>>()?.is_some(),
        })
    })
}

fn candidates_sql(count: usize) -> String {
    format!(
        // Not joined: an engine that knows little of a channel that grows would read all of its members for each call.
        "SELECT {}, i.admin_since, i.membership_count,
           (SELECT o.member FROM moderator o WHERE o.channel = $1 AND o.member = i.key),
           (SELECT b.member FROM ban b WHERE b.channel = $1 AND b.member = i.key),
           (SELECT m.member FROM membership m WHERE m.channel = $1 AND m.member = i.key
              AND (m.sub_channel = $2 OR NOT EXISTS
                (SELECT 1 FROM moderator o WHERE o.channel = $1 AND o.member = i.key)) LIMIT 1)
         FROM identity i
         WHERE i.app_instance = $3 AND i.kind = $4 AND i.deleted_at IS NULL AND i.id IN ({})",
        identity_columns!(i),
        parameters(5, count)
    )
}

/// All places of a member in a channel: one at most, but for the moderators of an elastic channel.
pub fn list_places(tx: &mut Tx, arn: &ChannelArn, key: Key, member: &Identity) -> Result<Vec<Membership>> {
    tx.rows(
        sql!("SELECT " membership_columns!(m) ", " identity_columns!(i)
             " FROM membership m JOIN identity i ON i.key = m.invited_by
             WHERE m.channel = $1 AND m.member = $2 ORDER BY m.sub_channel"),
        values![key, member.key],
        |row| membership(row, member.clone(), &arn.app_instance()),
    )
}

/// Memberships as [`placed`] reads them; the rest of the statement follows.
macro_rules! select_placed {
    ($rest:literal) => {
        sql!("SELECT " identity_columns!(w) ", " membership_columns!(m) ", " identity_columns!(i)
             " FROM membership m JOIN identity i ON i.key = m.invited_by JOIN identity w ON w.key = m.member
             WHERE m.channel = $1 AND m.sub_channel = $2 AND m.sub_channel <> m.channel " $rest)
    };
}

/// Up to `limit` regular members of a sub-channel, for balancing to move them.
pub fn list_regulars(tx: &mut Tx, channel: &Channel, place: Key, limit: i64) -> Result<Vec<Membership>> {
    let sql = select_placed!(
        "AND NOT EXISTS (SELECT 1 FROM moderator o WHERE o.channel = $1 AND o.member = m.member)
         ORDER BY m.member LIMIT $3"
    );
    tx.rows(sql, values![channel.key, place, limit], |row| placed(row, channel))
}

/// Up to `limit` members of a sub-channel, the moderators among them.
pub fn list_placed(tx: &mut Tx, channel: &Channel, place: Key, limit: i64) -> Result<Vec<Membership>> {
    let sql = select_placed!("ORDER BY m.member LIMIT $3");
    tx.rows(sql, values![channel.key, place, limit], |row| placed(row, channel))
}

fn placed(row: &mut Row<'_>, channel: &Channel) -> Result<Membership> {
    let instance = channel.arn.app_instance();
    let member = identity(row, &instance)?;
    membership(row, member, &instance)
}

/// Moves a membership to another sub-channel.
pub fn set_place(tx: &mut Tx, membership: &Membership, to: Key, now: Timestamp) -> Result<()> {
    tx.defer(
        "UPDATE membership SET sub_channel = $4, updated_at = $5
         WHERE channel = $1 AND member = $2 AND sub_channel = $3",
        values![membership.channel, membership.member.key, membership.sub_channel, to, now],
    )
}

/// Takes a membership away.
pub fn delete(tx: &mut Tx, membership: &Membership) -> Result<()> {
    tx.defer(
        "DELETE FROM membership WHERE channel = $1 AND member = $2 AND sub_channel = $3",
        values![membership.channel, membership.member.key, membership.sub_channel],
    )
}

/// Where a page of members begins: after this place.
pub type MemberCursor = (Key, Key);

/// A page of members: those of whom `$which` is true.
macro_rules! select_page {
    ($which:literal) => {
        sql!("SELECT " identity_columns!(i) ", m.sub_channel FROM
               (SELECT p.member, p.sub_channel FROM membership p
                WHERE p.channel = $1 AND (p.member, p.sub_channel) > ($3, $4) AND " $which " LIMIT $5) AS m
             JOIN identity i ON i.key = m.member ORDER BY m.member, m.sub_channel")
    };
}

/// Up to `limit` members of one kind after `after`, of one sub-channel or of all.
pub fn list_members(
    tx: &mut Tx,
    channel: &Channel,
    sub_channel: Option<Key>,
    kind: ChannelMembershipType,
    after: Option<MemberCursor>,
    limit: i64,
) -> Result<Vec<(Identity, MemberCursor)>> {
    let (member, place) = after.unwrap_or((Key([0; 16]), Key([0; 16])));
    // What is looked for stands in the text, so that the partial indexes can serve it. The page is cut before anything
    // is joined: an engine that knows little of its tables reads no more than that.
    let sql = match (sub_channel, kind) {
        (None, ChannelMembershipType::Default) => {
            select_page!("p.kind = 'DEFAULT' AND CAST($2 AS BYTEA) IS NULL ORDER BY p.member, p.sub_channel")
        }
        (None, ChannelMembershipType::Hidden) => {
            select_page!("p.kind = 'HIDDEN' AND CAST($2 AS BYTEA) IS NULL ORDER BY p.member, p.sub_channel")
        }
        // Of an elastic channel, which has no hidden members.
        (Some(_), ChannelMembershipType::Hidden) => return Ok(Vec::new()),
        (Some(_), ChannelMembershipType::Default) => {
            select_page!("p.sub_channel = $2 AND p.sub_channel <> p.channel ORDER BY p.member")
        }
    };
    tx.rows(sql, values![channel.key, sub_channel, member, place, limit], |row| {
        let member = identity(row, &channel.arn.app_instance())?;
        let cursor = (member.key, row.read()?);
        Ok((member, cursor))
    })
}

/// One channel that someone belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Belonging {
    /// The channel.
    pub channel: Channel,
    /// The sub-channel; of an ordinary channel, the channel itself.
    pub sub_channel: Key,
    /// How they belong.
    pub kind: ChannelMembershipType,
    /// The last message that only they, or they and the sender, could see.
    pub last_target_at: Option<Timestamp>,
    /// How far they have read.
    pub read_at: Option<Timestamp>,
}

/// How a member belongs to this channel; to an elastic one, the first of its places.
pub fn find_channel(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    member: Key,
    channel: Key,
) -> Result<Option<Belonging>> {
    // No place has the least of all keys, so the first place after it is the first of the channel, if any is.
    let next = list_channels(tx, instance, member, Some((channel, Key([0; 16]))), 1)?.pop();
    Ok(next.filter(|belonging| belonging.channel.key == channel))
}

/// Up to `limit` places of a member after `after`, as channel and sub-channel.
pub fn list_channels(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    member: Key,
    after: Option<(Key, Key)>,
    limit: i64,
) -> Result<Vec<Belonging>> {
    let first = after.unwrap_or((Key([0; 16]), Key([0; 16])));
    paging::there(limit, first, |after, limit| list_some(tx, instance, member, after, limit))
}

/// Up to `limit` places of a member, of channels that were deleted, too.
fn list_some(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    member: Key,
    after: (Key, Key),
    limit: i64,
) -> Result<Vec<Placed<Belonging, (Key, Key)>>> {
    tx.rows(
        sql!("SELECT c.id, " channel_columns!(c)
             ", m.sub_channel, m.kind, m.last_target_at, m.read_at, c.deleted_at
             FROM (SELECT p.channel, p.sub_channel, p.kind, p.last_target_at, p.read_at FROM membership p
                   WHERE p.member = $1 AND (p.channel, p.sub_channel) > ($2, $3)
                   ORDER BY p.channel, p.sub_channel LIMIT $4) AS m
             JOIN channel c ON c.key = m.channel"),
        values![member, after.0, after.1, limit],
        |row| {
            let belonging = Belonging {
                channel: channel::named(row, instance)?,
                sub_channel: row.read()?,
                kind: row.read()?,
                last_target_at: row.read()?,
                read_at: row.read()?,
            };
            let place = (belonging.channel.key, belonging.sub_channel);
            Ok((belonging, place, row.read()?))
        },
    )
}

/// Up to `limit` channels of a member, the one with the latest message that they can see first; with
/// `unread_first`, those before all others in which that message is later than they have read.
pub fn list_latest(tx: &mut Tx, member: Key, unread_first: bool, limit: i64) -> Result<Vec<Key>> {
    tx.rows(
        "SELECT channel FROM (
           SELECT m.channel AS channel, COALESCE(m.read_at, 0) AS read_at,
             CASE WHEN COALESCE(c.last_message_at, 0) < COALESCE(m.last_target_at, 0) THEN m.last_target_at
               ELSE COALESCE(c.last_message_at, 0) END AS last_at
           FROM membership m JOIN channel c ON c.key = m.channel AND c.deleted_at IS NULL
           WHERE m.member = $1 AND NOT EXISTS (SELECT 1 FROM membership o
             WHERE o.member = m.member AND o.channel = m.channel AND o.sub_channel < m.sub_channel)
         ) AS place
         ORDER BY CASE WHEN CAST($2 AS BIGINT) = 1 AND read_at < last_at THEN 0 ELSE 1 END, last_at DESC, channel
         LIMIT $3",
        values![member, unread_first, limit],
        read,
    )
}

/// Where a member sits, for a session that begins. Their number has a quota.
pub fn list_seats(tx: &mut Tx, member: Key) -> Result<Vec<Seat>> {
    let sql = "SELECT m.channel, m.sub_channel, m.kind, c.sequence
               FROM membership m JOIN channel c ON c.key = m.channel WHERE m.member = $1";
    tx.rows(sql, values![member], seat)
}

/// Where a member sits in one channel.
pub fn list_seats_in(tx: &mut Tx, channel: Key, member: Key) -> Result<Vec<Seat>> {
    let sql = "SELECT m.channel, m.sub_channel, m.kind, c.sequence
               FROM membership m JOIN channel c ON c.key = m.channel WHERE m.channel = $1 AND m.member = $2";
    tx.rows(sql, values![channel, member], seat)
}

fn seat(row: &mut Row<'_>) -> Result<Seat> {
    let (channel, place, kind): (_, _, ChannelMembershipType) = row.read()?;
    Ok(Seat { channel, place, hidden: kind == ChannelMembershipType::Hidden, number: row.read()? })
}

/// The members of a channel who may see hidden members: its moderators, and the administrators.
pub fn list_moderating(tx: &mut Tx, channel: Key, instance: Key) -> Result<Vec<Key>> {
    tx.rows(
        "SELECT m.member FROM moderator o JOIN membership m ON m.channel = o.channel AND m.member = o.member
         WHERE o.channel = $1
         UNION
         SELECT m.member FROM identity i JOIN membership m ON m.channel = $1 AND m.member = i.key
         WHERE i.app_instance = $2 AND i.admin_since IS NOT NULL AND i.deleted_at IS NULL",
        values![channel, instance],
        read,
    )
}

/// Notes that a message only the sender and the target can see was sent at `time`.
pub fn note_target(tx: &mut Tx, channel: Key, member: Key, sub_channel: Key, time: Timestamp) -> Result<()> {
    tx.defer(
        "UPDATE membership SET last_target_at = $4 WHERE channel = $1 AND member = $2 AND sub_channel = $3",
        values![channel, member, sub_channel, time],
    )
}

/// How many members of a channel someone sees, counting no further than `most`: all, or where `viewer` is a
/// member who sees no hidden ones, those who are not hidden, and the viewer.
pub fn count_members(tx: &mut Tx, channel: Key, viewer: Option<Key>, most: i64) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM (SELECT DISTINCT member FROM membership
                 WHERE channel = $1 AND (CAST($2 AS BYTEA) IS NULL OR kind = 'DEFAULT' OR member = $2)
                 LIMIT $3) AS counted";
    Ok(tx.row(sql, values![channel, viewer, most], read)?.unwrap_or_default())
}

/// Takes up to `limit` memberships of a deleted channel away; answers how many. Another node may be at the same rows;
/// whoever deletes one counts it, once.
pub fn delete_some(tx: &mut Tx, channel: Key, limit: i64) -> Result<u64> {
    let members: Vec<Key> = tx.change_all(
        "DELETE FROM membership WHERE channel = $1 AND (member, sub_channel) IN
           (SELECT member, sub_channel FROM membership WHERE channel = $1 ORDER BY member, sub_channel LIMIT $2)
         RETURNING member",
        values![channel, limit],
        read,
    )?;
    for member in &members {
        identity::bereave(tx, *member, channel)?;
    }
    Ok(members.len() as u64)
}
