//! `SendChannelMessage`: a message from a member to the channel, or to one other member.
//!
//! This is the hot path: one read of how the sender stands, one claim of the channel, the token, the message,
//! the event. A NON_PERSISTENT message is an event and nothing else. In a channel with a flow a STANDARD message is
//! PENDING, and its sender's alone, until the flow releases it.

use carillon_model::event::Event;
use carillon_model::identity::Identity as Who;
use carillon_model::message::Message;

use carillon_model::channel_flow::FlowOperation;

use crate::call::OWN_SUB_CHANNEL;
use crate::chat::{content, flow, message, push};
use crate::once::{Once, once, unreadable};
use crate::prelude::*;

/// The request.
#[operation(POST "/channels/{channelArn}/messages" => 201, Sent)]
#[errors(BadRequest, Conflict)]
#[bearer]
pub struct SendChannelMessage {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// What it says: 4 KB, unless a setting allows more, or of a CONTROL message 30 bytes.
    pub content: NonEmptyContent,
    /// What it is.
    #[member("Type")]
    pub kind: ChannelMessageType,
    /// Whether it is kept.
    pub persistence: ChannelMessagePersistenceType,
    /// What the application writes on it.
    pub metadata: Option<MessageMetadata>,
    /// Makes a repeated request have one effect.
    pub client_request_token: ClientRequestToken,
    /// What its push notification says.
    pub push_notification: Option<PushNotificationConfiguration>,
    /// What the application attaches.
    pub message_attributes: Option<MessageAttributeMap>,
    /// The sub-channel, in an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
    /// What the content is.
    pub content_type: Option<ContentType>,
    /// The one other member that may see it.
    #[length(1, 1)]
    pub target: Option<Vec<Target>>,
}

/// The answer.
#[shape]
pub struct Sent {
    /// Where.
    pub channel_arn: ChannelArn,
    /// Its id.
    pub message_id: MessageId,
    /// How far it has come.
    pub status: ChannelMessageStatusStructure,
    /// The sub-channel, in an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
}

/// Moderators and administrators send only where they also belong.
const RULE: Rule = Rule(&[Grant::Member]);

impl Write for SendChannelMessage {
    fn lane(&self) -> Lane {
        Lane::channel(&self.channel_arn)
    }

    fn look(&self, call: &Call) -> Option<Look> {
        // Here nobody waits for it; in the lane all who come after would.
        call.digest(|| self.canonical());
        Some(call.look(&self.channel_arn)?.and_token(Self::NAME, &self.client_request_token))
    }

    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Sent> {
        let (view, sub_channel) = self.view(tx, call)?;
        let token = (view.caller.key, &self.client_request_token);
        let keep = |(key, _): &(MessageKey, _)| key.to_string();
        let sent = once(tx, call, self, token, keep, |tx| self.send(tx, call, view, sub_channel))?;
        let (key, status) = match sent {
            Once::First(sent) => sent,
            Once::Earlier(kept) => {
                let key = MessageKey::from_hex(&kept).ok_or_else(|| unreadable("SendChannelMessage"))?;
                (key, status_of(tx, sub_channel, key)?)
            }
        };
        Ok(Sent {
            channel_arn: self.channel_arn.clone(),
            message_id: MessageId::stored(key.to_string()),
            status,
            sub_channel_id: self.sub_channel_id.clone(),
        })
    }
}

impl SendChannelMessage {
    /// Sends the message whatever was sent under its token, for who knows that it is sent once.
    pub(crate) fn send_anew(&self, tx: &mut Tx, call: &Call) -> Result<MessageKey> {
        let (view, sub_channel) = self.view(tx, call)?;
        self.send(tx, call, view, sub_channel).map(|(key, _)| key)
    }

    fn view(&self, tx: &mut Tx, call: &Call) -> Result<(View, Key)> {
        content::check(call, self.kind, self.content.as_str(), self.metadata.as_ref())?;
        content::check_attributes(self.message_attributes.as_ref())?;
        let view = call.view_channel(tx, &self.channel_arn, RULE)?;
        let sub_channel = view.sub_channel(self.sub_channel_id.as_ref())?;
        Ok((view, sub_channel))
    }

