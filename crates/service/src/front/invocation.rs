//! Calling the processors of channel flows: what is due, what a processor is told, and what its silence leads to.
//!
//! A call is leased, made outside of every transaction, and reported. A report about a stage that is over, because
//! the processor's callback was faster, changes nothing, nor does one under a lease that another node has taken over:
//! a node that was stopped and wakes up moves no message on. Only what can be called at once is
//! leased; everything else waits where it is, function by function, until its time is over.

use carillon_model::channel_flow::{Failure, FlowPhase, InFlight, Reason, Unasked};
use carillon_model::text::FallbackAction;
use carillon_model::{ChannelArn, Key, Timestamp};
use carillon_store::in_flight::{Supposed, UNNAMED, Waiting};
use carillon_store::{self as store, Lane, Tx};
use serde::Serialize;
use serde_json::json;

use crate::call::Call;
use crate::chat::flow::{accept, detail, fail, go_on, keep};
use crate::chat::operator;
use crate::error::{Error, Result};
use crate::front::service::Service;
use crate::patience::{CALLBACK_WINDOW_MS, Patience};
use crate::shapes::{self, MessageAttributeMap, PushNotificationConfiguration};

/// The name of the event about a processor that cannot be called.
const PROCESSOR_FAILURE: &str = "Chime ChannelFlow Processing Status";
/// How long a lease of a call lasts: a node that dies holds a message up no longer than this.
const LEASE_MS: i64 = 8_000;
/// The longest that a call may be given: less than its lease, or two nodes would make it.
pub const CALL_TIMEOUT_MS_MAX: i64 = 7_000;

const _: () = assert!(CALL_TIMEOUT_MS_MAX < LEASE_MS);

/// A call that is to be made now.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// The function.
    pub function: String,
    /// What it is told: a JSON object.
    pub payload: String,
    /// The processor's name.
    pub processor: String,
    /// The call must have begun by then, by the service's clock: afterwards another node may make it.
    pub lease_until: Timestamp,
    /// The channel.
    pub channel_arn: ChannelArn,
    /// The message, as its id is spelt.
    pub message_id: String,
    channel: Key,
    run: Key,
    secret: Key,
    /// The lease that it was made under.
    lease: Key,
}

impl Service {
    /// Up to `limit` functions that messages wait for, those whose names come after `after`.
    pub async fn list_waiting(&self, after: &str, limit: usize) -> Result<Vec<Waiting>> {
        let after = after.to_owned();
        let list = move |tx: &mut Tx| {
            let mut found: Vec<Waiting> = Vec::new();
            while found.len() < limit {
                let last = found.last().map_or(after.as_str(), |waiting| waiting.function.as_str());
                let Some(waiting) = store::in_flight::find_waiting(tx, last)? else { break };
                found.push(waiting);
            }
            Ok::<_, Error>(found)
        };
        self.store().read(list).await
    }

    /// Leases up to `limit` calls of a function that are due, so that nobody else makes them.
    pub async fn lease_invocations(&self, function: &str, limit: i64) -> Result<Vec<Invocation>> {
        self.lease(function, self.surroundings().clock.now(), limit).await
    }

    /// What was due then, or before, has waited long enough.
    pub fn overdue(&self) -> Timestamp {
        let surroundings = self.surroundings();
        surroundings.patience.overdue(surroundings.clock.now())
    }

    /// Leases up to `limit` calls of a function that have waited long enough, to be given up.
    pub async fn lease_overdue(&self, function: &str, limit: i64) -> Result<Vec<Invocation>> {
        self.lease(function, self.overdue(), limit).await
    }

