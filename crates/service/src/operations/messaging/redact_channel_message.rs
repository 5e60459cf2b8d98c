//! `RedactChannelMessage`: erases what a message says, everywhere and for ever. The shell stays.

use carillon_model::event::Event;
use carillon_model::message::Message;

use super::existing::{Which, check_open, no_message};
use crate::prelude::*;

/// The request.
#[operation(POST "/channels/{channelArn}/messages/{messageId}?operation=redact" => 200, Redacted)]
#[errors(BadRequest, Conflict)]
#[bearer]
pub struct RedactChannelMessage {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Which.
    #[label]
    pub message_id: MessageId,
    /// The sub-channel, in an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
}

/// The answer.
#[shape]
pub struct Redacted {
    /// Where.
    pub channel_arn: ChannelArn,
    /// Which.
    pub message_id: MessageId,
    /// The sub-channel, in an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator, Grant::Member]);

impl Write for RedactChannelMessage {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Redacted> {
        let which = Which {
            channel_arn: &self.channel_arn,
            message_id: &self.message_id,
            sub_channel_id: self.sub_channel_id.as_ref(),
        };
        let (view, mut message) = which.claim(tx, call, RULE, check)?;
        message.erase();
        (message.redacted, message.updated_at) = (true, view.channel.clock);
        (message.status, message.status_detail) = (ChannelMessageStatus::Sent, None);
        store::message::revise(tx, &message)?;
        store::in_flight::delete_of_message(tx, message.sub_channel, message.key)?;
        let event = Event::redact_channel_message(&view.channel, &message);
        store::outbox::erase_message(tx, &event)?;
        tx.emit(event)?;
        Ok(Redacted {
            channel_arn: self.channel_arn.clone(),
            message_id: self.message_id.clone(),
            sub_channel_id: self.sub_channel_id.clone(),
        })
    }
}

/// Members redact what they sent, moderators and administrators what they can see.
fn check(view: &View, message: &Message) -> Result<()> {
    let own = message.sender.key == view.caller.key;
    if own || (view.is_moderating() && message.is_shown_to(view.caller.key)) {
        check_open(message)
    } else {
        Err(no_message())
    }
}

#[cfg(test)]
mod tests {
    use super::super::get_channel_message::GetChannelMessage;
    use super::super::send_channel_message::SendChannelMessage;
    use super::super::update_channel_message::UpdateChannelMessage;
    use super::*;
    use crate::testing::*;

    fn redact(channel: &ChannelArn, who: &IdentityArn, id: &MessageId) -> RedactChannelMessage {
        RedactChannelMessage {
            channel_arn: channel.clone(),
            message_id: id.clone(),
            chime_bearer: who.clone(),
            sub_channel_id: None,
        }
    }

    fn edit(channel: &ChannelArn, who: &IdentityArn, id: &MessageId, content: &str) -> UpdateChannelMessage {
        UpdateChannelMessage {
            channel_arn: channel.clone(),
            message_id: id.clone(),
            content: text(content),
            metadata: None,
            chime_bearer: who.clone(),
            sub_channel_id: None,
            content_type: None,
        }
    }

    /// A message that says `secret` in every place that holds text.
    fn secret(channel: &ChannelArn, who: &IdentityArn) -> SendChannelMessage {
        let values = MessageAttributeValue { string_values: Some(vec![text("secret attribute")]) };
        SendChannelMessage {
            metadata: Some(text("secret metadata")),
            message_attributes: Some(MessageAttributeMap::from([(text("secret name"), values)])),
            push_notification: Some(PushNotificationConfiguration {
                title: Some(text("secret title")),
                body: Some(text("secret body")),
                kind: None,
            }),
            ..message_request(channel, who, "secret content")
        }
    }

    #[engine_test]
    fn what_was_said_is_erased_everywhere_and_the_shell_stays(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        let id = world.call(&secret(&channel, &bob)).unwrap().message_id;
        let other = world.send(&channel, &bob, "another");
        world.call(&edit(&channel, &bob, &id, "secret edit")).unwrap();
        world.call(&edit(&channel, &bob, &other, "another edit")).unwrap();
        world.take_events();
        assert!(world.stored_texts(&channel, &id).contains("secret title"));
        world.advance_ms(9);
        world.call(&redact(&channel, &ana, &id)).unwrap();
        let event = world.take_full_events().pop().unwrap();
        assert_eq!(event.kind.as_str(), "REDACT_CHANNEL_MESSAGE");
        let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
        assert_eq!((&payload["Redacted"], &payload["Sender"]["Name"]), (&true.into(), &"Bob".into()));
        for erased in ["Content", "Metadata", "MessageAttributes"] {
            assert_eq!(payload.get(erased), None, "{erased}");
        }
        let stored = world.stored_texts(&channel, &id);
        assert!(!stored.contains("secret"), "{stored}");
        assert!(stored.contains("another edit") && stored.contains("\"another\""), "{stored}");
        let get = GetChannelMessage {
            channel_arn: channel,
            message_id: id,
            chime_bearer: bob,
            sub_channel_id: None,
        };
        let message = world.call(&get).unwrap().channel_message;
        assert_eq!((message.content, message.metadata, message.message_attributes), (None, None, None));
        assert!(message.redacted);
        assert_eq!(message.last_updated_timestamp, START.plus_ms(9));
        assert_eq!(message.last_edited_timestamp, Some(START), "a redaction is not an edit");
    }

    #[engine_test]
    fn members_redact_their_own_and_whoever_moderates_what_they_see(world: &mut World) {
        let (ana, bob, cy, admin) =
            (world.user("ana"), world.user("bob"), world.user("cy"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        world.join(&channel, &ana, &cy);
        let ids = ["1", "2", "3"].map(|content| world.send(&channel, &bob, content));
        let whisper = world.send_to(&channel, &bob, "Psst", &cy);
        world.told();
        assert_eq!(world.call(&redact(&channel, &cy, &ids[0])).unwrap_err().code, ErrorCode::Forbidden);
        for (who, id) in [&bob, &ana, &admin].into_iter().zip(&ids) {
            world.call(&redact(&channel, who, id)).unwrap();
        }
        let members = vec!["ana", "bob", "cy"];
        assert_eq!(world.told(), [members.clone(), members.clone(), members]);
        for who in [&ana, &admin, &cy] {
            let refused = world.call(&redact(&channel, who, &whisper)).unwrap_err();
            assert_eq!(refused.code, ErrorCode::Forbidden, "not theirs to see, or not theirs");
        }
        world.call(&redact(&channel, &bob, &whisper)).unwrap();
        assert_eq!(world.told(), [vec!["bob", "cy"]]);
    }

    #[engine_test]
    fn a_redacted_message_stays_as_it_is(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let id = world.send(&channel, &ana, "Oops");
        world.call(&redact(&channel, &ana, &id)).unwrap();
        assert_eq!(world.call(&redact(&channel, &ana, &id)).unwrap_err().code, ErrorCode::Conflict);
        assert_eq!(world.call(&edit(&channel, &ana, &id, "Again")).unwrap_err().code, ErrorCode::Conflict);
    }

    #[engine_test]
    fn a_message_that_failed_is_not_redacted_and_others_do_not_know_it(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        let id = world.send_failing(&channel, &ana, &bob, "Lost");
        assert_eq!(world.call(&redact(&channel, &bob, &id)).unwrap_err().code, ErrorCode::Conflict);
        assert_eq!(world.call(&redact(&channel, &ana, &id)).unwrap_err().code, ErrorCode::Forbidden);
    }
}
