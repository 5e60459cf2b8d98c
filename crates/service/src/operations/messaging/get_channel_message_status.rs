//! `GetChannelMessageStatus`: how far a message has come, for the one who sent it.
//!
//! It lets a sender whose socket was down learn the outcome. Whoever else asks, whatever their role, is told
//! what they would be told of a message that never was. It is one read by the primary key, whose cost does not
//! grow with the channel's history. Only of a message that is not kept it is a second one: while it is in a flow, and
//! until the flow's window is over, its outcome is known.

use carillon_store::in_flight::Outcome;
use carillon_store::message::Status;

use crate::chat::retention::seen_key;
use crate::patience::CALLBACK_WINDOW_MS;
use crate::prelude::*;

/// The request.
#[operation(GET "/channels/{channelArn}/messages/{messageId}?scope=message-status" => 200, Got)]
#[errors(BadRequest)]
#[bearer]
pub struct GetChannelMessageStatus {
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

/// The answer.
#[shape]
pub struct Got {
    /// The status.
    pub status: ChannelMessageStatusStructure,
}

/// One's own messages one may ask about after leaving the channel, too.
const RULE: Rule = Rule(&[Grant::Anyone]);

impl Read for GetChannelMessageStatus {
    fn look(&self, call: &Call) -> Option<Look> {
        let place = match &self.sub_channel_id {
            Some(id) => Some(Key::from_hex(id.as_str())?),
            None => None,
        };
        Some(call.look(&self.channel_arn)?.and_status(place, MessageKey::from_hex(self.message_id.as_str())?))
    }

    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Got> {
        let view = call.view_channel(tx, &self.channel_arn, RULE)?;
        let sub_channel = view.readable_sub_channel(tx, call, self.sub_channel_id.as_ref())?;
        let found = match seen_key(view.retention, &self.message_id, call.now) {
            Some(key) => find(tx, call.now, sub_channel, key)?,
            None => None,
        };
        let own = found.filter(|found| found.sender == view.caller.key);
        let own =
            own.ok_or_else(|| Error::forbidden("The message does not exist, or the bearer did not send it"))?;
        Ok(Got { status: ChannelMessageStatusStructure { value: own.status, detail: own.detail } })
    }
}

/// How far a message has come. A new one that was denied has left no trace.
fn find(tx: &mut Tx, now: Timestamp, sub_channel: Key, key: MessageKey) -> Result<Option<Status>> {
    if let Some(kept) = store::message::find_status(tx, sub_channel, key)? {
        return Ok(Some(kept));
    }
    if key.created().plus_ms(CALLBACK_WINDOW_MS) <= now {
        return Ok(None);
    }
    let outcome = store::in_flight::find_outcome(tx, sub_channel, key)?;
    let told = outcome.filter(|outcome| {
        outcome.persistence == ChannelMessagePersistenceType::NonPersistent
            && outcome.status != ChannelMessageStatus::Denied
    });
    Ok(told.map(|Outcome { sender, status, detail, .. }| Status { sender, status, detail }))
}

#[cfg(test)]
mod tests {
    use super::super::send_channel_message::SendChannelMessage;
    use super::*;
    use crate::testing::*;

    fn status(
        world: &mut World,
        channel: &ChannelArn,
        id: &MessageId,
        who: &IdentityArn,
    ) -> std::result::Result<ChannelMessageStatus, ErrorCode> {
        let (channel_arn, message_id) = (channel.clone(), id.clone());
        let ask = GetChannelMessageStatus {
            channel_arn,
            message_id,
            chime_bearer: who.clone(),
            sub_channel_id: None,
        };
        world.call(&ask).map(|got| got.status.value).map_err(|refused| refused.code)
    }

