//! The state table: every state, everything that can happen, what becomes of the message, who is told, and what
//! everyone sees then.

use std::collections::BTreeMap;

use carillon_model::channel_flow::{Failure, Reason, Unasked};
use carillon_model::event::EventId;
use carillon_model::text::*;
use carillon_model::{ChannelArn, ChannelFlowArn, IdentityArn};
use carillon_store as store;

use crate::chat::retention::DAY_MS;
use crate::front::invocation::Invocation;
use crate::operations::identity::delete_app_instance::DeleteAppInstance;
use crate::operations::identity::delete_app_instance_user::DeleteAppInstanceUser;
use crate::operations::messaging::channel_flow_callback::ChannelFlowCallback;
use crate::operations::messaging::delete_channel::DeleteChannel;
use crate::operations::messaging::delete_channel_message::DeleteChannelMessage;
use crate::operations::messaging::describe_channel::DescribeChannel;
use crate::operations::messaging::get_channel_message::GetChannelMessage;
use crate::operations::messaging::get_channel_message_status::GetChannelMessageStatus;
use crate::operations::messaging::redact_channel_message::RedactChannelMessage;
use crate::operations::messaging::send_channel_message::SendChannelMessage;
use crate::operations::messaging::update_channel_flow::UpdateChannelFlow;
use crate::operations::messaging::update_channel_message::UpdateChannelMessage;
use crate::patience::{CALLBACK_WINDOW_MS, Patience};
use crate::processors::{Action, BuiltIn, Processors};
use crate::shapes::{MessageAttributeMap, MessageAttributeValue, Processor, PushNotificationConfiguration};
use crate::testing::*;

const TABLE: &str = include_str!("state_table.txt");
/// The rows of the table. One that is lost is noticed.
const ROWS: usize = 112;

/// One row: a state, what happens, what is answered, what becomes of the message, and who is told of what.
struct Row<'a> {
    state: &'a str,
    happens: &'a str,
    answer: &'a str,
    becomes: &'a str,
    told: &'a str,
}

fn rows() -> Vec<Row<'static>> {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [state, happens, answer, becomes, told] = cells[..] else { panic!("not a row: {line}") };
            Row { state, happens, answer, becomes, told }
        })
        .collect()
}

/// A message, and everyone who may see it.
struct Play<'w> {
    world: &'w mut World,
    ana: IdentityArn,
    bob: IdentityArn,
    moderator: IdentityArn,
    admin: IdentityArn,
    cy: IdentityArn,
    channel: ChannelArn,
    flow: ChannelFlowArn,
    send: SendChannelMessage,
    message: MessageId,
    invocation: Option<Invocation>,
}

#[engine_test]
fn every_row_of_the_state_table_holds(world: &mut World) {
    world.set_quotas(|quotas| quotas.channel_flows_max = 1_000);
    let (ana, bob, moderator) = (world.user("ana"), world.user("bob"), world.user("mod"));
    let (admin, cy) = (world.admin("admin"), world.user("cy"));
    let rows = rows();
    for row in &rows {
        let people = [&ana, &bob, &moderator, &admin, &cy].map(Clone::clone);
        let mut play = Play::begin(world, people, row);
        play.look(row, row.state);
        play.world.told();
        let answer = play.happen(row.happens);
        assert_eq!(answer, row.answer, "{} | {}: the answer", row.state, row.happens);
        let told = play.world.told_what();
        let told: Vec<String> =
            told.into_iter().map(|(kind, who)| format!("{kind} {}", who.join(" "))).collect();
        assert_eq!(told.join(", "), row.told, "{} | {}: who is told", row.state, row.happens);
        play.look(row, row.becomes);
        play.clear();
    }
    assert_eq!(rows.len(), ROWS);
}

/// Whoever left before is told what becomes of their message, by a session that is open and by one that resumes.
#[engine_test]
fn a_sender_who_left_is_told_live_and_shown_after_a_resume(world: &mut World) {
    world.set_quotas(|quotas| quotas.channel_flows_max = 1_000);
    let (ana, bob, moderator) = (world.user("ana"), world.user("bob"), world.user("mod"));
    let (admin, cy) = (world.admin("admin"), world.user("cy"));
    let sender = world.connect(&ana).unwrap().entrance.user;
    let ends = [
        ("S1", "deny", "DENIED_CREATE_CHANNEL_MESSAGE"),
        ("S1", "unreachable, ABORT", "FAILED_CREATE_CHANNEL_MESSAGE"),
        ("S4", "deny", "DENIED_UPDATE_CHANNEL_MESSAGE"),
        ("S4", "unreachable, ABORT", "FAILED_UPDATE_CHANNEL_MESSAGE"),
    ];
    for (state, happens, kind) in ends {
        let people = [&ana, &bob, &moderator, &admin, &cy].map(Clone::clone);
        let mut play = Play::begin(world, people, &Row { state, happens, answer: "", becomes: "", told: "" });
        let channel = play.channel.clone();
        play.world.leave(&channel, &ana);
        play.world.advance_ms(1);
        play.world.tell();
        let from = play.world.now();
        play.happen(happens);
        let told = play.world.tell().into_iter().filter(|(_, who)| who.contains(&sender));
        let told: Vec<_> = told.map(|(event, _)| (event.kind.as_str(), event.sequence)).collect();
        assert_eq!(told.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [kind]);
        let shown = play.world.shown(&ana, &format!("resume-from={}", EventId { told: from, last: None }));
        let shown: Vec<_> = shown.into_iter().map(|(_, event)| event.unwrap().1).collect();
        assert_eq!(shown, [told[0].1], "{state} | {happens}");
        play.clear();
    }
}

