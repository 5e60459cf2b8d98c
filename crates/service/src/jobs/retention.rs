//! Destroys messages that retention has hidden for long enough.
//!
//! It looks only into app instances that destroy messages; a step is made in a channel that holds some.

use carillon_model::text::RetentionDays;
use carillon_model::{Key, MessageKey};
use carillon_store::{self as store, Lane, Tx};

use super::{FIRST, Found, Job, Progress, STEP_LEN_MAX, Thing, Turn, WALK_EVERY};
use crate::chat::retention::DAY_MS;
use crate::error::Result;

/// Channels that one look goes through: a seek or two in each.
const CHANNELS_LEN_MAX: i64 = 200;

pub(crate) const JOB: Job =
    Job { name: "retention", every: WALK_EVERY, woken_by: None, find: |tx, turn| find(tx, turn, FIRST) };

/// Goes on with the next app instance.
fn find(tx: &mut Tx, turn: &Turn, after: Key) -> Result<Found> {
    let next = store::app_instance::find_destroying(tx, after, turn.call.now)?;
    next.map_or_else(|| Ok(Found::default()), |next| find_in(tx, turn, next, ""))
}

/// Goes on with the next channels of an app instance.
fn find_in(tx: &mut Tx, turn: &Turn, of: (Key, RetentionDays), after: &str) -> Result<Found> {
    let (instance, days) = of;
    let bound = MessageKey::least(turn.call.now.plus_ms(-DAY_MS * days.get()));
    let channels = store::channel::list_with_old(tx, instance, bound, after, CHANNELS_LEN_MAX)?;
    let Some(last) = channels.last().map(|channel| channel.id.clone()) else {
        return find(tx, turn, instance);
    };
    let arn = turn.home().app_instance(instance);
    let thing = |channel: store::channel::LookedAt| {
        let arn = arn.channel(&channel.id);
        Thing::new(Lane::channel(&arn), arn.as_str(), move |tx, turn| destroy(tx, turn, channel.key, bound))
    };
    let due = channels.into_iter().filter(|channel| channel.has_old).map(thing);
    Ok(Found::all(due).then(move |tx, turn| find_in(tx, turn, of, &last)))
}

fn destroy(tx: &mut Tx, turn: &Turn, channel: Key, bound: MessageKey) -> Result<Progress> {
    let rows_max = turn.at_most(STEP_LEN_MAX);
    store::claim::hold(tx, channel)?;
    let messages = store::message::delete_before(tx, channel, bound, rows_max)?;
    let in_flight = store::in_flight::delete_before(tx, channel, bound, rows_max)?;
    Ok(Progress::after(messages + in_flight, rows_max))
}
