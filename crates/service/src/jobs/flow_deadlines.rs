//! Ends the waits for processors that did not call back, each in the lane of its channel.

use carillon_model::ChannelArn;
use carillon_model::channel_flow::{FlowPhase, InFlight};
use carillon_store::in_flight::{Overdue, Supposed};
use carillon_store::{self as store, Lane, Tx};

use super::{Found, Job, Progress, STEP_LEN_MAX, SWEEP_EVERY, Thing, Turn};
use crate::chat::flow;
use crate::chat::retention;
use crate::error::Result;

pub(crate) const JOB: Job = Job {
    name: "flow deadlines",
    every: SWEEP_EVERY,
    woken_by: None,
    find: |tx, turn| find(tx, turn, Overdue::FIRST),
};

fn find(tx: &mut Tx, turn: &Turn, after: Overdue) -> Result<Found> {
    let rows_max = turn.at_most(STEP_LEN_MAX);
    let overdue = store::in_flight::list_overdue(tx, turn.home(), turn.call.now, (after, rows_max))?;
    let Some(last) = overdue.last().map(|(_, one)| *one) else { return Ok(Found::default()) };
    let thing = |(arn, one): (ChannelArn, Overdue)| {
        Thing::new(Lane::channel(&arn), arn.as_str().to_owned(), move |tx, turn| expire(tx, turn, &arn, one))
    };
    Ok(Found::all(overdue.into_iter().map(thing)).then(move |tx, turn| find(tx, turn, last)))
}

/// A wait that is over, unless the processor was faster. What retention hides meanwhile goes without a word.
fn expire(tx: &mut Tx, turn: &Turn, arn: &ChannelArn, overdue: Overdue) -> Result<Progress> {
    let (instance, call) = (arn.app_instance(), &turn.call);
    let found = store::in_flight::find(tx, &instance, overdue.channel, overdue.run)?;
    let over = |one: &InFlight| one.phase == FlowPhase::Wait && one.due_at <= call.now;
    let Some(mut one) = found.filter(over) else { return Ok(Progress::Passed) };
    let supposed = Supposed::of(&one);
    let since = retention::seen_since(tx, &instance, call.now)?;
    if since.is_some_and(|since| one.message.created() < since) {
        store::claim::hold(tx, one.channel)?;
        store::in_flight::delete_of_message(tx, one.sub_channel, one.message)?;
        return Ok(Progress::Done);
    }
    let Some(mut channel) = store::channel::find(tx, &instance, one.channel)? else {
        return Ok(Progress::Passed);
    };
    let name = one.processor().map_or("", |processor| processor.name.as_str());
    let words = flow::detail(name, "did not call back within 48 hours");
    flow::fail(tx, call, &mut channel, &mut one, words)?;
    flow::keep(tx, &one, supposed)?;
    Ok(Progress::Done)
}
