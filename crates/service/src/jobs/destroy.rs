//! Destroys what was deleted: first everybody in a deleted app instance loses their sockets, and its channels end; then
//! the rows of channels are deleted, then those of the app instance, its own last.

use carillon_model::Key;
use carillon_model::event::Event;
use carillon_store::{self as store, Lane, Tx, Work};

use super::{FIRST, Found, Job, Progress, STEP_LEN_MAX, SWEEP_EVERY, Thing, Turn};
use crate::error::Result;

/// App instances, or channels, that take turns.
const THINGS_LEN_MAX: i64 = 100;

pub(crate) const JOB: Job = Job {
    name: "destroy",
    every: SWEEP_EVERY,
    woken_by: Some(Work::Destroy),
    find: |tx, _| find_to_end(tx, FIRST),
};

/// Goes on with the next app instances whose people and channels are to be ended; after the last, with channels.
fn find_to_end(tx: &mut Tx, after: Key) -> Result<Found> {
    let instances = store::app_instance::list_deleted(tx, after, THINGS_LEN_MAX)?;
    let Some(last) = instances.last().copied() else { return find_channels(tx, FIRST) };
    Ok(each(instances, end).then(move |tx, _| find_to_end(tx, last)))
}

/// Goes on with the next channels; after the last, with app instances, while no channel is left that refers to their
/// people.
fn find_channels(tx: &mut Tx, after: Key) -> Result<Found> {
    let channels = store::channel::list_deleted(tx, after, THINGS_LEN_MAX)?;
    match channels.last().copied() {
        Some(last) => Ok(each(channels, destroy_channel).then(move |tx, _| find_channels(tx, last))),
        None if store::channel::list_deleted(tx, FIRST, 1)?.is_empty() => find_app_instances(tx, FIRST),
        None => Ok(Found::default()),
    }
}

fn find_app_instances(tx: &mut Tx, after: Key) -> Result<Found> {
    let instances = store::app_instance::list_deleted(tx, after, THINGS_LEN_MAX)?;
    let Some(last) = instances.last().copied() else { return Ok(Found::default()) };
    Ok(each(instances, destroy_app_instance).then(move |tx, _| find_app_instances(tx, last)))
}

fn each(keys: Vec<Key>, step: fn(&mut Tx, &Turn, Key) -> Result<Progress>) -> Found {
    let thing = |key: Key| Thing::new(Lane::Job, key.uuid(), move |tx, turn| step(tx, turn, key));
    Found::all(keys.into_iter().map(thing))
}

fn end(tx: &mut Tx, turn: &Turn, instance: Key) -> Result<Progress> {
    let (now, rows_max) = (turn.call.now, turn.at_most(STEP_LEN_MAX));
    let ended = store::identity::end_some(tx, instance, now, rows_max)?;
    for key in &ended {
        store::endpoint::delete_all(tx, *key)?;
        let at = tx.instant(now);
        tx.emit(Event::delete_app_instance_user(*key, at))?;
    }
    let all = ended.is_empty() && store::channel::end_some(tx, instance, now, rows_max)? == 0;
    Ok(if all { Progress::Done } else { Progress::More })
}

fn destroy_channel(tx: &mut Tx, turn: &Turn, channel: Key) -> Result<Progress> {
    let rows_max = turn.at_most(STEP_LEN_MAX);
    let place = store::sub_channel::find_left(tx, channel)?.unwrap_or(channel);
    if store::message::delete_some(tx, place, rows_max)? != 0 {
        return Ok(Progress::More);
    }
    if place != channel {
        store::sub_channel::delete(tx, channel, place)?;
        return Ok(Progress::More);
    }
    let gone = store::in_flight::delete_some(tx, channel, rows_max)? == 0
        && store::membership::delete_some(tx, channel, rows_max)? == 0
        && store::moderator::delete_some(tx, channel, rows_max)? == 0
        && store::ban::delete_some(tx, channel, rows_max)? == 0;
    if !gone {
        return Ok(Progress::More);
    }
    store::channel::delete(tx, channel)?;
    Ok(Progress::Done)
}

fn destroy_app_instance(tx: &mut Tx, turn: &Turn, instance: Key) -> Result<Progress> {
    let (arn, rows_max) = (turn.home().app_instance(instance), turn.at_most(STEP_LEN_MAX));
    let gone = store::erasure::delete_some(tx, instance, rows_max)? == 0
        && store::identity::delete_some(tx, instance, rows_max)? == 0
        && store::channel_flow::delete_some(tx, instance, rows_max)? == 0
        && store::tag::delete_some(tx, &arn, rows_max)? == 0;
    if !gone {
        return Ok(Progress::More);
    }
    store::index::delete_instance(tx, instance)?;
    store::tag::delete_all(tx, arn.as_str())?;
    store::app_instance::delete(tx, instance)?;
    Ok(Progress::Done)
}