    fn send(
        &self,
        tx: &mut Tx,
        call: &Call,
        view: View,
        sub_channel: Key,
    ) -> Result<(MessageKey, ChannelMessageStatusStructure)> {
        let target = self.target(tx, call, &view, sub_channel)?;
        let persistent = self.persistence == ChannelMessagePersistenceType::Persistent;
        check_belongs(&view, sub_channel)?;
        let flows = |view: &View| view.flow.filter(|_| self.kind == ChannelMessageType::Standard);
        let in_flow = flows(&view).is_some();
        let claim = Claim::of_message(!in_flow && persistent && target.is_none());
        let looked_at = view.channel.sequence;
        let mut view = call.claim(tx, view, claim, RULE)?;
        if view.channel.sequence != looked_at + claim.events {
            // Something happened between the look and the claim: who sends, or the target, may have left.
            check_belongs(&view, sub_channel)?;
            self.target(tx, call, &view, sub_channel)?;
        }
        let flow = flows(&view);
        if flow.is_some() != in_flow {
            // The flow came or went between the look and the claim, which was made for the other case.
            return Err(store::Error::Retry.into());
        }
        let mut message = self.message(call, &view, sub_channel, target);
        if flow.is_some() {
            (message.status, message.released) = (ChannelMessageStatus::Pending, false);
        }
        let notification = self.push_notification.as_ref();
        let notification =
            notification.map(|said| serde_json::to_string(said).expect("texts always serialize"));
        if persistent {
            store::message::insert(tx, &message, notification.as_deref())?;
        }
        let answer = (message.key, ChannelMessageStatusStructure::from(&message));
        if let Some(flow) = flow {
            let (operation, message) = (FlowOperation::Create, &message);
            let entry = flow::Entry { flow, operation, message, push_notification: notification };
            flow::begin(tx, call, &mut view.channel, entry)?;
            return Ok(answer);
        }
        let event = Event::create_channel_message(&view.channel, &message);
        message::show(tx, call, &view.channel, &message, event)?;
        if let Some(notification) = &self.push_notification {
            push::queue(tx, &view.channel, &message, notification)?;
        }
        Ok(answer)
    }

    /// The target, which must belong to where the message goes.
    fn target(&self, tx: &mut Tx, call: &Call, view: &View, sub_channel: Key) -> Result<Option<Who>> {
        let Some([target]) = self.target.as_deref() else { return Ok(None) };
        let refuse = || Error::bad_request("Target: must be a member of the channel");
        let arn = target.member_arn.as_ref().ok_or_else(refuse)?;
        let found = call.find_identity(tx, arn, &self.channel_arn.app_instance())?.ok_or_else(refuse)?;
        let key = view.channel.key;
        let places = store::membership::list_places(tx, &self.channel_arn, key, &found.identity)?;
        if places.iter().any(|place| place.sub_channel == sub_channel) {
            Ok(Some(found.identity))
        } else {
            Err(refuse())
        }
    }

    fn message(&self, call: &Call, view: &View, sub_channel: Key, target: Option<Who>) -> Message {
        let channel = &view.channel;
        Message {
            channel: channel.key,
            sub_channel,
            key: MessageKey::new(channel.clock, channel.sequence, call.random()),
            sender: view.caller.clone(),
            target,
            kind: self.kind,
            persistence: self.persistence,
            status: ChannelMessageStatus::Sent,
            status_detail: None,
            released: true,
            content: Some(Content::stored(self.content.as_str().to_owned())),
            metadata: shown(self.metadata.clone()),
            content_type: self.content_type.clone().filter(|kind| !kind.as_str().is_empty()),
            attributes: self.message_attributes.as_ref().map(attributes).filter(|map| !map.is_empty()),
            redacted: false,
            edited_at: None,
            updated_at: channel.clock,
        }
    }
}