impl<'w> Play<'w> {
    /// Brings a message into a state.
    fn begin(world: &'w mut World, people: [IdentityArn; 5], row: &Row<'_>) -> Self {
        let [ana, bob, moderator, admin, cy] = people;
        let channel = world.channel_of(&moderator, ChannelMode::Restricted, ChannelPrivacy::Public);
        for member in [&ana, &bob, &admin] {
            world.join(&channel, &moderator, member);
        }
        let fallback =
            if row.happens.contains("CONTINUE") { FallbackAction::Continue } else { FallbackAction::Abort };
        let flow = world.flow_of(&[fallback]);
        world.call(&association(&channel, &flow, &moderator)).unwrap();
        let client_request_token = text(channel.id());
        let send = SendChannelMessage { client_request_token, ..message_request(&channel, &ana, "one") };
        let (message, invocation) = (text("none"), None);
        let mut play =
            Self { world, ana, bob, moderator, admin, cy, channel, flow, send, message, invocation };
        let state = row.state.get(..2).unwrap();
        let path: &[&str] = match state {
            "S0" => &[],
            "S1" => &["send"],
            "S2" => &["send", "unreachable, ABORT"],
            "S3" => &["send", "accept"],
            "S4" => &["send", "accept", "update"],
            "S5" => &["send", "accept", "update", "unreachable, ABORT"],
            "S6" => &["send", "accept", "redact"],
            other => panic!("no state is called {other}"),
        };
        for step in path {
            play.happen(step);
        }
        play
    }

    /// Does what a row says; answers what came back.
    fn happen(&mut self, what: &str) -> String {
        match what {
            "send" => self.send(),
            "send without a flow" => {
                self.disassociate();
                self.world.told();
                self.send()
            }
            "send CONTROL" => {
                self.send.kind = ChannelMessageType::Control;
                self.send()
            }
            "send again" => self.repeat(),
            "accept" => self.answer(|_| {}),
            "change" => self.answer(|callback| callback.channel_message.content = Some(text("changed"))),
            "deny" => self.answer(|callback| callback.delete_resource = Some(true)),
            "wrong message" => self.answer(|callback| callback.channel_message.message_id = text("other")),
            "wrong secret" => self.answer(|callback| {
                let run = &callback.callback_id.as_str()[..32];
                callback.callback_id = text(&format!("{run}{}", "0".repeat(32)));
            }),
            "sub-channel named" => self.answer(|callback| {
                callback.channel_message.sub_channel_id = Some(text(&"0".repeat(32)));
            }),
            "content too large" => self.answer(|callback| {
                callback.channel_message.content = Some(text(&"é".repeat(2_049)));
            }),
            "other channel" => {
                let other =
                    self.world.channel_of(&self.ana, ChannelMode::Restricted, ChannelPrivacy::Private);
                self.world.told();
                self.answer(|callback| callback.channel_arn = other.clone())
            }
            other => self.happen_around(other),
        }
    }

    /// What happens to the message other than by a callback.
    fn happen_around(&mut self, what: &str) -> String {
        let (ana, bob, moderator) = (self.ana.clone(), self.bob.clone(), self.moderator.clone());
        match what {
            "unreachable, ABORT" | "unreachable, CONTINUE" => self.fail(Reason::NotFound, true),
            "unreachable for a moment" => self.fail(Reason::TimedOut, false),
            "cannot be asked for a moment" => self.give_up(Patience::default().waiting_ms - 1),
            "not asked in time, ABORT" | "not asked in time, CONTINUE" => {
                self.give_up(Patience::default().waiting_ms)
            }
            "update" => self.update(&ana),
            "update by bob" => self.update(&bob),
            "update without a flow" => {
                self.disassociate();
                self.update(&ana)
            }
            "redact" => self.redact(&ana),
            "redact by bob" => self.redact(&bob),
            "redact by mod" => self.redact(&moderator),
            "delete by admin" => self.delete(&self.admin.clone()),
            "delete by mod" => self.delete(&moderator),
            "restart" => {
                self.world.restart();
                "done".to_owned()
            }
            other => self.happen_over_time(other),
        }
    }

    /// What happens to the channel, or with time; some of it before a callback.
    fn happen_over_time(&mut self, what: &str) -> String {
        if let Some((first, "accept")) =
            what.split_once(", ").map(|(a, b)| (a, b.trim_start_matches("then ")))
        {
            self.hand_over();
            self.happen_over_time(first);
            return self.answer(|_| {});
        }
        match what {
            "48 hours" | "late callback" | "48 hours, then callback" => {
                self.hand_over();
                self.world.advance_ms(CALLBACK_WINDOW_MS);
                if what != "late callback" {
                    self.world.fail_overdue();
                    self.world.step(|tx, now| Ok(store::in_flight::delete_old(tx, now, 100)?));
                }
                if what == "48 hours" {
                    return "done".to_owned();
                }
                return self.answer(|_| {});
            }
            "retention" => {
                let (days, instance) = (Some("1"), self.world.instance().clone());
                self.world.keep_messages(&instance, days);
                self.world.advance_ms(DAY_MS + 1);
            }
            "channel deleted" => {
                let (channel_arn, chime_bearer) = (self.channel.clone(), self.moderator.clone());
                self.world.call(&DeleteChannel { channel_arn, chime_bearer }).unwrap();
            }
            "disassociate" => self.disassociate(),
            "flow updated" => self.update_flow(),
            "another flow" => {
                let other = self.world.flow();
                self.world.call(&association(&self.channel, &other, &self.moderator)).unwrap();
            }
            "sender leaves" => self.world.leave(&self.channel, &self.ana),
            "sender banned" => self.world.ban(&self.channel, &self.moderator, &self.ana),
            "restart" => self.world.restart(),
            other => panic!("nothing is called {other}"),
        }
        "done".to_owned()
    }

    fn send(&mut self) -> String {
        let sent = self.world.call(&self.send).unwrap();
        self.message = sent.message_id;
        self.invocation = self.world.invocations().pop();
        sent.status.value.as_str().to_owned()
    }

