//! Random histories: many messages, processors that answer late, twice, wrongly or never, in any order, restarts and
//! lost calls in between, gates that stay closed, flows that take the place of others. A model says what each answer
//! must be; when all is quiet, every message must be in the one final state that its history allows, and what was told
//! must be what happened.

use std::cell::RefCell;
use std::collections::BTreeMap;

use carillon_model::channel_flow::{Failure, Reason, Unasked};
use carillon_model::text::*;
use carillon_model::{ChannelArn, ChannelFlowArn, IdentityArn};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::front::invocation::Invocation;
use crate::operations::messaging::channel_flow_callback::ChannelFlowCallback;
use crate::operations::messaging::delete_channel_message::DeleteChannelMessage;
use crate::operations::messaging::get_channel_message::GetChannelMessage;
use crate::operations::messaging::get_channel_message_status::GetChannelMessageStatus;
use crate::operations::messaging::redact_channel_message::RedactChannelMessage;
use crate::operations::messaging::send_channel_message::SendChannelMessage;
use crate::operations::messaging::update_channel_message::UpdateChannelMessage;
use crate::patience::CALLBACK_WINDOW_MS;
use crate::testing::*;

/// Histories on each engine; `PROPTEST_CASES` sets another number.
const HISTORIES: u32 = 50;
const STEPS_MAX: usize = 60;
/// More than the longest wait between two calls, and than a lease.
const ROUND_MS: i64 = 12_000;
/// How long what is not asked waits.
const WAITING_MS: i64 = 120_000;
/// How long a lease lasts.
const LEASE_MS: i64 = 8_000;

/// One thing that happens. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Step {
    Send {
        persistent: bool,
    },
    Repeat(usize),
    Update(usize),
    Redact(usize),
    Delete(usize),
    Call,
    HandOver(usize),
    Fail {
        which: usize,
        permanent: bool,
    },
    Answer {
        which: usize,
        answer: Answer,
    },
    Wait(i64),
    EndWaits,
    Restart,
    /// The gates are closed, or there is no place: who has waited long enough is given up.
    Closed {
        full: bool,
    },
    /// The other of two flows takes the place of the one that the channel has.
    Replace,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Accept,
    Change,
    Deny,
    OfAnotherMessage,
    WithAnotherSecret,
}

fn step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![
        4 => Just(Answer::Accept),
        3 => Just(Answer::Change),
        2 => Just(Answer::Deny),
        1 => Just(Answer::OfAnotherMessage),
        1 => Just(Answer::WithAnotherSecret),
    ];
    let which = 0..usize::MAX;
    prop_oneof![
        6 => any::<bool>().prop_map(|persistent| Step::Send { persistent }),
        1 => which.clone().prop_map(Step::Repeat),
        3 => which.clone().prop_map(Step::Update),
        1 => which.clone().prop_map(Step::Redact),
        1 => which.clone().prop_map(Step::Delete),
        6 => Just(Step::Call),
        4 => which.clone().prop_map(Step::HandOver),
        3 => (which.clone(), any::<bool>()).prop_map(|(which, permanent)| Step::Fail { which, permanent }),
        9 => (which, answer).prop_map(|(which, answer)| Step::Answer { which, answer }),
        4 => prop_oneof![Just(400), Just(9_000), Just(WAITING_MS), Just(CALLBACK_WINDOW_MS)]
            .prop_map(Step::Wait),
        1 => Just(Step::EndWaits),
        1 => Just(Step::Restart),
        2 => any::<bool>().prop_map(|full| Step::Closed { full }),
        1 => Just(Step::Replace),
    ]
}

/// The processors of two flows, whether each aborts; and what happens.
fn history() -> impl Strategy<Value = ([Vec<bool>; 2], Vec<Step>)> {
    let flow = || prop::collection::vec(any::<bool>(), 1..=3);
    ([flow(), flow()], prop::collection::vec(step(), 1..STEPS_MAX))
}

