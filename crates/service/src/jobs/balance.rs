//! Moves the members of elastic channels, a part of each channel in turn.

use carillon_model::Key;
use carillon_store::{self as store, Lane, Tx, Work};

use super::{FIRST, Found, Job, Progress, SWEEP_EVERY, Thing, Turn};
use crate::chat::balancing::{self, TRANSFER_LEN_MAX};
use crate::error::Result;

/// Channels that take turns: each waits for a step in all the others.
const CHANNELS_LEN_MAX: i64 = 100;

pub(crate) const JOB: Job = Job {
    name: "balance",
    every: SWEEP_EVERY,
    woken_by: Some(Work::Balance),
    find: |tx, turn| find(tx, turn, FIRST),
};

fn find(tx: &mut Tx, turn: &Turn, after: Key) -> Result<Found> {
    let channels = store::sub_channel::list_busy_channels(tx, turn.home(), after, CHANNELS_LEN_MAX)?;
    let Some(last) = channels.last().map(|(_, key)| *key) else { return Ok(Found::default()) };
    let thing = |(arn, key)| {
        let (lane, name) = (Lane::channel(&arn), arn.as_str().to_owned());
        Thing::new(lane, name, move |tx, turn: &Turn| {
            let moved = balancing::step(tx, turn.call.now, (&arn, key), turn.at_most(TRANSFER_LEN_MAX))?;
            Ok(if moved { Progress::More } else { Progress::Done })
        })
    };
    Ok(Found::all(channels.into_iter().map(thing)).then(move |tx, turn| find(tx, turn, last)))
}
