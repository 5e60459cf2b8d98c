//! Claims of channels: whoever writes in one locks its row, and takes numbers for what it tells.

use carillon_model::arn::ChannelArn;
use carillon_model::channel::Channel;
use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::row::read;
use crate::{Result, Tx};

/// What a channel is claimed for.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// How many events are about to be emitted.
    pub events: i64,
    /// Whether a message that everyone in the channel sees is among them: its last message is of this instant.
    pub last_message: bool,
    /// Whether the channel, or how somebody stands to it, may be another afterwards.
    pub alters: bool,
}

impl Claim {
    /// For so many events of something that may alter the channel.
    pub fn of(events: i64) -> Self {
        Self { events, last_message: false, alters: true }
    }

    /// For a message.
    pub fn of_message(last_message: bool) -> Self {
        Self { events: 1, last_message, alters: false }
    }
}

/// What is known of a channel whose row this batch has locked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claimed {
    sequence: i64,
    clock: Timestamp,
    last_message_at: Option<Timestamp>,
    member_count: i64,
    /// Whoever saw it at this number, or later, saw it as it is but for messages.
    altered: i64,
    is_deleted: bool,
}

impl Claimed {
    fn of_channel(channel: &Channel) -> Self {
        let Channel { sequence, clock, last_message_at, member_count, .. } = *channel;
        Self { sequence, clock, last_message_at, member_count, altered: sequence, is_deleted: false }
    }

    fn claimed(self, claim: Claim, now: Timestamp) -> Self {
        let (sequence, clock) = (self.sequence + claim.events, self.clock.max(now));
        let last_message_at = if claim.last_message { Some(clock) } else { self.last_message_at };
        let altered = if claim.alters { sequence } else { self.altered };
        Self { sequence, clock, last_message_at, altered, ..self }
    }

    pub(crate) fn show(self, channel: &mut Channel) {
        (channel.sequence, channel.clock) = (self.sequence, self.clock);
        (channel.last_message_at, channel.member_count) = (self.last_message_at, self.member_count);
    }
}

/// Claims a channel at `now`: takes numbers for events, and moves its clock, which never runs backwards. False when the
/// channel was altered since it was read: read it again, now under the claim.
///
/// What the claim gives is known here, so nothing waits for it: it supposes that the channel is as it was read. Where
/// somebody else was at it, the whole batch runs again and claims carefully: it waits for whoever else claimed it.
pub fn take(tx: &mut Tx, channel: &mut Channel, claim: Claim, now: Timestamp) -> Result<bool> {
    let now = tx.instant(now);
    let held = tx.claimed(channel.key);
    if held.is_none() && tx.is_careful() {
        return take_carefully(tx, channel, claim, now);
    }
    let before = held.unwrap_or(Claimed::of_channel(channel));
    if before.is_deleted {
        return Ok(false);
    }
    let (seen, after) = (channel.sequence, before.claimed(claim, now));
    let known = values![channel.key, after.sequence, after.clock, after.last_message_at, before.sequence];
    if held.is_some() {
        let sql = "UPDATE channel SET sequence = $2, clock = $3, last_message_at = $4 WHERE key = $1";
        tx.overwrite(sql, &known[..4])?;
    } else {
        let sql = "UPDATE channel SET sequence = $2, clock = $3, last_message_at = $4
                   WHERE key = $1 AND sequence = $5 AND deleted_at IS NULL";
        tx.suppose(sql, known)?;
    }
    tx.take_numbers(channel.key, before.sequence + 1..=after.sequence);
    tx.keep_claimed(channel.key, after);
    after.show(channel);
    Ok(before.altered <= seen)
}

fn take_carefully(tx: &mut Tx, channel: &mut Channel, claim: Claim, now: Timestamp) -> Result<bool> {
    let seen = channel.sequence;
    let claimed = tx.change(
        "UPDATE channel SET sequence = sequence + $2, clock = CASE WHEN clock < $3 THEN $3 ELSE clock END,
           last_message_at = CASE WHEN CAST($4 AS BIGINT) = 0 THEN last_message_at
             WHEN clock < $3 THEN $3 ELSE clock END
         WHERE key = $1 AND deleted_at IS NULL RETURNING sequence, clock, last_message_at, member_count",
        values![channel.key, claim.events, now, claim.last_message],
        read,
    )?;
    let Some(((sequence, clock), (last_message_at, member_count))) = claimed else { return Ok(false) };
    let is_as_seen = sequence == seen + claim.events;
    let altered = if is_as_seen && !claim.alters { seen } else { sequence };
    let claimed = Claimed { sequence, clock, last_message_at, member_count, altered, is_deleted: false };
    tx.take_numbers(channel.key, sequence - claim.events + 1..=sequence);
    tx.keep_claimed(channel.key, claimed);
    claimed.show(channel);
    Ok(is_as_seen)
}

/// Locks a channel in which something is about to be written that is no event. Whoever writes in a channel locks its
/// row first, on every node.
pub fn hold(tx: &mut Tx, channel: Key) -> Result<()> {
    if tx.claimed(channel).is_some() {
        return Ok(());
    }
    tx.defer("UPDATE channel SET clock = clock WHERE key = $1", values![channel])
}

/// The same for a channel that an ARN names.
pub fn hold_by_arn(tx: &mut Tx, arn: &ChannelArn) -> Result<()> {
    let sql = "UPDATE channel SET clock = clock WHERE app_instance = $1 AND id = $2 AND deleted_at IS NULL";
    tx.defer(sql, values![arn.app_instance_key(), arn.id()])
}

/// Notes how many memberships a claimed channel has.
pub(crate) fn note_member_count(tx: &mut Tx, channel: &Channel) {
    if let Some(claimed) = tx.claimed(channel.key) {
        tx.keep_claimed(channel.key, Claimed { member_count: channel.member_count, ..claimed });
    }
}

/// Notes that a claimed channel is deleted.
pub(crate) fn note_deleted(tx: &mut Tx, channel: &Channel) {
    tx.keep_claimed(channel.key, Claimed { is_deleted: true, ..Claimed::of_channel(channel) });
}