    async fn lease(&self, function: &str, due: Timestamp, limit: i64) -> Result<Vec<Invocation>> {
        let (home, lease) = (self.home().clone(), Key::random(self.random()));
        let (function, until) = (function.to_owned(), self.surroundings().clock.now().plus_ms(LEASE_MS));
        let leased = move |tx: &mut Tx| -> Result<_> {
            let found = store::in_flight::lease_due(tx, &home, (lease, until), (&function, due), limit)?;
            if function == UNNAMED {
                // Named, and due at once, under the name.
                for (_, mut one) in found {
                    one.due_at = due;
                    keep(tx, &one, Supposed::of(&one))?;
                }
                return Ok(Vec::new());
            }
            Ok(found.into_iter().filter_map(|(arn, one)| invocation(arn, &one, (lease, until))).collect())
        };
        self.store().write(Lane::Calls, leased).await
    }

    /// A processor took its call; now it has to call back.
    pub async fn handed_over(&self, invocation: &Invocation) -> Result<()> {
        let call = self.job("HandOver");
        self.report(invocation, move |_, _, one| {
            one.phase = FlowPhase::Wait;
            one.due_at = call.now.plus_ms(CALLBACK_WINDOW_MS);
            Ok(())
        })
        .await
    }

    /// A call failed: it is made again after a while, or the processor's fallback decides. Answers whether it
    /// does.
    pub async fn not_handed_over(&self, invocation: &Invocation, failure: Failure) -> Result<bool> {
        let call = self.job("HandOver");
        self.report(invocation, move |tx, arn, one| {
            let since = *one.tried_since.get_or_insert(call.now);
            one.attempts += 1;
            let patience = call.surroundings.patience;
            let again = patience.again(one.attempts, since, call.now, call.random());
            if let Some(again) = again.filter(|_| !failure.permanent) {
                one.due_at = again;
                return Ok(false);
            }
            let reason = failure.reason.to_string();
            fall_back(tx, &call, arn, one, (&cannot_be_called(failure.reason), &reason))
        })
        .await
    }

    /// A call that nobody could make has waited long enough: the processor's fallback decides. Answers whether it
    /// does.
    pub async fn not_asked(&self, invocation: &Invocation, unasked: Unasked) -> Result<bool> {
        let call = self.job("HandOver");
        self.report(invocation, move |tx, arn, one| {
            let what = match unasked {
                Unasked::Closed(reason) if one.attempts != 0 => cannot_be_called(reason),
                unasked => was_not_asked(unasked, one.attempts, call.surroundings.patience),
            };
            fall_back(tx, &call, arn, one, (&what, &unasked.to_string()))
        })
        .await
    }

    /// Whether a function is a processor that is built in: it is not called, but decides.
    pub fn is_built_in(&self, function: &str) -> bool {
        self.surroundings().processors.has(function)
    }

    /// The functions that are processors built in.
    pub fn built_in(&self) -> impl Iterator<Item = &str> {
        self.surroundings().processors.functions()
    }

    /// A message has waited for a processor that is built in: it decides now.
    pub async fn decide(&self, invocation: &Invocation) -> Result<()> {
        let call = self.job("HandOver");
        self.report(invocation, move |tx, arn, one| {
            let found = store::channel::find(tx, &arn.app_instance(), one.channel)?;
            found.map_or(Ok(()), |mut channel| go_on(tx, &call, &mut channel, one))
        })
        .await
    }

    /// Runs `change` on the message in flight of a call, if it still waits for it, in the lane of its channel.
    async fn report<T: Default + Send + 'static>(
        &self,
        invocation: &Invocation,
        change: impl Fn(&mut Tx, &ChannelArn, &mut InFlight) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let arn = invocation.channel_arn.clone();
        let Invocation { channel, run, secret, lease, .. } = *invocation;
        let lane = Lane::channel(&arn);
        let report = move |tx: &mut Tx| {
            let found = store::in_flight::find(tx, &arn.app_instance(), channel, run)?;
            match found.filter(|one| one.secret == secret && one.phase == FlowPhase::HandOver) {
                Some(mut one) => {
                    let supposed = Supposed::leased(&one, lease);
                    let changed = change(tx, &arn, &mut one)?;
                    keep(tx, &one, supposed)?;
                    Ok(changed)
                }
                None => Ok(T::default()),
            }
        };
        self.store().write(lane, report).await
    }
}