/// What is in flight of a message, as it should be.
#[derive(Debug, Clone)]
struct Flight {
    edit: bool,
    content: String,
    /// Of the processors with which it was accepted.
    fallbacks: Vec<FallbackAction>,
    stage: usize,
    /// When it may be called, at the earliest and at the latest: what is added to a wait is random.
    due: (i64, i64),
    /// Known once it was called.
    callback_id: Option<String>,
    /// The call whose lease holds: no other one is reported.
    leased: Option<Invocation>,
    attempts: u32,
    tried_since: Option<i64>,
    /// When the wait for the callback is over, once it was handed over.
    until: Option<i64>,
}

/// A message, as it should be.
#[derive(Debug, Default)]
struct Model {
    persistent: bool,
    request: Option<SendChannelMessage>,
    flight: Option<Flight>,
    /// What its sender is told of its state; nothing once it was denied or deleted.
    status: Option<&'static str>,
    /// What the channel sees.
    shown: Option<String>,
    sent_at: i64,
    redacted: bool,
    told: Vec<&'static str>,
}

struct Play<'w> {
    world: &'w mut World,
    channel: ChannelArn,
    people: [IdentityArn; 3],
    /// The flow that the channel has, and the one that it could have.
    flows: [(ChannelFlowArn, Vec<FallbackAction>); 2],
    models: BTreeMap<String, Model>,
    calls: Vec<Invocation>,
    now: i64,
    number: usize,
}