    fn repeat(&mut self) -> String {
        let sent = self.world.call(&self.send).unwrap();
        assert_eq!(sent.message_id, self.message);
        assert!(self.world.invocations().is_empty(), "no second invocation");
        sent.status.value.as_str().to_owned()
    }

    fn hand_over(&mut self) {
        if let Some(invocation) = &self.invocation {
            self.world.hand_over(&invocation.clone());
        }
    }

    fn answer(&mut self, change: impl FnOnce(&mut ChannelFlowCallback)) -> String {
        self.hand_over();
        let callback_id = match &self.invocation {
            Some(invocation) => callback_id(invocation),
            None => text(&"0".repeat(64)),
        };
        let mut callback = ChannelFlowCallback {
            callback_id,
            channel_arn: self.channel.clone(),
            delete_resource: None,
            channel_message: unchanged(&self.message),
        };
        change(&mut callback);
        answered(self.world.call(&callback), |_| "200".to_owned())
    }

    fn fail(&mut self, reason: Reason, permanent: bool) -> String {
        let invocation = self.invocation.clone().unwrap();
        let decided = self.world.fail(&invocation, Failure { reason, permanent });
        if decided { "fallback" } else { "again" }.to_owned()
    }

    /// Lets the call, which was leased and lost, be due for so long that it may be given up, or not quite.
    fn give_up(&mut self, waited_ms: i64) -> String {
        let lost = self.invocation.clone().unwrap();
        let now = self.world.now();
        self.world.advance_ms(lost.lease_until.ms() + waited_ms - now.ms());
        match self.world.give_up(Unasked::Full).len() {
            0 => "again".to_owned(),
            _ => "fallback".to_owned(),
        }
    }

    fn update(&mut self, who: &IdentityArn) -> String {
        let update = UpdateChannelMessage {
            channel_arn: self.channel.clone(),
            message_id: self.message.clone(),
            content: text("two"),
            metadata: None,
            chime_bearer: who.clone(),
            sub_channel_id: None,
            content_type: None,
        };
        let result = self.world.call(&update);
        if result.is_ok() {
            self.invocation = self.world.invocations().pop();
        }
        answered(result, |updated| updated.status.value.as_str().to_owned())
    }

    fn redact(&mut self, who: &IdentityArn) -> String {
        let redact = RedactChannelMessage {
            channel_arn: self.channel.clone(),
            message_id: self.message.clone(),
            chime_bearer: who.clone(),
            sub_channel_id: None,
        };
        answered(self.world.call(&redact), |_| "200".to_owned())
    }

    fn delete(&mut self, who: &IdentityArn) -> String {
        let delete = DeleteChannelMessage {
            channel_arn: self.channel.clone(),
            message_id: self.message.clone(),
            chime_bearer: who.clone(),
            sub_channel_id: None,
        };
        answered(self.world.call(&delete), |_| "204".to_owned())
    }

    fn disassociate(&mut self) {
        let disassociate = disassociation(&self.channel, &self.flow, &self.moderator);
        self.world.call(&disassociate).unwrap();
    }

    fn update_flow(&mut self) {
        let mut processors: Vec<Processor> = flow_request(self.world).processors;
        processors[0].configuration.lambda.resource_arn =
            text("arn:aws:lambda:us-east-1:111122223333:function:other");
        let (channel_flow_arn, name) = (self.flow.clone(), text("Other"));
        self.world.call(&UpdateChannelFlow { channel_flow_arn, processors, name }).unwrap();
    }

    /// Asks everyone everything, and compares with what the state says.
    fn look(&mut self, row: &Row<'_>, state: &str) {
        let where_from = format!("{} | {}, in {state}", row.state, row.happens);
        let (shown, waits) = shown_and_waiting(state);
        let status = match &state[..2] {
            "S0" => None,
            "S1" | "S4" => Some("PENDING"),
            "S2" | "S5" => Some("FAILED"),
            _ => Some("SENT"),
        };
        let (ana, message) = (self.ana.clone(), self.message.clone());
        assert_eq!(self.status(&ana, &message).as_deref(), status, "{where_from}: the status");
        let gone = row.happens.starts_with("sender") && state == row.becomes;
        let others = [&self.bob, &self.moderator, &self.admin, &self.cy].map(Clone::clone);
        let own = waits.or(shown).map(|content| (content.to_owned(), status.unwrap().to_owned()));
        let theirs = shown.map(|content| (content.to_owned(), "SENT".to_owned()));
        let people = others.into_iter().map(|other| (other, &theirs));
        // Whoever left sees of a public channel what everyone sees of it, and what is theirs.
        let first = (ana, if gone { &theirs } else { &own });
        for (who, expected) in std::iter::once(first).chain(people) {
            assert_eq!(&self.got(&who), expected, "{where_from}: what {who} gets");
            assert_eq!(&self.listed(&who), expected, "{where_from}: what {who} lists");
            let stranger = who != self.ana;
            assert!(!stranger || self.status(&who, &message).is_none(), "{where_from}: {who} asks");
        }
    }

    fn status(&mut self, who: &IdentityArn, message: &MessageId) -> Option<String> {
        let ask = GetChannelMessageStatus {
            channel_arn: self.channel.clone(),
            message_id: message.clone(),
            chime_bearer: who.clone(),
            sub_channel_id: None,
        };
        match self.world.call(&ask) {
            Ok(got) => {
                let failed = got.status.value == ChannelMessageStatus::Failed;
                assert_eq!(got.status.detail.is_some(), failed, "why it failed, and nothing else");
                Some(got.status.value.as_str().to_owned())
            }
            Err(refused) => {
                assert_eq!(refused.code, ErrorCode::Forbidden);
                None
            }
        }
    }

