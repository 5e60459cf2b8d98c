//! A message that was sent, claimed to be changed: what an edit, a redaction and a deletion have in common.

use carillon_model::message::Message;

use crate::chat::retention::seen_key;
use crate::prelude::*;

/// Which message is to be changed.
pub(super) struct Which<'a> {
    pub(super) channel_arn: &'a ChannelArn,
    pub(super) message_id: &'a MessageId,
    pub(super) sub_channel_id: Option<&'a SubChannelId>,
}

impl Which<'_> {
    /// The message, with its channel claimed for one event, for a caller whom the rule admits and whom `judge`
    /// lets change this message. It is judged again under the claim: what another change left is what counts.
    pub(super) fn claim(
        &self,
        tx: &mut Tx,
        call: &Call,
        rule: Rule,
        judge: impl Fn(&View, &Message) -> Result<()>,
    ) -> Result<(View, Message)> {
        let view = call.view_channel(tx, self.channel_arn, rule)?;
        self.get(tx, call, &view, &judge)?;
        let view = call.claim(tx, view, Claim::of(1), rule)?;
        let message = self.get(tx, call, &view, &judge)?;
        Ok((view, message))
    }

    fn get(
        &self,
        tx: &mut Tx,
        call: &Call,
        view: &View,
        judge: &impl Fn(&View, &Message) -> Result<()>,
    ) -> Result<Message> {
        let sub_channel = view.readable_sub_channel(tx, call, self.sub_channel_id)?;
        let instance = self.channel_arn.app_instance();
        let found = match seen_key(view.retention, self.message_id, call.now) {
            Some(key) => store::message::find(tx, &instance, sub_channel, key)?,
            None => None,
        };
        let message = found.ok_or_else(no_message)?;
        judge(view, &message)?;
        Ok(message)
    }
}

/// A message that is not there and one that is not the caller's to change look the same.
pub(super) fn no_message() -> Error {
    Error::forbidden("The message does not exist, or the bearer may not change it")
}

/// Refuses a message that is in a flow, that failed there before anyone saw it, or that says nothing any more. An
/// edit that failed leaves what was SENT before it.
pub(super) fn check_open(message: &Message) -> Result<()> {
    if !message.released || message.status == ChannelMessageStatus::Pending {
        return Err(Error::conflict("MessageId: the message is not SENT"));
    }
    if message.redacted {
        return Err(Error::conflict("MessageId: the message is redacted"));
    }
    Ok(())
}
