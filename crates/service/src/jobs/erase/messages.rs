//! What somebody said: every message of the app instance is looked at once. An index by senders would cost each send,
//! for what happens a few times a year.

use carillon_model::event::Event;
use carillon_model::text::ChannelMessageStatus;
use carillon_model::{ChannelArn, Key, MessageKey, Timestamp};
use carillon_store::claim::Claim;
use carillon_store::erasure::Erased;
use carillon_store::{self as store, Lane, Tx};

use super::{Subject, replace_id};
use crate::error::Result;
use crate::jobs::{Found, Progress, Thing, Turn};

/// Messages that a look goes through, and channels.
const LOOK_LEN_MAX: i64 = 2_000;
const CHANNELS_LEN_MAX: u32 = 200;
/// Messages that a step redacts, each of which is told: so few that sends between them do not wait.
const STEP_LEN: usize = 25;

/// Where the walk is.
#[derive(Debug, Clone, Default)]
pub(super) struct At {
    /// Channels after this one are still to be looked at.
    id: String,
    /// Where it is within that one.
    within: Option<Within>,
}

#[derive(Debug, Clone)]
struct Within {
    channel: Key,
    arn: ChannelArn,
    /// The places that are left; the last of them is being looked at.
    places: Vec<Key>,
    /// The message that was looked at last.
    after: MessageKey,
}

impl Within {
    fn new(tx: &mut Tx, channel: Key, arn: ChannelArn) -> Result<Self> {
        let places = store::erasure::list_places(tx, channel)?;
        Ok(Self { channel, arn, places, after: first() })
    }
}

fn first() -> MessageKey {
    MessageKey::least(Timestamp::from_ms(0))
}

/// How many messages that say something a held channel has of somebody.
pub(super) fn count(tx: &mut Tx, channel: &str, sender: Key) -> Result<i64> {
    let Ok(arn) = channel.parse::<ChannelArn>() else { return Ok(0) };
    let Some(found) = store::channel::find_by_arn(tx, &arn)? else { return Ok(0) };
    let mut count = 0;
    for place in store::erasure::list_places(tx, found.key)? {
        let mut after = first();
        loop {
            let page = store::erasure::list_messages(tx, (place, after), sender, LOOK_LEN_MAX)?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            count += page.iter().map(|(_, is_own)| i64::from(*is_own)).sum::<i64>();
        }
    }
    Ok(count)
}

/// Goes on with the walk; at its end, the id is replaced.
pub(super) fn find(tx: &mut Tx, turn: &Turn, subject: Subject, mut at: At) -> Result<Found> {
    let (person, mut due, mut left) = (subject.of.person, Vec::new(), turn.at_most(LOOK_LEN_MAX));
    let mut channels = CHANNELS_LEN_MAX;
    while 0 < left && 0 < channels {
        let Some(within) = &mut at.within else {
            let Some((channel, arn)) = store::erasure::find_channel(tx, &subject.instance, &at.id)? else {
                let rest = subject.clone();
                return Ok(Found::all(due).then(move |_, _| Ok(rest.then([rest.step(replace_id)]))));
            };
            channels -= 1;
            arn.id().clone_into(&mut at.id);
            if !store::erasure::is_held(tx, &arn)? {
                at.within = Some(Within::new(tx, channel, arn)?);
            }
            continue;
        };
        let Some(place) = within.places.last().copied() else {
            at.within = None;
            continue;
        };
        if within.after == first() && store::erasure::is_in_flight(tx, place, person)? {
            due.push(step(within, person, move |tx, _| {
                let unseen = store::erasure::delete_in_flight(tx, place, person)?;
                count_unseen(tx, person, unseen)
            }));
        }
        let page = store::erasure::list_messages(tx, (place, within.after), person, left)?;
        left -= i64::try_from(page.len()).unwrap_or(left);
        if let Some((last, _)) = page.last() {
            within.after = *last;
        } else {
            within.places.pop();
            within.after = first();
        }
        let own: Vec<MessageKey> =
            page.into_iter().filter(|(_, is_own)| *is_own).map(|(key, _)| key).collect();
        for keys in own.chunks(STEP_LEN) {
            let (keys, instance) = (keys.to_vec(), subject.instance.clone());
            let channel = within.channel;
            due.push(step(within, person, move |tx, turn| {
                erase(tx, turn, (&instance, channel), (place, person), &keys)
            }));
        }
    }
    Ok(Found::all(due).then(move |tx, turn| find(tx, turn, subject.clone(), at.clone())))
}

fn step(
    within: &Within,
    person: Key,
    step: impl Fn(&mut Tx, &Turn) -> Result<()> + Send + Sync + 'static,
) -> Thing {
    let arn = within.arn.clone();
    Thing::new(Lane::channel(&within.arn), person.uuid(), move |tx, turn| {
        // It may be held by now.
        if store::erasure::is_held(tx, &arn)? {
            return Ok(Progress::Passed);
        }
        step(tx, turn)?;
        Ok(Progress::Done)
    })
}

fn count_unseen(tx: &mut Tx, person: Key, unseen: u64) -> Result<()> {
    let unseen = i64::try_from(unseen).unwrap_or(i64::MAX);
    Ok(store::erasure::count(tx, person, Erased { unseen, ..Erased::default() })?)
}

/// Erases what these messages say. The shell of each stays where others saw it, so that the order, the keys and the
/// answers to it do; where nobody did, nothing stays.
fn erase(
    tx: &mut Tx,
    turn: &Turn,
    (instance, channel): (&carillon_model::AppInstanceArn, Key),
    (place, person): (Key, Key),
    keys: &[MessageKey],
) -> Result<()> {
    let mut erased = Erased::default();
    for key in keys {
        let Some(mut claimed) = store::channel::find(tx, instance, channel)? else { return Ok(()) };
        if !store::claim::take(tx, &mut claimed, Claim::of_message(false), turn.call.now)? {
            let Some(again) = store::channel::find(tx, instance, channel)? else { return Ok(()) };
            claimed = again;
        }
        let Some(mut message) = store::message::find(tx, instance, place, *key)? else { continue };
        if message.redacted || message.sender.key != person {
            continue;
        }
        message.erase();
        message.content_type = None;
        (message.redacted, message.updated_at) = (true, claimed.clock);
        store::in_flight::delete_of_message(tx, place, *key)?;
        if message.released {
            (message.status, message.status_detail) = (ChannelMessageStatus::Sent, None);
            store::message::revise(tx, &message)?;
            let event = Event::redact_channel_message(&claimed, &message);
            store::outbox::erase_message(tx, &event)?;
            tx.emit(event)?;
            erased.messages += 1;
        } else {
            store::message::delete(tx, &message)?;
            // Nobody is told: only its sender ever was.
            store::outbox::erase_message(tx, &Event::delete_channel_message(&claimed, &message))?;
            erased.unseen += 1;
        }
    }
    Ok(store::erasure::count(tx, person, erased)?)
}
