//! Deletes the channels whose time is over, each in its lane: only there its last event follows the others.

use carillon_model::channel::Channel;
use carillon_model::text::ExpirationCriterion;
use carillon_model::{Key, Timestamp};
use carillon_store::claim::Claim;
use carillon_store::{self as store, Lane, Tx};

use super::{FIRST, Found, Job, Progress, STEP_LEN_MAX, Thing, Turn, WALK_EVERY};
use crate::chat;
use crate::chat::retention::DAY_MS;
use crate::error::Result;

pub(crate) const JOB: Job = Job {
    name: "expire channels",
    every: WALK_EVERY,
    woken_by: None,
    find: |tx, turn| find(tx, turn, FIRST),
};

fn find(tx: &mut Tx, turn: &Turn, after: Key) -> Result<Found> {
    let rows = store::channel::list_expiring(tx, turn.home(), after, turn.at_most(STEP_LEN_MAX))?;
    let Some(last) = rows.last().map(|(key, _)| *key) else { return Ok(Found::default()) };
    let mut found = Found::default();
    let mut channels = found.readable("channel", rows);
    channels.retain(|channel| is_expired(channel, turn.call.now));
    found.due = channels.into_iter().map(thing).collect();
    Ok(found.then(move |tx, turn| find(tx, turn, last)))
}

/// Something that happened in the channel meanwhile may have moved the day: the next walk finds out.
fn thing(channel: Channel) -> Thing {
    let (lane, name) = (Lane::channel(&channel.arn), channel.arn.as_str().to_owned());
    let expire = move |tx: &mut Tx, turn: &Turn| {
        let mut channel = channel.clone();
        if !store::claim::take(tx, &mut channel, Claim::of(1), turn.call.now)? {
            return Ok(Progress::Passed);
        }
        chat::channel::delete(tx, &channel)?;
        Ok(Progress::Done)
    };
    Thing { said_as: Some(("ExpireChannel", "ChannelArn")), ..Thing::new(lane, name, expire) }
}

fn is_expired(channel: &Channel, now: Timestamp) -> bool {
    let Some((days, criterion)) = channel.expiration else { return false };
    let since = match criterion {
        ExpirationCriterion::CreatedTimestamp => channel.created_at,
        ExpirationCriterion::LastMessageTimestamp => channel.last_message_at.unwrap_or(channel.created_at),
    };
    since.plus_ms(days.get() * DAY_MS) <= now
}
