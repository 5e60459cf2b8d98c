//! `GetChannelMessage`: one message. Its sender sees it however far it has come, others once it was SENT.
//!
//! A NON_PERSISTENT message is not kept; but while it is in a flow its sender sees it, because clients fetch what they
//! were told is PENDING.

use carillon_model::message::Message;

use crate::chat::retention::seen_key;
use crate::prelude::*;

/// The request.
#[operation(GET "/channels/{channelArn}/messages/{messageId}" => 200, Got)]
#[errors(BadRequest, NotFound)]
#[bearer]
pub struct GetChannelMessage {
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
    /// The message.
    pub channel_message: ChannelMessage,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator, Grant::AnyMember, Grant::OutsiderIfPublic]);

impl Read for GetChannelMessage {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Got> {
        let view = call.view_channel(tx, &self.channel_arn, RULE)?;
        let sub_channel = view.readable_sub_channel(tx, call, self.sub_channel_id.as_ref())?;
        let instance = self.channel_arn.app_instance();
        // A message that is not for the caller is as absent as one that never was.
        let message = match seen_key(view.retention, &self.message_id, call.now) {
            Some(key) => find(tx, &instance, (sub_channel, key), view.caller.key)?,
            None => None,
        };
        let message = message.ok_or_else(|| Error::not_found("MessageId: the message does not exist"))?;
        Ok(Got { channel_message: ChannelMessage::new(&self.channel_arn, message) })
    }
}

/// The message as its viewer sees it.
fn find(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    (sub_channel, key): (Key, MessageKey),
    viewer: Key,
) -> Result<Option<Message>> {
    if let Some(message) = store::message::find(tx, instance, sub_channel, key)? {
        return crate::chat::seen::message(tx, instance, message, viewer);
    }
    let in_flight = store::in_flight::find_of_message(tx, instance, sub_channel, key)?;
    let own = in_flight.filter(|one| one.sender.key == viewer && one.status == ChannelMessageStatus::Pending);
    Ok(own.map(|one| one.as_said()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_message_is_for_those_who_can_see_it(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        let all = world.send(&channel, &ana, "Lunch?");
        let one = world.send_to(&channel, &ana, "Psst", &bob);
        let ghost = world.admin("root");
        let mut get = |id: &MessageId, who: &IdentityArn| {
            let (channel_arn, message_id) = (channel.clone(), id.clone());
            let get = GetChannelMessage {
                channel_arn,
                message_id,
                chime_bearer: who.clone(),
                sub_channel_id: None,
            };
            world.call(&get).map(|got| got.channel_message).map_err(|refused| refused.code)
        };
        let message = get(&all, &bob).unwrap();
        assert_eq!(message.content.unwrap().as_str(), "Lunch?");
        assert_eq!((message.sender.arn, message.status.value), (ana.clone(), ChannelMessageStatus::Sent));
        assert_eq!((message.created_timestamp, message.redacted), (START, false));
        assert_eq!(get(&one, &bob).unwrap().target.unwrap()[0].member_arn, Some(bob.clone()));
        assert!(get(&one, &ana).is_ok());
        assert_eq!(get(&one, &ghost), Err(ErrorCode::NotFound), "an administrator is not the target");
        assert_eq!(get(&all, &cy), Err(ErrorCode::Forbidden));
        assert_eq!(get(&text("nonsense"), &ana), Err(ErrorCode::NotFound));
    }
}