    fn got(&mut self, who: &IdentityArn) -> Option<(String, String)> {
        let get = GetChannelMessage {
            channel_arn: self.channel.clone(),
            message_id: self.message.clone(),
            chime_bearer: who.clone(),
            sub_channel_id: None,
        };
        let message = self.world.call(&get).ok()?.channel_message;
        let content = message.content.map_or("redacted".to_owned(), Content::into_string);
        assert_eq!(message.redacted, content == "redacted");
        Some((content, message.status.value.as_str().to_owned()))
    }

    fn listed(&mut self, who: &IdentityArn) -> Option<(String, String)> {
        let message = self.world.call(&messages_of(&self.channel, who)).ok()?.channel_messages.pop()?;
        let content = message.content.map_or("redacted".to_owned(), Content::into_string);
        Some((content, message.status.value.as_str().to_owned()))
    }

    /// Leaves nothing behind that the next row would meet.
    fn clear(self) {
        let instance = self.world.instance().clone();
        self.world.keep_messages(&instance, None);
        let (channel_arn, chime_bearer) = (self.channel, self.moderator);
        // Where the row has deleted it, there is nothing left to delete.
        let _ = self.world.call(&DeleteChannel { channel_arn, chime_bearer });
    }
}

/// A channel with a flow of processors with these fallbacks, whose moderator is ana and whose member is bob.
fn channel_with_flow(
    world: &mut World,
    fallbacks: &[FallbackAction],
) -> (ChannelArn, IdentityArn, IdentityArn) {
    world.set_quotas(|quotas| quotas.processors_max = 3);
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.join(&channel, &ana, &bob);
    let flow = world.flow_of(fallbacks);
    world.call(&association(&channel, &flow, &ana)).unwrap();
    world.told();
    (channel, ana, bob)
}

/// Lets the one processor that waits say something of its message.
fn answer(
    world: &mut World,
    channel: &ChannelArn,
    change: impl FnOnce(&mut ChannelFlowCallback),
) -> serde_json::Value {
    let invocation = world.invocations().pop().unwrap();
    world.hand_over(&invocation);
    let payload: serde_json::Value = serde_json::from_str(&invocation.payload).unwrap();
    let mut callback = ChannelFlowCallback {
        callback_id: callback_id(&invocation),
        channel_arn: channel.clone(),
        delete_resource: None,
        channel_message: unchanged(&text(payload["ChannelMessage"]["MessageId"].as_str().unwrap())),
    };
    change(&mut callback);
    world.call(&callback).unwrap();
    payload
}

fn payload(world: &mut World) -> serde_json::Value {
    serde_json::from_str(&world.take_full_events().pop().unwrap().payload).unwrap()
}

#[engine_test]
fn processors_are_called_in_their_order_and_each_sees_what_the_last_one_left(world: &mut World) {
    let fallbacks = [FallbackAction::Abort, FallbackAction::Continue, FallbackAction::Continue];
    let (channel, ana, bob) = channel_with_flow(world, &fallbacks);
    let id = world.send(&channel, &bob, "one");
    assert_eq!(world.told(), [vec!["bob"]], "pending is told once, not for each processor");
    let first = answer(world, &channel, |callback| callback.channel_message.content = Some(text("two")));
    assert_eq!(first["ChannelMessage"]["Content"], "one");
    assert!(world.told().is_empty());
    let second = world.invocations().pop().unwrap();
    let told: serde_json::Value = serde_json::from_str(&second.payload).unwrap();
    assert_eq!(told["ChannelMessage"]["Content"], "two");
    assert_ne!(told["CallbackId"], first["CallbackId"]);
    assert!(world.fail(&second, Failure { reason: Reason::NotFound, permanent: true }), "goes on without it");
    assert!(world.told().is_empty());
    let again = ChannelFlowCallback {
        callback_id: text(first["CallbackId"].as_str().unwrap()),
        channel_arn: channel.clone(),
        delete_resource: Some(true),
        channel_message: unchanged(&id),
    };
    assert_eq!(world.call(&again).unwrap_err().code, ErrorCode::BadRequest, "its turn is over");
    let third = answer(world, &channel, |callback| callback.channel_message.metadata = Some(text("{}")));
    assert_eq!(third["ChannelMessage"]["Content"], "two");
    let released = payload(world);
    assert_eq!((&released["Content"], &released["Metadata"]), (&"two".into(), &"{}".into()));
    assert_eq!(world.contents(&channel, &ana), ["two"]);
    assert!(world.invocations().is_empty());
}

#[engine_test]
fn a_processor_is_told_what_it_may_change_and_changes_that(world: &mut World) {
    let (channel, _, bob) = channel_with_flow(world, &[FallbackAction::Abort]);
    let mut send = message_request(&channel, &bob, "one");
    let attributes = |value| {
        MessageAttributeMap::from([(
            text("mention"),
            MessageAttributeValue { string_values: Some(vec![text(value)]) },
        )])
    };
    send.metadata = Some(text("{}"));
    send.content_type = Some(text("text/plain"));
    send.message_attributes = Some(attributes("ana"));
    let (title, body) = (Some(text("Lobby")), Some(text("one")));
    send.push_notification = Some(PushNotificationConfiguration { title, body, kind: None });
    world.call(&send).unwrap();
    world.take_events();
    let told = answer(world, &channel, |callback| {
        let message = &mut callback.channel_message;
        (message.content, message.metadata) = (Some(text("ONE")), Some(text("")));
        message.message_attributes = Some(attributes("everyone"));
        message.content_type = Some(text("text/html"));
    });
    assert_eq!(told["EventType"], "CHANNEL_MESSAGE_EVENT");
    let message = told["ChannelMessage"].as_object().unwrap();
    let members: Vec<&str> = message.keys().map(String::as_str).collect();
    let expected = [
        "ChannelArn",
        "Content",
        "CreatedTimestamp",
        "MessageAttributes",
        "MessageId",
        "Metadata",
        "Persistence",
        "PushNotification",
        "Sender",
        "Type",
    ];
    assert_eq!(members, expected, "no target, no content type, no edit");
    assert_eq!(message["Sender"], serde_json::json!({ "Arn": bob.as_str(), "Name": "Bob" }));
    assert_eq!(message["PushNotification"], serde_json::json!({ "Title": "Lobby", "Body": "one" }));
    assert_eq!(message["CreatedTimestamp"], START.to_string());
    let released = payload(world);
    assert_eq!((&released["Content"], &released["ContentType"]), (&"ONE".into(), &"text/html".into()));
    assert_eq!(released["MessageAttributes"]["mention"]["StringValues"], serde_json::json!(["everyone"]));
    assert!(released.get("Metadata").is_none(), "cleared");
}