/// Refuses who does not belong to where the message goes.
fn check_belongs(view: &View, sub_channel: Key) -> Result<()> {
    if view.belongs_to(sub_channel) {
        Ok(())
    } else {
        Err(Error::not_admitted(SendChannelMessage::NAME, OWN_SUB_CHANNEL))
    }
}

/// How far a message that was accepted has come. One that is neither stored nor in a flow was sent once, or it would
/// have no token.
fn status_of(tx: &mut Tx, sub_channel: Key, key: MessageKey) -> Result<ChannelMessageStatusStructure> {
    let kept = store::message::find_status(tx, sub_channel, key)?.map(|kept| (kept.status, kept.detail));
    let (value, detail) = match kept {
        Some(kept) => kept,
        None => match store::in_flight::find_outcome(tx, sub_channel, key)? {
            Some(outcome) => (outcome.status, outcome.detail),
            None => (ChannelMessageStatus::Sent, None),
        },
    };
    Ok(ChannelMessageStatusStructure { value, detail })
}

#[cfg(test)]
mod tests {
    use super::super::delete_channel_membership::DeleteChannelMembership;
    use super::super::describe_channel::DescribeChannel;
    use super::*;
    use crate::testing::*;

    fn refused(world: &mut World, send: &SendChannelMessage) -> ErrorCode {
        world.call(send).unwrap_err().code
    }