    #[engine_test]
    fn only_the_sender_may_ask_and_still_after_leaving(world: &mut World) {
        let (ana, bob, admin) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        let sent = world.send(&channel, &bob, "Here");
        let to_ana = world.send_to(&channel, &bob, "Psst", &ana);
        for id in [&sent, &to_ana] {
            assert_eq!(status(world, &channel, id, &bob), Ok(ChannelMessageStatus::Sent));
            assert_eq!(status(world, &channel, id, &ana), Err(ErrorCode::Forbidden));
            assert_eq!(status(world, &channel, id, &admin), Err(ErrorCode::Forbidden));
        }
        world.leave(&channel, &bob);
        assert_eq!(status(world, &channel, &sent, &bob), Ok(ChannelMessageStatus::Sent));
        for unknown in ["nonsense", &"0".repeat(64)] {
            assert_eq!(status(world, &channel, &text(unknown), &bob), Err(ErrorCode::Forbidden));
        }
        let other = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        assert_eq!(status(world, &other, &sent, &bob), Err(ErrorCode::Forbidden));
        let nobody = world.instance().user("nobody");
        assert_eq!(status(world, &channel, &sent, &nobody), Err(ErrorCode::Unauthorized));
    }

    #[engine_test]
    fn what_was_never_stored_has_no_status_and_a_stored_control_message_has(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let mut send = message_request(&channel, &ana, "typing");
        send.kind = ChannelMessageType::Control;
        for (persistence, expected) in [
            (ChannelMessagePersistenceType::NonPersistent, Err(ErrorCode::Forbidden)),
            (ChannelMessagePersistenceType::Persistent, Ok(ChannelMessageStatus::Sent)),
        ] {
            let token = text(persistence.as_str());
            let send = SendChannelMessage { persistence, client_request_token: token, ..send.clone() };
            let id = world.call(&send).unwrap().message_id;
            assert_eq!(status(world, &channel, &id, &ana), expected);
        }
    }

    #[engine_test]
    fn a_failure_says_which_processor_and_why(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let sent = world.send_failing(&channel, &ana, &ana, "Here");
        assert_eq!(status(world, &channel, &sent, &ana), Ok(ChannelMessageStatus::Failed));
        let (channel_arn, message_id) = (channel.clone(), sent.clone());
        let ask =
            GetChannelMessageStatus { channel_arn, message_id, chime_bearer: ana, sub_channel_id: None };
        let detail = world.call(&ask).unwrap().status.detail.unwrap();
        assert_eq!(detail.as_str(), "The processor Moderate could not be called: not reachable");
    }

    #[engine_test]
    fn a_sub_channel_is_named_where_there_are_some_and_nowhere_else(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let plain = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let sent = world.send(&plain, &ana, "Here");
        let elastic = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let place = world.join(&elastic, &ana, &bob).unwrap();
        let send = SendChannelMessage {
            sub_channel_id: Some(place.clone()),
            ..message_request(&elastic, &bob, "Here")
        };
        let inside = world.call(&send).unwrap();
        assert_eq!(inside.sub_channel_id, Some(place.clone()));
        let mut ask =
            |channel: &ChannelArn, who: &IdentityArn, id: &MessageId, place: Option<&SubChannelId>| {
                let ask = GetChannelMessageStatus {
                    channel_arn: channel.clone(),
                    message_id: id.clone(),
                    chime_bearer: who.clone(),
                    sub_channel_id: place.cloned(),
                };
                world.call(&ask).map(|got| got.status.value).map_err(|refused| refused.code)
            };
        assert_eq!(ask(&plain, &ana, &sent, Some(&place)), Err(ErrorCode::BadRequest));
        assert_eq!(ask(&elastic, &bob, &inside.message_id, None), Err(ErrorCode::BadRequest));
        assert_eq!(ask(&elastic, &bob, &inside.message_id, Some(&place)), Ok(ChannelMessageStatus::Sent));
        let elsewhere = text(&"0".repeat(32));
        assert_eq!(ask(&elastic, &bob, &inside.message_id, Some(&elsewhere)), Err(ErrorCode::Forbidden));
    }
}
