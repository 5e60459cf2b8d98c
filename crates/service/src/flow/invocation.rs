//! Calling the processors of channel flows: what is due, what a processor is told, and what its silence leads to.
//!
//! A call is leased, made outside of every transaction, and reported. A report about a stage that is over, because
//! the processor's callback was faster or another node took over, changes nothing.

use carillon_model::channel_flow::{Failure, FlowPhase, InFlight, Reason};
use carillon_model::text::{FallbackAction, StatusDetail};
use carillon_model::{ChannelArn, Key, Timestamp};
use carillon_store::in_flight::Supposed;
use carillon_store::{self as store, Tx};
use serde::Serialize;

use super::{CALLBACK_WINDOW_MS, accept, fail, go_on};
use crate::call::Call;
use crate::error::{Error, Result};
use crate::retention;
use crate::service::Service;
use crate::shapes::{self, MessageAttributeMap, PushNotificationConfiguration};

/// How long processors are tried before their fallback decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Calls of a processor that cannot be reached, the first one included.
    pub tries_max: i64,
    /// How long after the first call the last one may begin, in milliseconds.
    pub tries_window_ms: i64,
    /// How long a call may take, in milliseconds.
    pub call_timeout_ms: i64,
}

impl Default for Patience {
    /// Three calls, which with the waits between fit into ten seconds.
    fn default() -> Self {
        Self { tries_max: 3, tries_window_ms: 10_000, call_timeout_ms: 2_500 }
    }
}

/// The wait before the second call; it doubles, and a random part of up to as much is added.
const BACKOFF_MS: i64 = 250;
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
}

impl Service {
    /// Leases up to `limit` calls that are due, so that nobody else makes them.
    pub async fn lease_invocations(&self, limit: i64) -> Result<Vec<Invocation>> {
        let now = self.surroundings().clock.now();
        let due = move |tx: &mut Tx| Ok::<_, Error>(store::in_flight::is_due(tx, FlowPhase::HandOver, now)?);
        if !self.store().read(due).await? {
            return Ok(Vec::new());
        }
        let (home, lease) = (self.home().clone(), Key::random(self.random()));
        let until = now.plus_ms(LEASE_MS);
        let leased = move |tx: &mut Tx| -> Result<_> {
            let leased = store::in_flight::lease_due(tx, &home, (lease, until), now, limit)?;
            Ok(leased.into_iter().filter_map(|(arn, one)| invocation(arn, &one, until)).collect())
        };
        self.store().write("channel flows", leased).await
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
            let again = !failure.permanent
                && one.attempts < patience.tries_max
                && call.now.ms() < since.ms() + patience.tries_window_ms;
            if again {
                one.due_at = call.now.plus_ms(backoff_ms(one.attempts, call.random()));
            } else {
                let found = store::channel::find(tx, &arn.app_instance(), one.channel)?;
                let Some(mut channel) = found else { return Ok(false) };
                fall_back(tx, &call, &mut channel, one, failure.reason)?;
                go_on(tx, &call, &mut channel, one)?;
            }
            Ok(!again)
        })
        .await
    }

    /// Ends the waits that are over, up to `limit`; answers whether there may be more.
    pub async fn fail_overdue(&self, limit: i64) -> Result<bool> {
        let (home, now) = (self.home().clone(), self.surroundings().clock.now());
        let overdue =
            move |tx: &mut Tx| Ok::<_, Error>(store::in_flight::list_overdue(tx, &home, now, limit)?);
        let overdue = self.store().read(overdue).await?;
        let more = usize::try_from(limit).is_ok_and(|limit| overdue.len() == limit);
        for (arn, one) in overdue {
            let call = self.job("FailOverdue");
            let aggregate = arn.as_str().to_owned();
            let expire = move |tx: &mut Tx| expire(tx, &call, &arn, (one.channel, one.run));
            self.store().write(&aggregate, expire).await?;
        }
        Ok(more)
    }

    /// Runs `change` on the message in flight of a call, if it still waits for it, in the lane of its channel.
    async fn report<T: Default + Send + 'static>(
        &self,
        invocation: &Invocation,
        change: impl Fn(&mut Tx, &ChannelArn, &mut InFlight) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (arn, channel, run, secret) =
            (invocation.channel_arn.clone(), invocation.channel, invocation.run, invocation.secret);
        let aggregate = arn.as_str().to_owned();
        let report = move |tx: &mut Tx| {
            let found = store::in_flight::find(tx, &arn.app_instance(), channel, run)?;
            match found.filter(|one| one.secret == secret && one.phase == FlowPhase::HandOver) {
                Some(mut one) => {
                    let supposed = Supposed::of(&one);
                    let changed = change(tx, &arn, &mut one)?;
                    keep(tx, &one, supposed)?;
                    Ok(changed)
                }
                None => Ok(T::default()),
            }
        };
        self.store().write(&aggregate, report).await
    }
}

