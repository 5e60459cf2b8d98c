//! Takes messages in, for searches: first where much was said lately, then channel by channel, over all that there
//! are, which is also how an index begins and how what was missed is found.
//!
//! A round does a bounded part of it ([`BUDGET`]), so that an app instance with many old messages is taken in beside
//! the requests, over many rounds. A search needs none of it: what is not taken in yet it reads.

use std::sync::Arc;
use std::time::Duration;

use carillon_model::Timestamp;
use carillon_store::index::{self, Place, Walk};
use carillon_store::{Lane, Tx};

use super::{Found, Job, Progress, STEP_LEN_MAX, Thing, Turn, WALK_EVERY};
use crate::error::Result;
use crate::search::indexing::{self, Due};

/// How often a round begins.
const EVERY: Duration = Duration::from_secs(2);
/// What a round does: messages that it takes in, or a few for each channel that it walks over.
const BUDGET: i64 = 20_000;
/// What a channel counts for.
const CHANNEL_COSTS: i64 = 4;
/// Messages that a look takes in, and that are in memory until they are written.
const LOOK_LEN_MAX: i64 = 2_048;
/// How many events of a channel are awaited before what was said there is taken in. Fewer are read by searches.
pub(crate) const BATCH_LEN: i64 = 32;
/// For how long an event is lately: some rounds. What is missed the next walk finds.
const LATELY_MS: i64 = 20_000;
/// Channels that a look goes through.
const CHANNELS_LEN_MAX: i64 = 64;
/// How long an index is only announced: until every node knows that it must be told what is changed.
pub(crate) const ANNOUNCED_MS: i64 = 10_000;

pub(crate) const JOB: Job = Job { name: "search index", every: EVERY, woken_by: None, find: begin };

/// Begins and ends indexes, as the configuration says.
fn begin(tx: &mut Tx, turn: &Turn) -> Result<Found> {
    let search = &turn.call.surroundings.search;
    let walks = index::list_walks(tx)?;
    search.progress.note(&walks);
    let new = index::list_unwalked(tx)?.into_iter().filter(|instance| search.is_on(*instance));
    let new = new.map(|instance| {
        Thing::new(Lane::Job, instance.uuid(), move |tx, turn| {
            index::begin(tx, instance, turn.call.now)?;
            Ok(Progress::Done)
        })
    });
    let old = walks.into_iter().filter(|walk| !search.is_on(walk.instance) && !walk.is_ending);
    let old = old.map(|walk| {
        Thing::new(Lane::Job, walk.instance.uuid(), move |tx, _| {
            index::set_ending(tx, walk.instance)?;
            Ok(Progress::Done)
        })
    });
    Ok(Found::all(new.chain(old)).then(|tx, turn| lately(tx, turn, BUDGET)))
}

/// Until when an index must have been announced.
fn announced(turn: &Turn) -> Timestamp {
    turn.call.now.plus_ms(-ANNOUNCED_MS)
}

/// Goes on where much was said lately, again and again until nothing of it is left.
fn lately(tx: &mut Tx, turn: &Turn, budget: i64) -> Result<Found> {
    let since = turn.call.now.plus_ms(-LATELY_MS);
    let places = index::list_recent(tx, (since, announced(turn)), BATCH_LEN, CHANNELS_LEN_MAX)?;
    let (mut due, mut left) = (Vec::new(), LOOK_LEN_MAX);
    for place in places {
        if left <= 0 {
            break;
        }
        left -= CHANNEL_COSTS + take(tx, turn, (&place, left, false), &mut due)?.0;
    }
    let (is_idle, budget) = (due.is_empty(), budget - (LOOK_LEN_MAX - left));
    Ok(Found::all(due).then(move |tx, turn| match budget {
        ..=0 => Ok(Found::default()),
        _ if is_idle => walk(tx, turn, budget),
        _ => lately(tx, turn, budget),
    }))
}

