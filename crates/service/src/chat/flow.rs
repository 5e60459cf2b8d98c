//! The life of a message in a channel flow.
//!
//! A message is accepted, waits for each processor of its flow in turn, and ends SENT, FAILED or DENIED. This is the
//! one place that moves it: an operation that sends or edits lets it `begin`, a processor's callback
//! lets it `accept` or `deny`, a call that cannot be made and a wait that is over make it `fail`. Each is
//! one transaction that writes the new state and emits what it means, so a retry after a lost answer finds the
//! work done, and a crash finds it done or not begun.
//!
//! What calls processors stands outside: it asks `Service::lease_invocations`, and reports back. Processors that
//! are built in decide within the transaction, through the same transitions.

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

use carillon_model::channel::Channel;
use carillon_model::channel_flow::{FlowOperation, FlowPhase, InFlight, Processor, Revision};
use carillon_model::event::{Audience, Event};
use carillon_model::message::Message;
use carillon_model::text::{ChannelMessagePersistenceType, ChannelMessageStatus, StatusDetail};
use carillon_model::{Key, Timestamp};
use carillon_store::claim::Claim;
use carillon_store::in_flight::Supposed;
use carillon_store::{self as store, Tx, Work};

use super::{message, push};
use crate::call::Call;
use crate::error::{Error, Result};
use crate::patience::CALLBACK_WINDOW_MS;
use crate::processors::Verdict;

/// Later than anything: what an edit that failed said stays for its sender until another takes its place.
const NEVER: Timestamp = Timestamp::from_ms(i64::MAX);

/// What enters a flow.
pub(crate) struct Entry<'a> {
    /// The flow of the channel.
    pub(crate) flow: Key,
    /// What is asked.
    pub(crate) operation: FlowOperation,
    /// The message, as its sender wants it to be.
    pub(crate) message: &'a Message,
    /// What its push notification will say, as JSON.
    pub(crate) push_notification: Option<String>,
}

/// Lets a message into the flow of a channel that is claimed for one event.
pub(crate) fn begin(tx: &mut Tx, call: &Call, channel: &mut Channel, entry: Entry<'_>) -> Result<()> {
    let mut one = enter(call, channel, processors_of(tx, call, channel, entry.flow)?, entry);
    if one.operation == FlowOperation::Update {
        store::in_flight::delete_of_message(tx, one.sub_channel, one.message)?;
    }
    tx.emit(Event::flow_of_message(channel, one.operation, &one.as_said()))?;
    go_on(tx, call, channel, &mut one)?;
    Ok(store::in_flight::insert(tx, &one)?)
}

fn enter(call: &Call, channel: &Channel, processors: Vec<Processor>, entry: Entry<'_>) -> InFlight {
    let Entry { operation, message, push_notification, .. } = entry;
    InFlight {
        channel: channel.key,
        run: call.new_key(),
        sub_channel: message.sub_channel,
        message: message.key,
        operation,
        persistence: message.persistence,
        sender: message.sender.clone(),
        target: message.target.clone(),
        said: Revision {
            content: message.content.clone(),
            metadata: message.metadata.clone(),
            content_type: message.content_type.clone(),
            attributes: message.attributes.clone(),
            push_notification,
        },
        revised: None,
        processors,
        stage: 0,
        secret: call.new_key(),
        answered: Vec::new(),
        phase: FlowPhase::HandOver,
        status: ChannelMessageStatus::Pending,
        detail: None,
        accepted_at: channel.clock,
        updated_at: channel.clock,
        attempts: 0,
        tried_since: None,
        due_at: call.now,
    }
}

/// The processors of a flow in the order in which they are called.
fn processors_of(tx: &mut Tx, call: &Call, channel: &Channel, flow: Key) -> Result<Vec<Processor>> {
    let arn = channel.arn.app_instance().channel_flow(&flow.uuid());
    let found = store::channel_flow::find(tx, &arn)?;
    let found = found.ok_or_else(|| store::Error::broken("the flow of a channel does not exist"))?;
    call.enter_flow(&arn);
    let mut processors = found.processors;
    processors.sort_by_key(|processor| processor.order);
    Ok(processors)
}