/// The processor cannot be called: its fallback says whether the message goes on without it.
fn fall_back(
    tx: &mut Tx,
    call: &Call,
    channel: &mut carillon_model::channel::Channel,
    one: &mut InFlight,
    reason: Reason,
) -> Result<()> {
    let Some(processor) = one.processor() else { return Ok(()) };
    match processor.fallback {
        FallbackAction::Continue => accept(tx, call, channel, one, None),
        FallbackAction::Abort => {
            let words = detail(processor.name.as_str(), &format!("could not be called: {reason}"));
            fail(tx, call, channel, one, words)
        }
    }
}

/// A wait that is over, unless the processor was faster. What retention hides meanwhile goes without a word.
fn expire(tx: &mut Tx, call: &Call, arn: &ChannelArn, (channel, run): (Key, Key)) -> Result<()> {
    let instance = arn.app_instance();
    let found = store::in_flight::find(tx, &instance, channel, run)?;
    let over = |one: &InFlight| one.phase == FlowPhase::Wait && one.due_at <= call.now;
    let Some(mut one) = found.filter(over) else { return Ok(()) };
    let supposed = Supposed::of(&one);
    let since = retention::seen_since(tx, &instance, call.now)?;
    if since.is_some_and(|since| one.message.created() < since) {
        return Ok(store::in_flight::delete_of_message(tx, one.sub_channel, one.message)?);
    }
    let Some(mut channel) = store::channel::find(tx, &instance, one.channel)? else { return Ok(()) };
    let name = one.processor().map_or("", |processor| processor.name.as_str());
    let words = detail(name, "did not call back within 48 hours");
    fail(tx, call, &mut channel, &mut one, words)?;
    keep(tx, &one, supposed)
}

fn keep(tx: &mut Tx, one: &InFlight, supposed: Supposed) -> Result<()> {
    if store::in_flight::keep(tx, one, supposed)? {
        Ok(())
    } else {
        Err(Error::conflict("The message was moved on meanwhile"))
    }
}

/// Words for the one who sent the message, within the length of a detail: a long name is cut, what happened is not.
fn detail(processor: &str, what: &str) -> StatusDetail {
    const NAME_LENGTH_MAX: usize = 160;
    let name: String = processor.chars().take(NAME_LENGTH_MAX).collect();
    StatusDetail::stored(format!("The processor {name} {what}"))
}

fn backoff_ms(attempts: i64, random: [u8; 2]) -> i64 {
    let base = BACKOFF_MS << attempts.clamp(1, 8).saturating_sub(1);
    base + base * i64::from(u16::from_be_bytes(random)) / i64::from(u16::MAX)
}

fn invocation(channel_arn: ChannelArn, one: &InFlight, lease_until: Timestamp) -> Option<Invocation> {
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
            metadata: message.metadata.as_ref().map(carillon_model::text::Metadata::as_str),
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
    fn the_wait_grows_and_stays_within_the_window() {
        assert_eq!((backoff_ms(1, [0, 0]), backoff_ms(1, [0xff, 0xff])), (250, 500));
        assert_eq!((backoff_ms(2, [0, 0]), backoff_ms(2, [0xff, 0xff])), (500, 1_000));
        let Patience { tries_max, tries_window_ms, call_timeout_ms } = Patience::default();
        let waits = backoff_ms(1, [0xff, 0xff]) + backoff_ms(2, [0xff, 0xff]);
        assert!(tries_max * call_timeout_ms + waits <= tries_window_ms);
        assert!(call_timeout_ms < LEASE_MS);
    }

    #[test]
    fn a_detail_is_never_too_long_and_always_says_what_happened() {
        let words = detail(&"é".repeat(256), "could not be called: answered with an error");
        assert!(words.as_str().chars().count() <= 256 && words.as_str().ends_with("with an error"));
        assert!(words.as_str().parse::<StatusDetail>().is_ok());
    }
}