#[engine_test]
fn a_message_that_is_not_kept_has_an_outcome_for_48_hours(world: &mut World) {
    let (channel, ana, bob) = channel_with_flow(world, &[FallbackAction::Abort]);
    let persistence = ChannelMessagePersistenceType::NonPersistent;
    let mut send = SendChannelMessage { persistence, ..message_request(&channel, &bob, "one") };
    let status = |world: &mut World, id: &MessageId, who: &IdentityArn| {
        let ask = GetChannelMessageStatus {
            channel_arn: channel.clone(),
            message_id: id.clone(),
            chime_bearer: who.clone(),
            sub_channel_id: None,
        };
        world.call(&ask).map(|got| got.status.value.as_str()).map_err(|refused| refused.code)
    };
    let id = world.call(&send).unwrap().message_id;
    assert_eq!((status(world, &id, &bob), world.told()), (Ok("PENDING"), vec![vec!["bob".to_owned()]]));
    assert_eq!(status(world, &id, &ana), Err(ErrorCode::Forbidden));
    assert!(world.contents(&channel, &bob).is_empty(), "it is in no list");
    answer(world, &channel, |_| {});
    assert_eq!(
        (status(world, &id, &bob), world.told()),
        (Ok("SENT"), vec![vec!["ana".into(), "bob".into()]])
    );
    assert!(world.contents(&channel, &ana).is_empty());
    send.client_request_token = text("denied");
    let denied = world.call(&send).unwrap().message_id;
    answer(world, &channel, |callback| callback.delete_resource = Some(true));
    assert_eq!(status(world, &denied, &bob), Err(ErrorCode::Forbidden));
    assert_eq!(world.told_what().pop().unwrap().0, "DENIED_CREATE_CHANNEL_MESSAGE");
    world.advance_ms(CALLBACK_WINDOW_MS);
    assert_eq!(status(world, &id, &bob), Err(ErrorCode::Forbidden));
    assert_eq!(world.step(|tx, now| Ok(store::in_flight::delete_old(tx, now, 100)?)), 2);
}

#[engine_test]
fn a_whisper_that_is_released_reaches_the_two_who_are_still_there(world: &mut World) {
    let (channel, ana, bob) = channel_with_flow(world, &[FallbackAction::Abort]);
    world.send_to(&channel, &bob, "psst", &ana);
    assert_eq!(world.told(), [vec!["bob"]]);
    answer(world, &channel, |_| {});
    assert_eq!(world.told(), [vec!["ana", "bob"]]);
    world.send_to(&channel, &bob, "psst again", &ana);
    world.leave(&channel, &bob);
    world.told();
    answer(world, &channel, |_| {});
    assert_eq!(world.told(), [vec!["ana"]]);
}

#[engine_test]
fn the_last_message_of_a_channel_is_one_that_was_released(world: &mut World) {
    let (channel, ana, bob) = channel_with_flow(world, &[FallbackAction::Abort]);
    let last = |world: &mut World| {
        let describe = DescribeChannel { channel_arn: channel.clone(), chime_bearer: ana.clone() };
        world.call(&describe).unwrap().channel.last_message_timestamp
    };
    world.send(&channel, &bob, "denied");
    assert_eq!(last(world), None);
    answer(world, &channel, |callback| callback.delete_resource = Some(true));
    assert_eq!(last(world), None);
    world.send(&channel, &bob, "sent");
    world.advance_ms(7);
    answer(world, &channel, |_| {});
    assert_eq!(
        last(world),
        Some(START.plus_ms(7)),
        "whoever has read the channel until then has not read it"
    );
}

#[engine_test]
fn a_processor_that_cannot_be_reached_is_tried_within_its_bounds(world: &mut World) {
    let (channel, _, bob) = channel_with_flow(world, &[FallbackAction::Abort]);
    let transient = Failure { reason: Reason::NotReachable, permanent: false };
    world.send(&channel, &bob, "one");
    for tries in 1..=3 {
        let invocation = world.invocations().pop().unwrap();
        assert!(world.invocations().is_empty(), "leased");
        assert_eq!(world.fail(&invocation, transient), tries == 3);
        assert!(world.invocations().is_empty(), "not before its time");
        world.advance_ms(2_000);
    }
    assert_eq!(world.told_what().pop().unwrap().0, "FAILED_CREATE_CHANNEL_MESSAGE");
    world.send(&channel, &bob, "two");
    let invocation = world.invocations().pop().unwrap();
    assert!(!world.fail(&invocation, transient));
    world.advance_ms(10_000);
    let invocation = world.invocations().pop().unwrap();
    assert!(world.fail(&invocation, transient), "ten seconds are over");
}