/// Lets built-in processors decide, for as long as the next one is built in; any other is called after the commit.
pub(crate) fn go_on(tx: &mut Tx, call: &Call, channel: &mut Channel, one: &mut InFlight) -> Result<()> {
    while one.phase == FlowPhase::HandOver
        && let Some(processor) = one.processor()
    {
        let Some(built_in) = call.surroundings.processors.find(&processor.function) else {
            tx.wake(Work::Flow);
            return Ok(());
        };
        match built_in.judge(tx, one, call.now)? {
            Verdict::Pass => accept(tx, call, channel, one, None)?,
            Verdict::Change(revision) => accept(tx, call, channel, one, Some(*revision))?,
            Verdict::Deny => deny(tx, call, channel, one)?,
            Verdict::Fail(what) => {
                let words = detail(processor.name.as_str(), what);
                fail(tx, call, channel, one, words)?;
            }
            Verdict::Wait(until) => {
                one.due_at = until;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A processor let the message pass, perhaps changed: the next one gets it, or the channel.
pub(crate) fn accept(
    tx: &mut Tx,
    call: &Call,
    channel: &mut Channel,
    one: &mut InFlight,
    revised: Option<Revision>,
) -> Result<()> {
    one.answered.push(one.secret);
    one.revised = revised.or(one.revised.take());
    one.stage += 1;
    if one.processor().is_none() {
        return release(tx, call, channel, one);
    }
    (one.secret, one.phase, one.due_at) = (call.new_key(), FlowPhase::HandOver, call.now);
    (one.attempts, one.tried_since) = (0, None);
    Ok(())
}

/// A processor took the message out: of a new one nothing is left, of an edit what was before.
pub(crate) fn deny(tx: &mut Tx, call: &Call, channel: &mut Channel, one: &mut InFlight) -> Result<()> {
    one.answered.push(one.secret);
    settle(tx, call, channel, one, ChannelMessageStatus::Denied, false)?;
    tx.emit(Event::flow_of_message(channel, one.operation, &one.as_said()))?;
    match one.operation {
        FlowOperation::Create => store::message::delete(tx, &one.as_said())?,
        FlowOperation::Update => set_status(tx, one, ChannelMessageStatus::Sent)?,
    }
    end(one);
    Ok(())
}

/// The flow could not be finished. Its sender learns why.
pub(crate) fn fail(
    tx: &mut Tx,
    call: &Call,
    channel: &mut Channel,
    one: &mut InFlight,
    detail: StatusDetail,
) -> Result<()> {
    one.answered.push(one.secret);
    one.detail = Some(detail);
    settle(tx, call, channel, one, ChannelMessageStatus::Failed, false)?;
    tx.emit(Event::flow_of_message(channel, one.operation, &one.as_said()))?;
    set_status(tx, one, ChannelMessageStatus::Failed)?;
    end(one);
    Ok(())
}

/// Shows the message to the channel as the processors left it.
fn release(tx: &mut Tx, call: &Call, channel: &mut Channel, one: &mut InFlight) -> Result<()> {
    let persistent = one.persistence == ChannelMessagePersistenceType::Persistent;
    let new = one.operation == FlowOperation::Create;
    let last_message = new && persistent && one.target.is_none();
    settle(tx, call, channel, one, ChannelMessageStatus::Sent, last_message)?;
    let message = one.as_revised();
    if persistent && !store::message::release(tx, &message, one.current().push_notification.as_deref())? {
        return Err(no_message());
    }
    let mut event = if new {
        Event::release_channel_message(channel, &message)
    } else {
        Event::update_channel_message(channel, &message)
    };
    if message.target.is_some() {
        event.audience = Audience::only(still_there(tx, channel, &message)?);
    }
    message::show(tx, call, channel, &message, event)?;
    // An edit notifies nobody.
    let said = one.current().push_notification.as_deref().filter(|_| new);
    if let Some(notification) = said.and_then(|said| serde_json::from_str(said).ok()) {
        push::queue(tx, channel, &message, &notification)?;
    }
    end(one);
    Ok(())
}

/// Those of sender and target who belong to where the message is, now that it is released.
fn still_there(tx: &mut Tx, channel: &Channel, message: &Message) -> Result<Vec<Key>> {
    let mut there = Vec::new();
    for one in [Some(&message.sender), message.target.as_ref()].into_iter().flatten() {
        let places = store::membership::list_places(tx, &channel.arn, channel.key, one)?;
        if places.iter().any(|place| place.sub_channel == message.sub_channel) {
            there.push(one.key);
        }
    }
    Ok(there)
}

/// Takes the channel's next number for the event that tells of a new status.
fn settle(
    tx: &mut Tx,
    call: &Call,
    channel: &mut Channel,
    one: &mut InFlight,
    status: ChannelMessageStatus,
    last_message: bool,
) -> Result<()> {
    let seen = channel.sequence;
    store::claim::take(tx, channel, Claim { last_message, ..Claim::of(1) }, call.now)?;
    if channel.sequence == seen {
        return Err(Error::forbidden("The channel does not exist"));
    }
    (one.status, one.updated_at) = (status, channel.clock);
    Ok(())
}

fn set_status(tx: &mut Tx, one: &InFlight, status: ChannelMessageStatus) -> Result<()> {
    let detail = one.detail.as_ref();
    Ok(store::message::set_status(tx, (one.sub_channel, one.message), status, detail, one.updated_at)?)
}

/// Nothing more will happen. What was said is erased, but for an edit that failed: its sender still sees it.
fn end(one: &mut InFlight) {
    one.phase = FlowPhase::End;
    one.revised = None;
    if one.operation == FlowOperation::Update && one.status == ChannelMessageStatus::Failed {
        one.due_at = NEVER;
    } else {
        one.said = Revision::default();
        one.due_at = one.accepted_at.plus_ms(CALLBACK_WINDOW_MS);
    }
}

/// Stores how far the message has come, where nobody else has moved it on.
pub(crate) fn keep(tx: &mut Tx, one: &InFlight, supposed: Supposed) -> Result<()> {
    if store::in_flight::keep(tx, one, supposed)? {
        Ok(())
    } else {
        Err(Error::conflict("The message was moved on meanwhile"))
    }
}

/// Words for the one who sent the message, within the length of a detail: a long name is cut, what happened is not.
pub(crate) fn detail(processor: &str, what: &str) -> StatusDetail {
    const NAME_LENGTH_MAX: usize = 160;
    let name: String = processor.chars().take(NAME_LENGTH_MAX).collect();
    StatusDetail::stored(format!("The processor {name} {what}"))
}

/// A message that is not there, as one that is not the caller's to know of.
pub(crate) fn no_message() -> Error {
    Error::forbidden("The message does not exist")
}
