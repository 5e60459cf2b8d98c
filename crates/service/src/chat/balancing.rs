//! The balancing of elastic channels: new sub-channels are filled from full ones, those with few members are
//! dissolved.
//!
//! What is to be done stands in the store, as the task of a sub-channel; `step` reads it, does a bounded part of it
//! under the channel's claim, and leaves the rest to the next step, which any node may take. So a crash loses nothing,
//! and a sender waits for one step at most. The operations begin tasks, in the transaction that makes them necessary;
//! a job owns the stepping.

use carillon_model::channel::{Channel, ElasticChannelConfiguration};
use carillon_model::event::Event;
use carillon_model::{ChannelArn, Key, Timestamp};
use carillon_store::claim::Claim;
use carillon_store::sub_channel::{SubChannel, Task};
use carillon_store::{self as store, Tx, Work};

use crate::error::{Error, Result};

/// Members that a step moves, or moderators that it takes out: a sender waits for a step at most.
pub(crate) const TRANSFER_LEN_MAX: i64 = 50;
/// Rows that a step deletes of a sub-channel that is no more.
const DELETE_LEN_MAX: i64 = 500;

/// The regular members below which a sub-channel is dissolved, once another has room for them.
fn minimum(elastic: ElasticChannelConfiguration) -> i64 {
    let target = elastic.target_memberships_per_sub_channel.get();
    (target * elastic.minimum_membership_percentage.get() + 99) / 100
}

/// How many a new sub-channel is filled up to: half, so that it is far from being dissolved again.
fn fill_goal(elastic: ElasticChannelConfiguration) -> i64 {
    minimum(elastic).max(elastic.target_memberships_per_sub_channel.get() / 2)
}

/// How many stay where members are taken from to fill a new one.
fn donor_rest(elastic: ElasticChannelConfiguration) -> i64 {
    minimum(elastic).max((elastic.target_memberships_per_sub_channel.get() + 1) / 2)
}

/// The sub-channel with room for a newcomer, and for how many: found by an index, however many there are. It is the
/// fullest that is not full, because few full ones serve everybody better than many empty ones; else one that was
/// about to be dissolved; else a new one, whose event takes the channel's present number.
pub(crate) fn find_room(
    tx: &mut Tx,
    channel: &mut Channel,
    (elastic, new_key): (ElasticChannelConfiguration, Key),
    now: Timestamp,
) -> Result<(Key, i64)> {
    let target = elastic.target_memberships_per_sub_channel.get();
    if let Some(fullest) = store::sub_channel::find_fullest(tx, channel.key, target, None)? {
        return Ok((fullest.key, target - fullest.taken));
    }
    if let Some(draining) = store::sub_channel::find_draining(tx, channel.key)? {
        store::sub_channel::stop_drain(tx, channel.key, &draining)?;
        return Ok((draining.key, target - draining.regular_count));
    }
    let most = elastic.maximum_sub_channels.get();
    if most <= store::sub_channel::count(tx, channel.key)? {
        let quota = "memberships of this elastic channel";
        return Err(Error::limit_exceeded(quota, most.saturating_mul(target)));
    }
    store::sub_channel::insert(tx, channel.key, new_key, Some(Task::Fill), channel.clock)?;
    tx.emit(Event::create_sub_channel(channel, new_key))?;
    store::claim::take(tx, channel, Claim::of(1), now)?;
    tx.wake(Work::Balance);
    Ok((new_key, target))
}

/// Begins to dissolve a sub-channel of a claimed channel, where one has few members and another has room for them
/// all. To be called after regular members left or moved: only the emptiest can have become too empty, and where it
/// fits nowhere, no other does.
pub(crate) fn consider(tx: &mut Tx, channel: &Channel) -> Result<()> {
    let Some(elastic) = channel.elastic else { return Ok(()) };
    let least = minimum(elastic);
    let Some(emptiest) = store::sub_channel::find_emptiest(tx, channel.key, least)? else { return Ok(()) };
    let below = elastic.target_memberships_per_sub_channel.get() - emptiest.regular_count + 1;
    let receiver = store::sub_channel::find_fullest(tx, channel.key, below, Some(emptiest.key))?;
    if let Some(receiver) = receiver {
        store::sub_channel::start_drain(tx, channel.key, &emptiest, receiver.key)?;
        tx.wake(Work::Balance);
    }
    Ok(())
}

/// Does a part of what a channel has to do; false when nothing is left. It reads all that it needs under the claim:
/// whatever happened since the last step, here or on another node, counts. It moves up to `limit` members; the server's
/// limit is [`TRANSFER_LEN_MAX`].
pub(crate) fn step(tx: &mut Tx, now: Timestamp, (arn, key): (&ChannelArn, Key), limit: i64) -> Result<bool> {
    let Some(mut channel) = store::channel::find(tx, &arn.app_instance(), key)? else { return Ok(false) };
    if !store::claim::take(tx, &mut channel, Claim::of(0), now)? {
        // It may have been deleted since.
        let Some(again) = store::channel::find(tx, &arn.app_instance(), key)? else { return Ok(false) };
        channel = again;
    }
    let Some(elastic) = channel.elastic else { return Ok(false) };
    let Some(busy) = store::sub_channel::find_busy(tx, key)? else { return Ok(false) };
    match busy.task {
        Some(Task::Fill) => fill(tx, now, (&mut channel, elastic), &busy, limit)?,
        Some(Task::Drain) => drain(tx, now, &mut channel, &busy, limit)?,
        Some(Task::Close) => close(tx, now, &mut channel, &busy, limit)?,
        Some(Task::Destroy) => destroy(tx, &channel, &busy)?,
        None => return Ok(false),
    }
    Ok(true)
}