/// The processor cannot be called: its fallback says whether the message goes on without it, and operators are told
/// whatever that is. Answers whether it is there. `what` is for the sender.
fn fall_back(
    tx: &mut Tx,
    call: &Call,
    arn: &ChannelArn,
    one: &mut InFlight,
    (what, reason): (&str, &str),
) -> Result<bool> {
    let found = store::channel::find(tx, &arn.app_instance(), one.channel)?;
    let (Some(mut channel), Some(processor)) = (found, one.processor()) else { return Ok(false) };
    let told = json!({
        "eventType": "ProcessorInvocationFailure",
        "appInstanceArn": arn.app_instance().as_str(),
        "channelArn": arn.as_str(),
        "messageId": one.message.to_string(),
        "processorResourceArn": processor.function.as_str(),
        "failureReason": reason,
    });
    operator::tell(tx, call, channel.key, PROCESSOR_FAILURE, &told)?;
    match processor.fallback {
        FallbackAction::Continue => accept(tx, call, &mut channel, one, None)?,
        FallbackAction::Abort => {
            let words = detail(processor.name.as_str(), what);
            fail(tx, call, &mut channel, one, words)?;
        }
    }
    go_on(tx, call, &mut channel, one)?;
    Ok(true)
}

fn cannot_be_called(reason: Reason) -> String {
    format!("could not be called: {reason}")
}

fn was_not_asked(unasked: Unasked, attempts: i64, patience: Patience) -> String {
    let asked = if attempts == 0 { "asked" } else { "asked again" };
    format!("was not {asked} within {} s, because {unasked}", patience.waiting_ms / 1000)
}

fn invocation(
    channel_arn: ChannelArn,
    one: &InFlight,
    (lease, lease_until): (Key, Timestamp),
) -> Option<Invocation> {
    let processor = one.processor()?;
    Some(Invocation {
        function: processor.function.as_str().to_owned(),
        payload: payload(&channel_arn, one),
        processor: processor.name.as_str().to_owned(),
        lease_until,
        message_id: one.message.to_string(),
        channel_arn,
        channel: one.channel,
        run: one.run,
        secret: one.secret,
        lease,
    })
}

/// What a processor is told: of the message everything that it may change, but not the target and not the content
/// type. That there was an edit shows in `LastEditedTimestamp`.
fn payload(channel_arn: &ChannelArn, one: &InFlight) -> String {
    let message = one.as_revised();
    let push = one.current().push_notification.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let told = Told {
        event_type: "CHANNEL_MESSAGE_EVENT",
        callback_id: one.callback_id(),
        channel_message: ToldMessage {
            message_id: message.key.to_string(),
            channel_arn: channel_arn.as_str(),
            content: message.content.as_ref().map_or("", |content| content.as_str()),
            metadata: message.metadata.as_ref().map(carillon_model::text::MessageMetadata::as_str),
            sender: Person { arn: message.sender.arn.as_str(), name: &message.sender.name },
            persistence: message.persistence.as_str(),
            kind: message.kind.as_str(),
            created_timestamp: message.created_at().to_string(),
            last_edited_timestamp: message.edited_at.map(|time| time.to_string()),
            push_notification: push,
            message_attributes: message.attributes.clone().map(shapes::attribute_map),
            sub_channel_id: (one.sub_channel != one.channel).then(|| one.sub_channel.to_string()),
        },
    };
    serde_json::to_string(&told).expect("texts, numbers and lists always serialize")
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Told<'a> {
    event_type: &'static str,
    callback_id: String,
    channel_message: ToldMessage<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Person<'a> {
    arn: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ToldMessage<'a> {
    message_id: String,
    channel_arn: &'a str,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    sender: Person<'a>,
    persistence: &'static str,
    #[serde(rename = "Type")]
    kind: &'static str,
    created_timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_edited_timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push_notification: Option<PushNotificationConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_attributes: Option<MessageAttributeMap>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_channel_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_before_its_lease() {
        assert!(Patience::default().call_timeout_ms < LEASE_MS);
    }
}
