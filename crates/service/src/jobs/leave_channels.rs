//! Takes deleted users and bots out of their channels, each in the lane of the channel: the event follows its others.

use carillon_model::Key;
use carillon_model::identity::Identity;
use carillon_store::claim::Claim;
use carillon_store::{self as store, Lane, Tx, Work};

use super::{FIRST, Found, Job, Progress, SWEEP_EVERY, Thing, Turn};
use crate::chat::placement::leave_all;
use crate::error::Result;

/// Channels of one person that a look finds.
const CHANNELS_LEN_MAX: i64 = 100;

pub(crate) const JOB: Job = Job {
    name: "leave channels",
    every: SWEEP_EVERY,
    woken_by: Some(Work::Leave),
    find: |tx, turn| find(tx, turn, FIRST),
};

/// Goes on with the next person.
fn find(tx: &mut Tx, turn: &Turn, after: Key) -> Result<Found> {
    let Some((key, row)) = store::identity::find_leaving(tx, turn.home(), after)? else {
        return Ok(Found::default());
    };
    let mut found = Found::default();
    match found.readable("identity", vec![(key, row)]).pop() {
        Some(who) => find_of(tx, turn, who, FIRST),
        None => Ok(found.then(move |tx, turn| find(tx, turn, key))),
    }
}

/// Goes on with the next channels of a person; after the last, the person has left, but for what failed.
fn find_of(tx: &mut Tx, turn: &Turn, who: Identity, after: Key) -> Result<Found> {
    let instance = who.arn.app_instance();
    let rows_max = turn.at_most(CHANNELS_LEN_MAX);
    let channels = store::identity::list_involved(tx, &instance, who.key, (after, rows_max))?;
    let Some(last) = channels.last().map(|(key, _)| *key) else {
        let (key, name) = (who.key, who.arn.as_str().to_owned());
        let finish = Thing::new(Lane::Job, name, move |tx, _| finish(tx, &who));
        return Ok(Found::one(finish).then(move |tx, turn| find(tx, turn, key)));
    };
    let thing = |(key, arn): (Key, carillon_model::ChannelArn)| {
        let who = who.clone();
        Thing::new(Lane::channel(&arn), arn.as_str(), move |tx, turn| leave(tx, turn, &who, key))
    };
    Ok(Found::all(channels.into_iter().map(thing)).then(move |tx, turn| find_of(tx, turn, who.clone(), last)))
}

/// Takes somebody out of a channel: memberships, of which the others are told, the moderator's role, the ban.
fn leave(tx: &mut Tx, turn: &Turn, who: &Identity, key: Key) -> Result<Progress> {
    let instance = who.arn.app_instance();
    let Some(mut channel) = store::channel::find(tx, &instance, key)? else { return Ok(Progress::Passed) };
    if !store::claim::take(tx, &mut channel, Claim::of(1), turn.call.now)? {
        // Something happened in it meanwhile: under the claim it is read as it is.
        let Some(again) = store::channel::find(tx, &instance, key)? else { return Ok(Progress::Passed) };
        channel = again;
    }
    let places = store::membership::list_places(tx, &channel.arn, key, who)?;
    leave_all(tx, turn.call.now, &mut channel, &places)?;
    store::moderator::delete(tx, key, who.key)?;
    store::ban::delete(tx, key, who.key)?;
    Ok(Progress::Done)
}

/// Notes that there is nothing left to leave, where there is not.
fn finish(tx: &mut Tx, who: &Identity) -> Result<Progress> {
    if !store::identity::list_involved(tx, &who.arn.app_instance(), who.key, (FIRST, 1))?.is_empty() {
        return Ok(Progress::Passed);
    }
    store::identity::set_left(tx, who.key)?;
    Ok(Progress::Done)
}