/// Moves members of the fullest into a new one, until it has its share or nobody can give.
fn fill(
    tx: &mut Tx,
    now: Timestamp,
    (channel, elastic): (&mut Channel, ElasticChannelConfiguration),
    new: &SubChannel,
    limit: i64,
) -> Result<()> {
    let lacking = fill_goal(elastic) - new.taken;
    let all = elastic.target_memberships_per_sub_channel.get() + 1;
    let donor = store::sub_channel::find_fullest(tx, channel.key, all, Some(new.key))?;
    // Each gives its share, so that all stay about equally full.
    let donors = (store::sub_channel::count(tx, channel.key)? - 1).max(1);
    let share = (lacking / donors).clamp(1, limit).min(lacking);
    let donor = donor.map(|donor| (donor.key, share.min(donor.regular_count - donor_rest(elastic))));
    match donor {
        Some((donor, count)) if 0 < count => transfer(tx, now, channel, (donor, new.key), count),
        _ => {
            store::sub_channel::end_fill(tx, channel.key, new.key)?;
            consider(tx, channel)
        }
    }
}

/// Moves members of one that is to be dissolved to where places are kept for them.
fn drain(tx: &mut Tx, now: Timestamp, channel: &mut Channel, from: &SubChannel, limit: i64) -> Result<()> {
    match from.receiver {
        Some(receiver) if 0 < from.regular_count => transfer(tx, now, channel, (from.key, receiver), limit),
        _ => {
            store::sub_channel::close(tx, channel.key, from.key)?;
            // What received may itself be too empty still, and can be dissolved from now on.
            consider(tx, channel)
        }
    }
}

fn transfer(
    tx: &mut Tx,
    now: Timestamp,
    channel: &mut Channel,
    (from, to): (Key, Key),
    limit: i64,
) -> Result<()> {
    let moving = store::membership::list_regulars(tx, channel, from, limit)?;
    if moving.is_empty() {
        return Err(store::Error::broken("a sub-channel counts members that it does not have").into());
    }
    let count = claim_numbers(tx, channel, moving.len(), now)?;
    store::sub_channel::move_regulars(tx, channel.key, from, to, count)?;
    for mut membership in moving {
        store::membership::set_place(tx, &membership, to, channel.clock)?;
        (membership.sub_channel, membership.updated_at) = (to, channel.clock);
        channel.sequence += 1;
        tx.emit(Event::update_channel_membership(channel, &membership, from))?;
    }
    Ok(())
}

/// Takes the moderators out of one that has no regular members any more; without them, it is no more.
fn close(tx: &mut Tx, now: Timestamp, channel: &mut Channel, closing: &SubChannel, limit: i64) -> Result<()> {
    let leaving = store::membership::list_placed(tx, channel, closing.key, limit)?;
    if leaving.is_empty() {
        // What a channel flow has in flight there ends with it: nobody is left to be told.
        let ended = store::in_flight::delete_of_sub_channel(tx, closing.key, DELETE_LEN_MAX)?;
        if ended == DELETE_LEN_MAX.unsigned_abs() {
            return Ok(());
        }
        claim_numbers(tx, channel, 1, now)?;
        channel.sequence += 1;
        tx.emit(Event::delete_sub_channel(channel, closing.key))?;
        store::sub_channel::destroy(tx, channel.key, closing.key)?;
        return Ok(());
    }
    let count = claim_numbers(tx, channel, leaving.len(), now)?;
    channel.member_count -= count;
    store::channel::set_member_count(tx, channel)?;
    store::sub_channel::add_moderators(tx, channel.key, closing.key, -count)?;
    for membership in &leaving {
        store::membership::delete(tx, membership)?;
        store::identity::add_memberships(tx, membership.member.key, -1)?;
        channel.sequence += 1;
        tx.emit(Event::dissolve_channel_membership(channel, membership))?;
    }
    Ok(())
}

fn destroy(tx: &mut Tx, channel: &Channel, gone: &SubChannel) -> Result<()> {
    if store::message::delete_some(tx, gone.key, DELETE_LEN_MAX)? == 0 {
        store::sub_channel::delete(tx, channel.key, gone.key)?;
    }
    Ok(())
}

/// Claims the next `count` numbers of a claimed channel, and leaves it at the one before them.
pub(crate) fn claim_numbers(tx: &mut Tx, channel: &mut Channel, count: usize, now: Timestamp) -> Result<i64> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    store::claim::take(tx, channel, Claim::of(count), now)?;
    channel.sequence -= count;
    Ok(count)
}

#[cfg(test)]
mod tests;
