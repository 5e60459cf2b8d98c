//! `ChannelFlowCallback`: a processor lets one message pass, changes it, or takes it out.
//!
//! The first callback that is accepted decides; its effects are one transaction, so a repetition after a lost answer
//! finds the message no longer pending, and two at once cannot both be first. A processor cannot move a message: who
//! sent it, to whom, and where are not its to change.

use carillon_model::channel::Channel;
use carillon_model::channel_flow::{FlowPhase, InFlight, Revision};

use carillon_store::in_flight::Supposed;

use crate::chat::content;
use crate::chat::flow::{self, no_message};
use crate::chat::retention::seen_since;
use crate::operation::GoesBy;
use crate::patience::CALLBACK_WINDOW_MS;
use crate::prelude::*;

/// The request.
#[operation(POST "/channels/{channelArn}?operation=channel-flow-callback" => 200, Accepted)]
#[errors(BadRequest, Conflict)]
pub struct ChannelFlowCallback {
    /// The name of the call that is answered.
    pub callback_id: CallbackIdType,
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Whether the message is denied.
    pub delete_resource: Option<bool>,
    /// The message, as it goes on.
    pub channel_message: ChannelMessageCallback,
}

/// The answer.
#[shape]
pub struct Accepted {
    /// Where.
    pub channel_arn: ChannelArn,
    /// The name of the call that was answered.
    pub callback_id: CallbackIdType,
}

impl Write for ChannelFlowCallback {
    /// Whether the callback is awaited.
    const GOES_BY: Option<GoesBy<Self>> = Some(|asked, tx| {
        let Some(keys) = InFlight::callback_keys(asked.callback_id.as_str()) else { return Ok(None) };
        Ok(store::in_flight::find_awaited(tx, &asked.channel_arn, keys)?)
    });

    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Accepted> {
        let denied = self.delete_resource == Some(true);
        if !denied {
            self.check(call)?;
        }
        let (mut channel, mut one) = self.find(tx, call)?;
        let supposed = Supposed::of(&one);
        if denied {
            flow::deny(tx, call, &mut channel, &mut one)?;
        } else {
            let revised = self.revise(one.current());
            flow::accept(tx, call, &mut channel, &mut one, revised)?;
            flow::go_on(tx, call, &mut channel, &mut one)?;
        }
        // Another node may be noting at this moment that the call was taken, or making it again.
        store::in_flight::suppose(tx, &one, supposed)?;
        let (channel_arn, callback_id) = (self.channel_arn.clone(), self.callback_id.clone());
        Ok(Accepted { channel_arn, callback_id })
    }
}

impl ChannelFlowCallback {
    /// The limits of what a processor may say are those of what a sender may.
    fn check(&self, call: &Call) -> Result<()> {
        let message = &self.channel_message;
        let said = message.content.as_ref().map_or("", NonEmptyContent::as_str);
        content::check(call, ChannelMessageType::Standard, said, message.metadata.as_ref())?;
        content::check_attributes(message.message_attributes.as_ref())
    }

    /// The message that waits for this callback.
    fn find(&self, tx: &mut Tx, call: &Call) -> Result<(Channel, InFlight)> {
        let instance = self.channel_arn.app_instance();
        let unknown = || Error::forbidden("CallbackId: no such callback is awaited in this channel");
        let channel = store::channel::find_by_arn(tx, &self.channel_arn)?.ok_or_else(unknown)?;
        let (run, secret) = InFlight::callback_keys(self.callback_id.as_str()).ok_or_else(unknown)?;
        let one = store::in_flight::find(tx, &instance, channel.key, run)?.ok_or_else(unknown)?;
        let answered = one.answered.contains(&secret);
        if !answered && one.secret != secret {
            return Err(unknown());
        }
        if one.message.to_string() != self.channel_message.message_id.as_str() {
            return Err(Error::bad_request(
                "MessageId: is not of the message that the CallbackId was given for",
            ));
        }
        self.check_sub_channel(&one)?;
        let over = answered || one.phase == FlowPhase::End;
        if over && call.went_by().is_some() {
            return Err(faster());
        }
        if over && call.now < one.accepted_at.plus_ms(CALLBACK_WINDOW_MS) {
            return Err(Error::bad_request("CallbackId: the message is no longer pending"));
        }
        let late = one.phase == FlowPhase::Wait && one.due_at <= call.now;
        let since = seen_since(tx, &instance, call.now)?;
        let hidden = since.is_some_and(|since| one.message.created() < since);
        if over || late || hidden || !is_there(tx, &one)? {
            return Err(no_message());
        }
        Ok((channel, one))
    }

    fn check_sub_channel(&self, one: &InFlight) -> Result<()> {
        let named = self.channel_message.sub_channel_id.as_ref();
        let own = sub_channel_id(one.channel, one.sub_channel);
        if named.is_none_or(|named| own.as_ref() == Some(named)) {
            Ok(())
        } else {
            Err(Error::bad_request("SubChannelId: is not where the message is"))
        }
    }

    /// What the processor made of the message; nothing where it changed nothing.
    fn revise(&self, current: &Revision) -> Option<Revision> {
        let said = &self.channel_message;
        let mut revision = current.clone();
        if let Some(content) = &said.content {
            revision.content = Some(Content::stored(content.as_str().to_owned()));
        }
        if said.metadata.is_some() {
            revision.metadata = shown(said.metadata.clone());
        }
        if let Some(kind) = &said.content_type {
            revision.content_type = Some(kind.clone()).filter(|kind| !kind.as_str().is_empty());
        }
        if let Some(map) = &said.message_attributes {
            revision.attributes = Some(attributes(map)).filter(|map| !map.is_empty());
        }
        if let Some(push) = &said.push_notification {
            revision.push_notification = Some(serde_json::to_string(push).expect("texts always serialize"));
        }
        Some(revision).filter(|revision| revision != current)
    }
}

fn faster() -> Error {
    Error::conflict("CallbackId: another callback was faster")
}

/// Whether a message that is kept was not destroyed meanwhile, with its sub-channel perhaps.
fn is_there(tx: &mut Tx, one: &InFlight) -> Result<bool> {
    let kept = one.persistence == ChannelMessagePersistenceType::Persistent;
    Ok(!kept || store::message::find_status(tx, one.sub_channel, one.message)?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_callback_that_nobody_awaits_is_forbidden_once_its_form_is_right(world: &mut World) {
        let ana = world.user("ana");
        let channel_arn = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let message_id = world.send(&channel_arn, &ana, "Hello");
        let mut callback = ChannelFlowCallback {
            callback_id: text(&"c".repeat(32)),
            channel_arn,
            delete_resource: None,
            channel_message: ChannelMessageCallback {
                message_id,
                content: Some(text(&"x".repeat(4_096))),
                metadata: None,
                push_notification: None,
                message_attributes: None,
                sub_channel_id: None,
                content_type: None,
            },
        };
        assert_eq!(world.call(&callback).unwrap_err().code, ErrorCode::Forbidden);
        callback.channel_message.content = Some(text(&"x".repeat(4_097)));
        assert_eq!(world.call(&callback).unwrap_err().code, ErrorCode::BadRequest);
        callback.delete_resource = Some(true);
        assert_eq!(world.call(&callback).unwrap_err().code, ErrorCode::Forbidden, "the rest is ignored");
    }
}