/// What is to be done about a place; answers how many messages that takes in, and whether there are more.
fn take(
    tx: &mut Tx,
    turn: &Turn,
    (place, most, sweeps): (&Place, i64, bool),
    due: &mut Vec<Thing>,
) -> Result<(i64, bool)> {
    let terms = &turn.call.surroundings.search.terms;
    let (key, name) = (place.key, place.key.to_string());
    match indexing::take(tx, terms, place, turn.at_most(most), sweeps)? {
        Due::Nothing => Ok((0, false)),
        Due::Forget => {
            due.push(Thing::new(Lane::Job, name, move |tx, turn| forget(tx, turn, key)));
            Ok((1, true))
        }
        Due::Take(taken) => {
            let (messages, has_more) = (i64::try_from(taken.messages).unwrap_or(i64::MAX), taken.has_more);
            let taken = Arc::new(*taken);
            due.push(Thing::new(Lane::Job, name, move |tx, turn| {
                if !indexing::write(tx, &taken)? {
                    return Ok(Progress::Passed);
                }
                turn.call.surroundings.search.progress.take(taken.messages);
                Ok(Progress::Done)
            }));
            Ok((messages, has_more))
        }
    }
}

fn forget(tx: &mut Tx, turn: &Turn, place: carillon_model::Key) -> Result<Progress> {
    let is_done = indexing::forget(tx, place, turn.at_most(STEP_LEN_MAX))?;
    Ok(if is_done { Progress::Done } else { Progress::More })
}

/// Goes on with the walk over the channels of an app instance.
fn walk(tx: &mut Tx, turn: &Turn, budget: i64) -> Result<Found> {
    let (now, every) = (turn.call.now, i64::try_from(WALK_EVERY.as_millis()).unwrap_or(i64::MAX));
    let is_due = |walk: &Walk| {
        let has_rested = walk.ended_at.is_none_or(|ended_at| ended_at.plus_ms(every) <= now);
        walk.is_ending || (walk.since <= announced(turn) && (has_rested || !walk.after.is_empty()))
    };
    let walks = index::list_walks(tx)?;
    turn.call.surroundings.search.progress.note(&walks);
    let Some(mut walk) = walks.into_iter().find(is_due) else { return Ok(Found::default()) };
    let version = turn.call.surroundings.search.terms.version();
    let channels = walk.list(tx, version, CHANNELS_LEN_MAX)?;
    let (is_last, is_ending) =
        (i64::try_from(channels.len()).is_ok_and(|count| count < CHANNELS_LEN_MAX), walk.is_ending);
    if walk.after.is_empty() {
        walk.walked = 0;
    }
    let (mut due, mut left, mut is_through) = (Vec::new(), LOOK_LEN_MAX, true);
    for channel in channels {
        let mut is_whole = true;
        for place in &channel.places {
            if is_ending {
                let key = place.key;
                due.push(Thing::new(Lane::Job, key.to_string(), move |tx, turn| forget(tx, turn, key)));
                continue;
            }
            let (messages, has_more) = take(tx, turn, (place, left.max(1), true), &mut due)?;
            left -= messages;
            is_whole &= !has_more;
        }
        left -= CHANNEL_COSTS;
        if !is_whole {
            is_through = false;
            break;
        }
        (walk.after, walk.walked) = (channel.id, walk.walked + 1);
        if left <= 0 {
            is_through = false;
            break;
        }
    }
    let ends = is_last && is_through;
    if ends {
        (walk.after, walk.ended_at) = (String::new(), Some(now));
    }
    due.push(Thing::new(Lane::Job, walk.instance.uuid(), move |tx, _| {
        if ends && is_ending {
            index::delete_instance(tx, walk.instance)?;
        } else {
            index::set_walk(tx, &walk)?;
        }
        Ok(Progress::Done)
    }));
    let budget = budget - (LOOK_LEN_MAX - left).max(1);
    Ok(Found::all(due)
        .then(move |tx, turn| if budget <= 0 { Ok(Found::default()) } else { self::walk(tx, turn, budget) }))
}