#[engine_test]
fn every_history_ends_in_the_state_that_it_allows(world: &mut World) {
    world.set_quotas(|quotas| {
        (quotas.processors_max, quotas.channel_flows_max) = (3, i64::MAX);
        (quotas.user_memberships_max, quotas.channels_max) = (i64::MAX, i64::MAX);
    });
    let people = [world.user("ana"), world.user("bob"), world.admin("root")];
    let world = RefCell::new(world);
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config { cases: cases.unwrap_or(HISTORIES), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let played = runner.run(&history(), |(aborts, steps)| {
        let mut world = world.borrow_mut();
        let mut play = Play::begin(&mut world, people.clone(), &aborts);
        for step in &steps {
            play.step(step);
        }
        play.finish();
        Ok(())
    });
    if let Err(failed) = played {
        panic!("{failed}");
    }
}

impl<'w> Play<'w> {
    fn begin(world: &'w mut World, people: [IdentityArn; 3], aborts: &[Vec<bool>; 2]) -> Self {
        let [ana, bob, _] = &people;
        let channel = world.channel_of(ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, ana, bob);
        let fallback = |abort: &bool| if *abort { FallbackAction::Abort } else { FallbackAction::Continue };
        let flows = aborts.each_ref().map(|aborts| {
            let fallbacks: Vec<FallbackAction> = aborts.iter().map(fallback).collect();
            (world.flow_of(&fallbacks), fallbacks)
        });
        world.call(&association(&channel, &flows[0].0, ana)).unwrap();
        world.take_events();
        let now = world.now().ms();
        let (models, calls) = (BTreeMap::new(), Vec::new());
        Self { world, channel, people, flows, models, calls, now, number: 0 }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Send { persistent } => self.send(*persistent),
            Step::Repeat(which) => self.with_message(*which, Self::repeat),
            Step::Update(which) => self.with_message(*which, Self::update),
            Step::Redact(which) => self.with_message(*which, Self::redact),
            Step::Delete(which) => self.with_message(*which, Self::delete),
            Step::Call => self.call(),
            Step::HandOver(which) => self.with_call(*which, Self::hand_over),
            Step::Fail { which, permanent } => {
                self.with_call(*which, |play, call| play.fail(call, *permanent));
            }
            Step::Answer { which, answer } => self.with_call(*which, |play, call| play.answer(call, *answer)),
            Step::Wait(ms) => self.wait(*ms),
            Step::EndWaits => self.end_waits(),
            Step::Restart => self.world.restart(),
            Step::Closed { full } => self.give_up(*full),
            Step::Replace => self.replace(),
        }
        self.hear();
    }

    fn with_message(&mut self, which: usize, act: impl FnOnce(&mut Self, &str)) {
        if let Some(id) = self.models.keys().nth(which % self.models.len().max(1)).cloned() {
            act(self, &id);
        }
    }

    fn with_call(&mut self, which: usize, act: impl FnOnce(&mut Self, &Invocation)) {
        if let Some(call) = self.calls.get(which % self.calls.len().max(1)).cloned() {
            act(self, &call);
        }
    }

    fn content(&mut self) -> String {
        self.number += 1;
        format!("content {}", self.number)
    }

    fn send(&mut self, persistent: bool) {
        let content = self.content();
        let persistence = if persistent {
            ChannelMessagePersistenceType::Persistent
        } else {
            ChannelMessagePersistenceType::NonPersistent
        };
        let client_request_token = text(&format!("{}-{}", &self.channel.id()[..30], self.number));
        let request = SendChannelMessage {
            persistence,
            client_request_token,
            ..message_request(&self.channel, &self.people[0], &content)
        };
        let sent = self.world.call(&request).unwrap();
        assert_eq!(sent.status.value, ChannelMessageStatus::Pending);
        let model = Model {
            persistent,
            request: Some(request),
            flight: Some(Flight::new(false, content, &self.flows[0].1, self.now)),
            status: Some("PENDING"),
            sent_at: self.now,
            told: vec!["PENDING_CREATE_CHANNEL_MESSAGE"],
            ..Model::default()
        };
        self.models.insert(sent.message_id.into_string(), model);
    }

    /// The same token again has no second effect, whatever has become of the message.
    fn repeat(&mut self, id: &str) {
        let model = &self.models[id];
        if self.now < model.sent_at + crate::once::TOKEN_WINDOW_MS {
            let request = model.request.clone().unwrap();
            assert_eq!(self.world.call(&request).unwrap().message_id.as_str(), id);
        }
    }

    fn update(&mut self, id: &str) {
        let content = self.content();
        let update = UpdateChannelMessage {
            channel_arn: self.channel.clone(),
            message_id: text(id),
            content: text(&content),
            metadata: None,
            chime_bearer: self.people[0].clone(),
            sub_channel_id: None,
            content_type: None,
        };
        let result = self.world.call(&update).map(|updated| updated.status.value);
        let flight = Flight::new(true, content, &self.flows[0].1, self.now);
        let model = self.models.get_mut(id).unwrap();
        if model.shown.is_some() && model.flight.is_none() && !model.redacted {
            assert_eq!(result, Ok(ChannelMessageStatus::Pending), "{model:?}");
            model.flight = Some(flight);
            model.status = Some("PENDING");
            model.told.push("PENDING_UPDATE_CHANNEL_MESSAGE");
        } else {
            assert!(result.is_err(), "{model:?}");
        }
    }

    fn redact(&mut self, id: &str) {
        let redact = RedactChannelMessage {
            channel_arn: self.channel.clone(),
            message_id: text(id),
            chime_bearer: self.people[0].clone(),
            sub_channel_id: None,
        };
        let result = self.world.call(&redact);
        let model = self.models.get_mut(id).unwrap();
        let may = model.shown.is_some() && model.flight.is_none() && !model.redacted;
        assert_eq!(result.is_ok(), may, "{model:?}");
        if may {
            (model.redacted, model.status) = (true, Some("SENT"));
            model.told.push("REDACT_CHANNEL_MESSAGE");
        }
    }

    fn delete(&mut self, id: &str) {
        let delete = DeleteChannelMessage {
            channel_arn: self.channel.clone(),
            message_id: text(id),
            chime_bearer: self.people[2].clone(),
            sub_channel_id: None,
        };
        let result = self.world.call(&delete);
        let model = self.models.get_mut(id).unwrap();
        let may = model.shown.is_some() && model.flight.is_none();
        assert_eq!(result.is_ok(), may, "{model:?}");
        if may {
            (model.shown, model.status) = (None, None);
            model.told.push("DELETE_CHANNEL_MESSAGE");
        }
    }

    /// Leases what is due. Some of it will be made, some reported late, some lost.
    fn call(&mut self) {
        for call in self.world.invocations() {
            let Some(model) = self.models.get_mut(&call.message_id) else { continue };
            let flight = model.flight.as_mut().expect("only what is in flight is called");
            let payload: serde_json::Value = serde_json::from_str(&call.payload).unwrap();
            assert_eq!(payload["ChannelMessage"]["Content"], flight.content.as_str());
            let id = payload["CallbackId"].as_str().unwrap().to_owned();
            assert!(flight.callback_id.as_ref().is_none_or(|known| *known == id), "one id for a stage");
            assert!(flight.until.is_none(), "what was handed over is not called again");
            assert!(flight.due.0 <= self.now, "not before its time");
            flight.due = (self.now + LEASE_MS, self.now + LEASE_MS);
            flight.callback_id = Some(id);
            flight.leased = Some(call.clone());
            self.calls.push(call);
        }
    }

    /// Nobody could call: those who have waited long enough, and no others, have their fallbacks decide.
    fn give_up(&mut self, full: bool) {
        let unasked = if full { Unasked::Full } else { Unasked::Closed(Reason::Refused) };
        let given_up: Vec<String> =
            self.world.give_up(unasked).into_iter().map(|call| call.message_id).collect();
        let since = self.now - WAITING_MS;
        for (id, model) in &mut self.models {
            let waits = model.flight.as_ref().filter(|flight| flight.until.is_none());
            let Some(flight) = waits else {
                assert!(!given_up.contains(id), "{id} does not wait to be called");
                continue;
            };
            if given_up.contains(id) {
                assert!(flight.due.0 <= since, "{id} has not waited for long: {flight:?}");
                model.fall_back(self.now);
            } else {
                assert!(since < flight.due.1, "{id} has waited long enough: {flight:?}");
            }
        }
    }

    fn replace(&mut self) {
        self.flows.swap(0, 1);
        let flow = self.flows[0].0.clone();
        self.world.call(&association(&self.channel, &flow, &self.people[0])).unwrap();
    }

    /// The message of a call, if the call is of the stage that it is in.
    fn current(&mut self, call: &Invocation) -> Option<&mut Model> {
        let id = callback_id(call);
        let model = self.models.get_mut(&call.message_id)?;
        let same = model.flight.as_ref().is_some_and(|flight| flight.callback_id.as_ref() == Some(&id));
        same.then_some(model)
    }

    /// The same, while it waits for the call to be made.
    fn waiting(&mut self, call: &Invocation) -> Option<&mut Flight> {
        let flight = self.current(call)?.flight.as_mut()?;
        flight.until.is_none().then_some(flight)
    }

    fn hand_over(&mut self, call: &Invocation) {
        let reported = self.world.try_hand_over(call);
        let now = self.now;
        match self.waiting(call) {
            Some(flight) if flight.leased.as_ref() != Some(call) => {
                assert_eq!(reported, Err(ErrorCode::Conflict), "another lease holds");
            }
            Some(flight) => {
                assert_eq!(reported, Ok(()));
                flight.until = Some(now + CALLBACK_WINDOW_MS);
            }
            None => assert_eq!(reported, Ok(()), "of a stage that is over nothing is reported"),
        }
    }

    fn fail(&mut self, call: &Invocation, permanent: bool) {
        let decided = self.world.try_fail(call, Failure { reason: Reason::NotReachable, permanent });
        let now = self.now;
        let Some(flight) = self.waiting(call) else {
            return assert_eq!(decided, Ok(false), "of a stage that is over nothing is reported");
        };
        if flight.leased.as_ref() != Some(call) {
            return assert_eq!(decided, Err(ErrorCode::Conflict), "another lease holds");
        }
        flight.attempts += 1;
        let since = *flight.tried_since.get_or_insert(now);
        let over = permanent || 3 <= flight.attempts || since + 10_000 <= now;
        assert_eq!(decided, Ok(over), "{flight:?}");
        let backoff_ms = 250 << (flight.attempts - 1);
        (flight.due, flight.leased) = ((now + backoff_ms, now + 2 * backoff_ms), None);
        if over && let Some(model) = self.current(call) {
            model.fall_back(now);
        }
    }

    fn answer(&mut self, call: &Invocation, answer: Answer) {
        let changed = self.content();
        let mut callback = ChannelFlowCallback {
            callback_id: text(&callback_id(call)),
            channel_arn: self.channel.clone(),
            delete_resource: Some(matches!(answer, Answer::Deny)),
            channel_message: unchanged(&text(&call.message_id)),
        };
        match answer {
            Answer::Change => callback.channel_message.content = Some(text(&changed)),
            Answer::OfAnotherMessage => callback.channel_message.message_id = text("another"),
            Answer::WithAnotherSecret => {
                callback.callback_id = text(&format!("{}{}", &callback_id(call)[..32], "0".repeat(32)));
            }
            Answer::Accept | Answer::Deny => {}
        }
        let result = self.world.call(&callback);
        let now = self.now;
        let wrong = matches!(answer, Answer::OfAnotherMessage | Answer::WithAnotherSecret);
        let current = self.current(call).filter(|model| {
            let until = model.flight.as_ref().and_then(|flight| flight.until);
            !wrong && until.is_none_or(|until| now < until)
        });
        let Some(model) = current else { return assert!(result.is_err(), "{callback:?}") };
        assert!(result.is_ok(), "{result:?} {model:?}");
        match answer {
            Answer::Deny => model.end("DENIED"),
            Answer::Change => model.pass(Some(changed), now),
            _ => model.pass(None, now),
        }
    }

    fn wait(&mut self, ms: i64) {
        self.world.advance_ms(ms);
        self.now += ms;
    }

    fn end_waits(&mut self) {
        self.world.fail_overdue();
        for model in self.models.values_mut() {
            let until = model.flight.as_ref().and_then(|flight| flight.until);
            if until.is_some_and(|until| until <= self.now) {
                model.end("FAILED");
            }
        }
    }

    /// What was told since, message by message.
    fn hear(&mut self) {
        for event in self.world.take_full_events() {
            let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
            let Some(id) = payload["MessageId"].as_str() else { continue };
            // What is left of earlier histories may still be heard of.
            let Some(model) = self.models.get_mut(id) else { continue };
            assert!(!model.told.is_empty(), "{} of {id} came out of nothing", event.kind.as_str());
            assert_eq!(model.told.remove(0), event.kind.as_str(), "of {id}, in this order");
            let sole = event.audience.sub_channels.is_empty() && event.audience.users.len() == 1;
            let secret =
                ["PENDING", "FAILED", "DENIED"].iter().any(|word| event.kind.as_str().starts_with(word));
            assert_eq!(sole, secret, "{} is told to the sender alone, or to all", event.kind.as_str());
        }
    }

    /// Lets everything come to rest, then asks.
    fn finish(mut self) {
        for _ in 0..4 * 3 {
            self.wait(ROUND_MS);
            let before = self.calls.len();
            self.call();
            for at in before..self.calls.len() {
                let call = self.calls[at].clone();
                match at % 3 {
                    0 => self.hand_over(&call),
                    1 => self.fail(&call, true),
                    _ => self.answer(&call, Answer::Accept),
                }
                self.hear();
            }
        }
        self.wait(CALLBACK_WINDOW_MS);
        self.end_waits();
        self.hear();
        let ids: Vec<String> = self.models.keys().cloned().collect();
        for id in ids {
            self.check(&id);
        }
    }

    fn check(&mut self, id: &str) {
        let [ana, bob, _] = self.people.clone();
        let model = &self.models[id];
        assert!(model.flight.is_none() && model.told.is_empty(), "{id} is not at rest: {model:?}");
        // The outcome of what is not kept is forgotten by now.
        let status = model.status.filter(|_| model.persistent);
        let shown = model.shown.clone().filter(|_| model.persistent);
        let shown = if model.redacted && shown.is_some() { Some("redacted".to_owned()) } else { shown };
        let failed_edit = model.status == Some("FAILED") && model.shown.is_some();
        let ask = GetChannelMessageStatus {
            channel_arn: self.channel.clone(),
            message_id: text(id),
            chime_bearer: ana.clone(),
            sub_channel_id: None,
        };
        let told = self.world.call(&ask).ok().map(|got| got.status.value.as_str());
        assert_eq!(told, status, "{id}");
        let get = |who: IdentityArn| GetChannelMessage {
            channel_arn: self.channel.clone(),
            message_id: text(id),
            chime_bearer: who,
            sub_channel_id: None,
        };
        let got = self.world.call(&get(bob)).ok().map(|got| got.channel_message);
        assert!(got.as_ref().is_none_or(|got| got.status.value == ChannelMessageStatus::Sent));
        let content = got.map(|got| got.content.map_or("redacted".to_owned(), Content::into_string));
        assert_eq!(content, shown, "{id}, for another member");
        let own = self.world.call(&get(ana)).ok().map(|got| got.channel_message);
        assert_eq!(own.is_some(), status.is_some(), "{id}, for its sender");
        assert!(!failed_edit || own.unwrap().status.value == ChannelMessageStatus::Failed);
    }
}