#[engine_test]
fn what_was_never_called_waits_and_is_no_try(world: &mut World) {
    let (channel, ana, bob) = channel_with_flow(world, &[FallbackAction::Abort]);
    let id = world.send(&channel, &bob, "one");
    world.advance_ms(Patience::default().waiting_ms - 1);
    assert!(world.give_up(Unasked::Closed(Reason::Refused)).is_empty());
    world.told();
    answer(world, &channel, |_| {});
    assert_eq!(world.contents(&channel, &ana), ["one"], "though it waited longer than any try");
    let status = |world: &mut World, id: &MessageId| {
        let ask = GetChannelMessageStatus {
            channel_arn: channel.clone(),
            message_id: id.clone(),
            chime_bearer: bob.clone(),
            sub_channel_id: None,
        };
        let status = world.call(&ask).unwrap().status;
        (status.value.as_str(), status.detail.map(StatusDetail::into_string))
    };
    assert_eq!(status(world, &id), ("SENT", None));
    let ends = [
        (
            Unasked::Closed(Reason::Refused),
            0,
            "was not asked within 120 s, because it keeps failing: answered with an error",
        ),
        (Unasked::Full, 0, "was not asked within 120 s, because too many messages wait for it"),
        (Unasked::Full, 1, "was not asked again within 120 s, because too many messages wait for it"),
        (Unasked::Closed(Reason::TimedOut), 1, "could not be called: timed out"),
    ];
    for (number, (unasked, tries, why)) in ends.into_iter().enumerate() {
        let mut send = message_request(&channel, &bob, "two");
        send.client_request_token = text(&format!("token-{number}"));
        let id = world.call(&send).unwrap().message_id;
        for _ in 0..tries {
            let call = world.invocations().pop().unwrap();
            assert!(!world.fail(&call, Failure { reason: Reason::TimedOut, permanent: false }));
            world.advance_ms(1_000);
        }
        world.advance_ms(Patience::default().waiting_ms);
        assert_eq!(world.give_up(unasked).len(), 1);
        let (value, detail) = status(world, &id);
        let name = flow_request(world).processors[0].name.as_str().to_owned();
        assert_eq!((value, detail), ("FAILED", Some(format!("The processor {name} {why}"))));
    }
}

#[engine_test]
fn each_function_has_a_backlog_of_its_own_which_is_called_in_its_order(world: &mut World) {
    let (channel, ana, bob) = channel_with_flow(world, &[FallbackAction::Abort]);
    let other = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    let flow = world.flow_of_functions(&["another"]);
    world.call(&association(&other, &flow, &ana)).unwrap();
    let mut sent = Vec::new();
    for content in ["one", "two", "three"] {
        sent.push(world.send(&channel, &bob, content).into_string());
        world.send(&other, &ana, content);
        world.advance_ms(1);
    }
    let waiting = world.waiting("");
    assert_eq!(waiting.iter().map(|one| one.due_at).collect::<Vec<_>>(), [START, START]);
    let (first, second) = (&waiting[0].function, &waiting[1].function);
    assert!(first.ends_with(":another") && first < second, "{waiting:?}");
    assert_eq!(world.waiting(first), waiting[1..]);
    let leased = world.invocations_of(second, 2);
    let ids: Vec<&str> = leased.iter().map(|one| one.message_id.as_str()).collect();
    assert_eq!(ids, sent[..2]);
    let left = world.waiting(first);
    assert_eq!(left[0].due_at, START.plus_ms(2), "the third");
}

#[engine_test]
fn what_waited_before_functions_were_named_is_named_and_called(world: &mut World) {
    let (channel, _, bob) = channel_with_flow(world, &[FallbackAction::Abort]);
    let id = world.send(&channel, &bob, "one");
    assert_eq!(world.step(|tx, _| Ok(store::testing::forget_functions(tx)?)), 1);
    assert!(world.invocations().is_empty(), "it is named first");
    assert_eq!(world.invocations().pop().unwrap().message_id, id.as_str());
}

#[engine_test]
fn what_is_left_of_a_deleted_channel_is_met_once(world: &mut World) {
    let (channel, ana, bob) = channel_with_flow(world, &[FallbackAction::Abort]);
    world.send(&channel, &bob, "one");
    world.call(&DeleteChannel { channel_arn: channel, chime_bearer: ana }).unwrap();
    assert_eq!(world.waiting("").len(), 1, "it is not destroyed yet");
    assert!(world.invocations().is_empty());
    assert!(world.waiting("").is_empty(), "nor does it wait to be met again");
}

#[engine_test]
fn an_edit_does_not_hide_from_a_rate_what_was_said(world: &mut World) {
    world.set_processors(|| {
        let mut processors = Processors::default();
        let arn = "arn:aws:lambda:us-east-1:111122223333:function:rate";
        assert!(processors.add(&text(arn), BuiltIn::rate(2, 60).unwrap()));
        processors
    });
    let (channel, ana, bob) = channel_with_flow(world, &[FallbackAction::Abort]);
    let flow = world.flow_of_functions(&["rate"]);
    world.call(&association(&channel, &flow, &ana)).unwrap();
    for content in ["one", "two"] {
        let message_id = world.send(&channel, &bob, content);
        let update = UpdateChannelMessage {
            channel_arn: channel.clone(),
            message_id,
            content: text("edited"),
            metadata: None,
            chime_bearer: bob.clone(),
            sub_channel_id: None,
            content_type: None,
        };
        world.call(&update).unwrap();
    }
    world.told();
    world.send(&channel, &bob, "three");
    assert_eq!(world.told_what().pop().unwrap().0, "DENIED_CREATE_CHANNEL_MESSAGE");
    world.send(&channel, &ana, "of another sender");
    assert_eq!(world.told_what().pop().unwrap().0, "CREATE_CHANNEL_MESSAGE");
}

#[engine_test]
fn a_node_that_dies_is_replaced_and_its_late_report_changes_nothing(world: &mut World) {
    let (channel, ana, bob) = channel_with_flow(world, &[FallbackAction::Abort]);
    world.send(&channel, &bob, "one");
    let lost = world.invocations().pop().unwrap();
    world.restart();
    assert!(world.invocations().is_empty(), "leased");
    world.advance_ms(lost.lease_until.ms() - START.ms());
    let again = world.invocations().pop().unwrap();
    assert_eq!(again.payload, lost.payload, "the same call, with the same id");
    answer_of(world, &channel, &again);
    world.told();
    assert!(!world.fail(&lost, Failure { reason: Reason::NotFound, permanent: true }));
    world.hand_over(&lost);
    assert!(world.told().is_empty());
    assert_eq!(world.contents(&channel, &ana), ["one"]);
}