    #[engine_test]
    fn a_message_reaches_the_members_and_is_sent(world: &mut World) {
        let (ana, bob, outsider) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let admin = world.admin("root");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &bob);
        world.take_events();
        world.advance_ms(5);
        let sent = world.call(&message_request(&channel, &bob, "Hello \u{0}\u{1f}🛎")).unwrap();
        assert_eq!(sent.status.value, ChannelMessageStatus::Sent);
        let event = world.take_full_events().pop().unwrap();
        let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
        assert_eq!(payload["Content"], "Hello \u{0}\u{1f}🛎");
        assert_eq!(payload["MessageId"], sent.message_id.as_str());
        assert_eq!(payload["Sender"]["Name"], "Bob");
        assert_eq!(payload["Status"], serde_json::json!({ "Value": "SENT" }));
        assert_eq!(payload["CreatedTimestamp"], START.plus_ms(5).to_string());
        let describe = DescribeChannel { channel_arn: channel.clone(), chime_bearer: ana };
        let channel_after = world.call(&describe).unwrap().channel;
        assert_eq!(channel_after.last_message_timestamp, Some(START.plus_ms(5)));
        for who in [outsider, admin] {
            assert_eq!(refused(world, &message_request(&channel, &who, "Hi")), ErrorCode::Forbidden);
        }
    }

    #[engine_test]
    fn a_token_sends_once(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        let send = message_request(&channel, &ana, "Once");
        let first = world.call(&send).unwrap();
        world.take_events();
        world.advance_ms(1_000);
        assert_eq!(world.call(&send).unwrap(), first);
        assert!(world.take_events().is_empty());
        let other = SendChannelMessage { content: text("Twice"), ..send.clone() };
        assert_eq!(refused(world, &other), ErrorCode::Conflict);
        let of_bob = SendChannelMessage { chime_bearer: bob, ..send };
        assert_ne!(world.call(&of_bob).unwrap().message_id, first.message_id);
        assert_eq!(world.contents(&channel, &ana), ["Once", "Once"]);
    }

    #[engine_test]
    fn a_hidden_member_reads_and_does_not_send(world: &mut World) {
        let (ana, ghost) = (world.user("ana"), world.user("ghost"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join_hidden(&channel, &ana, &ghost);
        world.send(&channel, &ana, "Hello");
        assert_eq!(refused(world, &message_request(&channel, &ghost, "Boo")), ErrorCode::Forbidden);
        assert_eq!(world.contents(&channel, &ghost), ["Hello"]);
    }

    #[engine_test]
    fn sizes_are_counted_in_bytes_and_by_type(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let mut send = message_request(&channel, &ana, &"é".repeat(2_048));
        assert!(world.call(&send).is_ok());
        send.client_request_token = text("larger");
        send.content = text(&("é".repeat(2_048) + "!"));
        assert_eq!(refused(world, &send), ErrorCode::BadRequest);
        send.kind = ChannelMessageType::Control;
        send.content = text(&"x".repeat(31));
        assert_eq!(refused(world, &send), ErrorCode::BadRequest);
        send.content = text(&"x".repeat(30));
        send.metadata = Some(text("{}"));
        assert_eq!(refused(world, &send), ErrorCode::BadRequest);
        send.metadata = None;
        assert!(world.call(&send).is_ok());
        let value = |length| MessageAttributeValue { string_values: Some(vec![text(&"v".repeat(length))]) };
        let attributes =
            |last| MessageAttributeMap::from([(text("aa"), value(512)), (text("bb"), value(last))]);
        send.client_request_token = text("attributes");
        send.message_attributes = Some(attributes(509));
        assert_eq!(refused(world, &send), ErrorCode::BadRequest);
        send.message_attributes = Some(attributes(508));
        assert!(world.call(&send).is_ok());
    }

    #[engine_test]
    fn a_non_persistent_message_is_told_and_forgotten(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.take_events();
        let persistence = ChannelMessagePersistenceType::NonPersistent;
        let send = SendChannelMessage { persistence, ..message_request(&channel, &ana, "typing") };
        let sent = world.call(&send).unwrap();
        assert_eq!(world.take_events(), ["CREATE_CHANNEL_MESSAGE"]);
        assert_eq!(world.call(&send).unwrap(), sent, "also when it is repeated");
        assert!(world.take_events().is_empty());
        assert!(world.contents(&channel, &ana).is_empty());
        let describe = DescribeChannel { channel_arn: channel, chime_bearer: ana };
        assert_eq!(world.call(&describe).unwrap().channel.last_message_timestamp, None);
    }

    #[engine_test]
    fn a_target_is_one_member_and_only_the_two_are_told(world: &mut World) {
        let (ana, bob, cy, outsider) =
            (world.user("ana"), world.user("bob"), world.user("cy"), world.user("dora"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        world.join(&channel, &ana, &cy);
        world.told();
        world.send_to(&channel, &ana, "Psst", &bob);
        world.send_to(&channel, &ana, "Note to self", &ana);
        assert_eq!(world.told(), [vec!["ana", "bob"], vec!["ana"]]);
        let mut send = message_request(&channel, &ana, "Psst");
        for target in [Some(outsider), Some(world.instance().user("nobody")), None] {
            send.target = Some(vec![Target { member_arn: target }]);
            assert_eq!(refused(world, &send), ErrorCode::BadRequest);
        }
    }

    #[engine_test]
    fn time_in_a_channel_never_runs_backwards(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.send(&channel, &ana, "first");
        world.advance_ms(-60_000);
        world.send(&channel, &ana, "second");
        assert_eq!(world.contents(&channel, &ana), ["second", "first"]);
    }

    #[engine_test]
    fn nobody_who_has_left_is_a_target_whichever_node_they_left_at(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        for _ in 0..20 {
            world.join(&channel, &ana, &bob);
            world.take_events();
            let send = |client_request_token| SendChannelMessage {
                client_request_token,
                target: Some(vec![Target { member_arn: Some(bob.clone()) }]),
                ..message_request(&channel, &ana, "only for you")
            };
            let leave = DeleteChannelMembership {
                channel_arn: channel.clone(),
                member_arn: bob.clone(),
                chime_bearer: bob.clone(),
                sub_channel_id: None,
            };
            let mut asked: Vec<_> = (0..4).map(|_| send(world.token()).encode()).collect();
            asked.insert(1, leave.encode());
            assert!(world.race(&asked)[1]);
            let events = world.take_events();
            assert_eq!(events.last(), Some(&"DELETE_CHANNEL_MEMBERSHIP"), "{events:?}");
        }
    }
}
