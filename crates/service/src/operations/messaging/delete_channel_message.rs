//! `DeleteChannelMessage`: an administrator takes a message away, seen or unseen. It is gone at once.

use carillon_model::event::Event;

use super::existing::{Which, no_message};
use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(DELETE "/channels/{channelArn}/messages/{messageId}" => 204, NoContent)]
#[errors(BadRequest)]
#[bearer]
pub struct DeleteChannelMessage {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Which.
    #[label]
    pub message_id: MessageId,
    /// The sub-channel, in an elastic channel.
    #[query("sub-channel-id")]
    pub sub_channel_id: Option<SubChannelId>,
}

/// Moderators redact; only administrators delete.
const RULE: Rule = Rule(&[Grant::Admin]);

impl Write for DeleteChannelMessage {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        let which = Which {
            channel_arn: &self.channel_arn,
            message_id: &self.message_id,
            sub_channel_id: self.sub_channel_id.as_ref(),
        };
        let (view, mut message) = which.claim(tx, call, RULE, |_, message| {
            // What is in a flow, or failed there before anyone saw it, is known to its sender only.
            let open = message.released && message.status != ChannelMessageStatus::Pending;
            if open { Ok(()) } else { Err(no_message()) }
        })?;
        message.erase();
        (message.status, message.status_detail) = (ChannelMessageStatus::Sent, None);
        message.updated_at = view.channel.clock;
        store::message::delete(tx, &message)?;
        store::in_flight::delete_of_message(tx, message.sub_channel, message.key)?;
        let event = Event::delete_channel_message(&view.channel, &message);
        store::outbox::erase_message(tx, &event)?;
        tx.emit(event)?;
        Ok(NoContent {})
    }
}

#[cfg(test)]
mod tests {
    use super::super::get_channel_message_status::GetChannelMessageStatus;
    use super::super::redact_channel_message::RedactChannelMessage;
    use super::*;
    use crate::testing::*;

    fn delete(channel: &ChannelArn, who: &IdentityArn, id: &MessageId) -> DeleteChannelMessage {
        DeleteChannelMessage {
            channel_arn: channel.clone(),
            message_id: id.clone(),
            chime_bearer: who.clone(),
            sub_channel_id: None,
        }
    }

    #[engine_test]
    fn only_an_administrator_deletes_and_nothing_is_left(world: &mut World) {
        let (ana, bob, admin) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        let id = world.send(&channel, &bob, "secret");
        world.told();
        for who in [&ana, &bob] {
            assert_eq!(world.call(&delete(&channel, who, &id)).unwrap_err().code, ErrorCode::Forbidden);
        }
        assert!(world.take_events().is_empty());
        world.call(&delete(&channel, &admin, &id)).unwrap();
        let event = world.take_full_events().pop().unwrap();
        assert_eq!(event.kind.as_str(), "DELETE_CHANNEL_MESSAGE");
        let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
        assert_eq!(payload.get("Content"), None, "clients show the payload in the message's place");
        assert_eq!((&payload["MessageId"], &payload["Redacted"]), (&id.as_str().into(), &false.into()));
        assert_eq!(payload["Status"], serde_json::json!({ "Value": "SENT" }));
        assert!(world.contents(&channel, &bob).is_empty());
        assert!(!world.stored_texts(&channel, &id).contains("secret"));
        assert_eq!(world.call(&delete(&channel, &admin, &id)).unwrap_err().code, ErrorCode::Forbidden);
        let (channel_arn, message_id) = (channel, id);
        let ask =
            GetChannelMessageStatus { channel_arn, message_id, chime_bearer: bob, sub_channel_id: None };
        assert_eq!(world.call(&ask).unwrap_err().code, ErrorCode::Forbidden);
    }

    #[engine_test]
    fn a_whisper_and_a_redacted_message_are_deleted_too_and_a_failed_one_is_not(world: &mut World) {
        let (ana, bob, admin) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        let whisper = world.send_to(&channel, &ana, "Psst", &bob);
        let redacted = world.send(&channel, &ana, "Oops");
        let redact = RedactChannelMessage {
            channel_arn: channel.clone(),
            message_id: redacted.clone(),
            chime_bearer: ana.clone(),
            sub_channel_id: None,
        };
        world.call(&redact).unwrap();
        let failed = world.send_failing(&channel, &ana, &ana, "Lost");
        world.told();
        for id in [&whisper, &redacted] {
            world.call(&delete(&channel, &admin, id)).unwrap();
        }
        assert_eq!(world.told(), [vec!["ana", "bob"], vec!["ana", "bob"]]);
        assert_eq!(world.call(&delete(&channel, &admin, &failed)).unwrap_err().code, ErrorCode::Forbidden);
    }
}