fn answer_of(world: &mut World, channel: &ChannelArn, invocation: &Invocation) {
    world.call(&callback_of(channel, invocation)).unwrap();
}

/// Lets the message pass as it is.
fn callback_of(channel: &ChannelArn, invocation: &Invocation) -> ChannelFlowCallback {
    ChannelFlowCallback {
        callback_id: callback_id(invocation),
        channel_arn: channel.clone(),
        delete_resource: None,
        channel_message: unchanged(&text(&invocation.message_id)),
    }
}

#[engine_test]
fn built_in_processors_decide_at_once_through_the_same_states(world: &mut World) {
    world.set_processors(|| {
        let mut processors = Processors::default();
        let words = ["darn".to_owned()];
        let add = |(name, processor): (&str, Result<BuiltIn, String>)| {
            let arn = format!("arn:aws:lambda:us-east-1:111122223333:function:{name}");
            assert!(processors.add(&text(&arn), processor.unwrap()));
        };
        [
            ("words", BuiltIn::wordlist(&words, Action::Mask)),
            ("length", BuiltIn::length(20)),
            ("rate", BuiltIn::rate(3, 60)),
        ]
        .into_iter()
        .for_each(add);
        processors
    });
    let (channel, ana, bob) = channel_with_flow(world, &[FallbackAction::Abort]);
    let flow = world.flow_of_functions(&["words", "length", "rate"]);
    let describe = DescribeChannel { channel_arn: channel.clone(), chime_bearer: ana.clone() };
    let before = world.call(&describe).unwrap().channel.channel_flow_arn.unwrap();
    world.call(&disassociation(&channel, &before, &ana)).unwrap();
    world.call(&association(&channel, &flow, &ana)).unwrap();
    world.told();
    let mut send = message_request(&channel, &bob, "darn it");
    let sent = world.call(&send).unwrap();
    assert_eq!(sent.status.value, ChannelMessageStatus::Pending, "as any flow answers");
    let told: Vec<_> = world.told_what().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(told, ["PENDING_CREATE_CHANNEL_MESSAGE", "CREATE_CHANNEL_MESSAGE"]);
    assert_eq!(world.contents(&channel, &ana), ["**** it"]);
    let mut denied = |world: &mut World, content: &str, token: &str| {
        (send.content, send.client_request_token) = (text(content), text(token));
        world.call(&send).unwrap();
        world.told_what().pop().unwrap().0 == "DENIED_CREATE_CHANNEL_MESSAGE"
    };
    assert!(denied(world, "this is longer than twenty characters", "long"));
    assert!(!denied(world, "third", "third"));
    assert!(denied(world, "fourth", "fourth"), "three within a minute, denied ones included");
    world.advance_ms(60_000);
    assert!(!denied(world, "fifth", "fifth"));
    assert!(world.invocations().is_empty());
    assert_eq!(world.contents(&channel, &ana), ["fifth", "third", "**** it"]);
}

#[engine_test]
fn a_rehearsal_does_what_a_message_says(world: &mut World) {
    world.set_processors(|| {
        let mut processors = Processors::default();
        let arn = "arn:aws:lambda:us-east-1:111122223333:function:rehearsal";
        assert!(processors.add(&text(arn), BuiltIn::rehearsal(10).unwrap()));
        processors
    });
    let (channel, ana, bob) = channel_with_flow(world, &[FallbackAction::Continue]);
    let flow = world.flow_of_functions(&["rehearsal"]);
    world.call(&association(&channel, &flow, &ana)).unwrap();
    world.told();
    let last_of = |world: &mut World, content: &str| {
        world.send(&channel, &bob, content);
        world.told_what().pop().unwrap().0
    };
    assert_eq!(last_of(world, "hello"), "CREATE_CHANNEL_MESSAGE");
    assert_eq!(last_of(world, "denying is not denial"), "CREATE_CHANNEL_MESSAGE", "whole words");
    assert_eq!(last_of(world, "Deny, please"), "DENIED_CREATE_CHANNEL_MESSAGE");
    assert_eq!(last_of(world, "now FAIL!"), "FAILED_CREATE_CHANNEL_MESSAGE", "whatever its fallback says");
    assert_eq!(last_of(world, "wait for it"), "PENDING_CREATE_CHANNEL_MESSAGE");
    world.advance_ms(9_999);
    assert!(world.invocations().is_empty(), "not yet");
    world.restart();
    world.advance_ms(1);
    let [due] = world.invocations().try_into().unwrap();
    world.decide(&due);
    assert_eq!(world.told_what().pop().unwrap().0, "CREATE_CHANNEL_MESSAGE");
    assert_eq!(world.contents(&channel, &ana), ["wait for it", "denying is not denial", "hello"]);
    world.decide(&due);
    assert!(world.told_what().is_empty(), "once");
}

#[engine_test]
fn a_message_in_a_sub_channel_stays_there(world: &mut World) {
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
    let place = world.join(&channel, &ana, &bob).unwrap();
    let flow = world.flow();
    world.call(&association(&channel, &flow, &ana)).unwrap();
    world.told();
    let sub_channel_id = Some(place.clone());
    let send = SendChannelMessage { sub_channel_id, ..message_request(&channel, &bob, "one") };
    assert_eq!(world.call(&send).unwrap().status.value, ChannelMessageStatus::Pending);
    let told = answer(world, &channel, |callback| {
        callback.channel_message.sub_channel_id = Some(place.clone());
    });
    assert_eq!(told["ChannelMessage"]["SubChannelId"], place.as_str());
    let events = world.take_full_events();
    let released = events.last().unwrap();
    assert_eq!(released.audience.sub_channels, [carillon_model::Key::from_hex(place.as_str()).unwrap()]);
    assert_eq!(released.kind.as_str(), "CREATE_CHANNEL_MESSAGE");
}