impl Flight {
    fn new(edit: bool, content: String, fallbacks: &[FallbackAction], now: i64) -> Self {
        let (stage, callback_id, attempts, fallbacks) = (0, None, 0, fallbacks.to_vec());
        let (due, leased, tried_since, until) = ((now, now), None, None, None);
        Self { edit, content, fallbacks, stage, due, callback_id, leased, attempts, tried_since, until }
    }
}

impl Model {
    /// A processor let it pass: the next has it, or the channel.
    fn pass(&mut self, content: Option<String>, now: i64) {
        let flight = self.flight.as_mut().unwrap();
        flight.content = content.unwrap_or(std::mem::take(&mut flight.content));
        flight.stage += 1;
        (flight.callback_id, flight.until, flight.attempts, flight.tried_since) = (None, None, 0, None);
        flight.due = (now, now);
        if flight.stage == flight.fallbacks.len() {
            self.shown = Some(flight.content.clone());
            self.told.push(if flight.edit { "UPDATE_CHANNEL_MESSAGE" } else { "CREATE_CHANNEL_MESSAGE" });
            if !self.persistent {
                // It was told, and nothing of it is there to be edited.
                self.shown = None;
            }
            (self.flight, self.status) = (None, Some("SENT"));
        }
    }

    fn fall_back(&mut self, now: i64) {
        let flight = self.flight.as_ref().unwrap();
        match flight.fallbacks[flight.stage] {
            FallbackAction::Continue => self.pass(None, now),
            FallbackAction::Abort => self.end("FAILED"),
        }
    }

    fn end(&mut self, how: &'static str) {
        let flight = self.flight.take().unwrap();
        let (told, status) = match (how, flight.edit) {
            ("DENIED", false) => ("DENIED_CREATE_CHANNEL_MESSAGE", None),
            ("DENIED", true) => ("DENIED_UPDATE_CHANNEL_MESSAGE", Some("SENT")),
            (_, false) => ("FAILED_CREATE_CHANNEL_MESSAGE", Some("FAILED")),
            (_, true) => ("FAILED_UPDATE_CHANNEL_MESSAGE", Some("FAILED")),
        };
        self.told.push(told);
        self.status = status;
    }
}

fn callback_id(call: &Invocation) -> String {
    let payload: serde_json::Value = serde_json::from_str(&call.payload).unwrap();
    payload["CallbackId"].as_str().unwrap().to_owned()
}
