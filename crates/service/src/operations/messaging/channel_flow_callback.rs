//! `ChannelFlowCallback`: a processor's answer about one message.
//!
//! No message is in a flow until flows are run, so no callback is awaited: every id is as unknown as one that was
//! made up.

use super::content;
use crate::operation::prelude::*;

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
    fn run(&self, _: &mut Tx, _: &Call) -> Result<Accepted> {
        if self.delete_resource != Some(true) {
            let message = &self.channel_message;
            let said = message.content.as_ref().map_or("", NonEmptyContent::as_str);
            content::check(ChannelMessageType::Standard, said, message.metadata.as_ref())?;
            content::check_attributes(message.message_attributes.as_ref())?;
        }
        Err(Error::forbidden("CallbackId: no such callback is awaited"))
    }
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