/// What the channel is shown in a state, and what its sender waits for, or is told that it failed.
fn shown_and_waiting(state: &str) -> (Option<&str>, Option<&str>) {
    if state == "S6" {
        return (Some("redacted"), None);
    }
    let waits = state.split_once('/').map(|(_, waits)| waits);
    let shown = state.split_once(':').map(|(_, shown)| shown.split('/').next().unwrap());
    (shown, waits)
}

fn answered<T>(result: Result<T, Refused>, name: impl FnOnce(T) -> String) -> String {
    result.map_or_else(|refused| refused.code.as_str().to_owned(), name)
}

fn callback_id(invocation: &Invocation) -> CallbackIdType {
    let payload: serde_json::Value = serde_json::from_str(&invocation.payload).unwrap();
    text(payload["CallbackId"].as_str().unwrap())
}

/// A channel of bob's with a flow, and a message of ana's in it.
fn in_flight(world: &mut World) -> (ChannelArn, IdentityArn, IdentityArn) {
    let (ana, bob, flow) = (world.user("ana"), world.user("bob"), world.flow());
    let channel = world.channel_of(&bob, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.join(&channel, &bob, &ana);
    world.call(&association(&channel, &flow, &bob)).unwrap();
    world.send(&channel, &ana, "last words");
    (channel, ana, bob)
}

#[engine_test]
fn a_message_goes_its_way_though_its_sender_is_deleted_meanwhile(world: &mut World) {
    let (channel, ana, bob) = in_flight(world);
    world.call(&DeleteAppInstanceUser { app_instance_user_arn: ana }).unwrap();
    world.run_jobs();
    world.take_events();
    answer(world, &channel, |_| {});
    assert_eq!(world.take_events(), ["CREATE_CHANNEL_MESSAGE"]);
    assert_eq!(world.contents(&channel, &bob), ["last words"]);
}

#[engine_test]
fn what_is_in_flight_in_a_deleted_app_instance_is_void_at_once(world: &mut World) {
    let (channel, ..) = in_flight(world);
    let invocation = world.invocations().pop().unwrap();
    world.call(&DeleteAppInstance { app_instance_arn: world.instance().clone() }).unwrap();
    assert_eq!(world.refusal(&callback_of(&channel, &invocation)), ErrorCode::Forbidden);
    world.advance_ms(DAY_MS);
    assert!(world.invocations().is_empty());
    world.fail_overdue();
    assert!(world.take_full_events().iter().all(|event| event.kind.as_str() != "FAILED_CHANNEL_MESSAGE"));
}

#[engine_test]
fn a_call_that_another_node_took_over_is_that_ones_to_report(world: &mut World) {
    let (channel, _, bob) = in_flight(world);
    let stopped = world.invocations().pop().unwrap();
    world.advance_ms(7_999);
    assert!(world.invocations().is_empty(), "it is leased");
    world.advance_ms(1);
    let taken_over = world.invocations().pop().unwrap();
    world.take_events();
    let failure = Failure { reason: Reason::NotReachable, permanent: true };
    assert_eq!(world.try_fail(&stopped, failure), Err(ErrorCode::Conflict));
    assert!(world.take_events().is_empty(), "and nothing comes of it");
    world.hand_over(&taken_over);
    assert_eq!(world.try_fail(&taken_over, failure), Ok(false), "it is over");
    // Both called the processor, by one name: its first answer counts.
    world.call(&callback_of(&channel, &stopped)).unwrap();
    assert_eq!(world.refusal(&callback_of(&channel, &taken_over)), ErrorCode::BadRequest);
    assert_eq!(world.contents(&channel, &bob), ["last words"]);
}

#[engine_test]
fn a_callback_that_comes_to_two_nodes_at_once_counts_once(world: &mut World) {
    let (ana, bob, flow) = (world.user("ana"), world.user("bob"), world.flow());
    let channel = world.channel_of(&bob, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.join(&channel, &bob, &ana);
    world.call(&association(&channel, &flow, &bob)).unwrap();
    let mut told = BTreeMap::new();
    for number in 0..20 {
        world.send(&channel, &ana, &number.to_string());
        let invocation = world.invocations().pop().unwrap();
        world.hand_over(&invocation);
        world.take_events();
        let callbacks = vec![callback_of(&channel, &invocation); 4];
        let answers = world.call_at_once(&callbacks);
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
        assert_eq!(world.take_events(), ["CREATE_CHANNEL_MESSAGE"]);
        for refused in answers.into_iter().filter_map(std::result::Result::err) {
            *told.entry(refused.code).or_insert(0) += 1;
        }
        assert_eq!(world.refusal(&callbacks[0]), ErrorCode::BadRequest, "it comes too late, and not at once");
    }
    // One may have come when another was through already.
    assert!(told.keys().all(|code| [ErrorCode::Conflict, ErrorCode::BadRequest].contains(code)), "{told:?}");
    assert!(told.get(&ErrorCode::BadRequest).copied().unwrap_or(0) < told[&ErrorCode::Conflict], "{told:?}");
    assert_eq!(world.contents(&channel, &bob).len(), 20);
}

#[test]
fn a_detail_is_never_too_long_and_always_says_what_happened() {
    let words = super::detail(&"é".repeat(256), "could not be called: answered with an error");
    assert!(words.as_str().chars().count() <= 256 && words.as_str().ends_with("with an error"));
    assert!(words.as_str().parse::<StatusDetail>().is_ok());
}
