//! What a user or bot sees of messages: the one rule behind `GetChannelMessage`, `ListChannelMessages` and
//! prefetch.
//!
//! The sender sees a message however far it has come, and an edit that is in a flow or failed there in place of what
//! it is to replace. Everyone else sees what was released, as SENT, and nothing of what the flow does with it.

use carillon_model::message::Message;
use carillon_model::text::ChannelMessageStatus;
use carillon_model::{AppInstanceArn, Key};
use carillon_store::{self as store, Tx};

use crate::error::Result;

/// The message as this user or bot sees it; nothing where they do not.
pub(crate) fn message(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    mut message: Message,
    viewer: Key,
) -> Result<Option<Message>> {
    if !message.is_shown_to(viewer) {
        return Ok(None);
    }
    if message.status == ChannelMessageStatus::Sent || !message.released {
        return Ok(Some(message));
    }
    if message.sender.key != viewer {
        (message.status, message.status_detail) = (ChannelMessageStatus::Sent, None);
        return Ok(Some(message));
    }
    let edit = store::in_flight::find_of_message(tx, instance, message.sub_channel, message.key)?;
    Ok(Some(edit.map_or(message, |edit| edit.as_said())))
}

/// Those of the messages that this user or bot sees, as they see them.
pub(crate) fn messages(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    messages: Vec<Message>,
    viewer: Key,
) -> Result<Vec<Message>> {
    let mut seen = Vec::with_capacity(messages.len());
    for one in messages {
        seen.extend(message(tx, instance, one, viewer)?);
    }
    Ok(seen)
}
