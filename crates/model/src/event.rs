//! What happened, for everyone who watches: the event of one committed change.
//!
//! An event is made in the transaction that made the change, stored in its outbox, and delivered after the
//! commit. What is said, and to whom, stands with its noun: `message`, `membership`, `channel`, `person`.
//! So a new type of event is a line of [`EventType`] and a function there, and nothing that follows events is
//! touched: [`Event::frame`] makes the wire form of all of them, [`Event::steps`] says of all who is told, and what
//! changes about that.

mod audience;
mod change;
mod channel;
mod details;
mod frame;
mod id;
mod membership;
mod message;
mod person;
mod read_markers;
mod record;
mod seats;

pub use audience::Audience;
pub use change::Change;
pub use channel::ChannelShown;
pub use details::ChannelDetails;
pub use frame::{reload_required, session_established};
pub use id::EventId;
pub use read_markers::ReadMarkers;
pub use record::channel_of_record;
pub use seats::{Seats, Step, named};

use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::key::{Key, MessageKey};
use crate::timestamp::Timestamp;

crate::choice! {
    /// The types of event, as the wire names them.
    EventType {
        /// Several joined or were added at once.
        BatchCreateChannelMembership = "BATCH_CREATE_CHANNEL_MEMBERSHIP",
        /// A new message waits for its channel flow. Like all of a flow's doings, only its sender is told.
        PendingCreateChannelMessage = "PENDING_CREATE_CHANNEL_MESSAGE",
        /// An edit waits for the channel flow.
        PendingUpdateChannelMessage = "PENDING_UPDATE_CHANNEL_MESSAGE",
        /// A new message failed in the flow.
        FailedCreateChannelMessage = "FAILED_CREATE_CHANNEL_MESSAGE",
        /// An edit failed in the flow.
        FailedUpdateChannelMessage = "FAILED_UPDATE_CHANNEL_MESSAGE",
        /// A processor of the flow denied a new message.
        DeniedCreateChannelMessage = "DENIED_CREATE_CHANNEL_MESSAGE",
        /// A processor of the flow denied an edit.
        DeniedUpdateChannelMessage = "DENIED_UPDATE_CHANNEL_MESSAGE",
        /// A message was sent.
        CreateChannelMessage = "CREATE_CHANNEL_MESSAGE",
        /// A message was edited by its sender.
        UpdateChannelMessage = "UPDATE_CHANNEL_MESSAGE",
        /// What a message said was erased.
        RedactChannelMessage = "REDACT_CHANNEL_MESSAGE",
        /// A message was taken away.
        DeleteChannelMessage = "DELETE_CHANNEL_MESSAGE",
        /// Someone joined or was added.
        CreateChannelMembership = "CREATE_CHANNEL_MEMBERSHIP",
        /// A channel was deleted, or expired.
        DeleteChannel = "DELETE_CHANNEL",
        /// Someone left or was removed.
        DeleteChannelMembership = "DELETE_CHANNEL_MEMBERSHIP",
        /// What is recorded of a channel changed.
        UpdateChannel = "UPDATE_CHANNEL",
        /// A user or a bot was deleted, or expired. No socket is told: those of the user end.
        DeleteAppInstanceUser = "DELETE_APP_INSTANCE_USER",
        /// Balancing moved a member of an elastic channel to another sub-channel.
        UpdateChannelMembership = "UPDATE_CHANNEL_MEMBERSHIP",
        /// A sub-channel came into being. No socket is told, only streams.
        CreateSubChannel = "CREATE_SUB_CHANNEL",
        /// A sub-channel is no more. No socket is told, only streams.
        DeleteSubChannel = "DELETE_SUB_CHANNEL",
        /// A channel came into being. Like all that follow, only streams are told, and the outbox does not hold it.
        CreateChannel = "CREATE_CHANNEL",
        /// When a channel goes away by itself was settled. Sockets are told that the channel changed.
        UpdateChannelExpirationSettings = "UPDATE_CHANNEL_EXPIRATION_SETTINGS",
        /// Someone became a moderator.
        CreateChannelModerator = "CREATE_CHANNEL_MODERATOR",
        /// Someone is a moderator no more.
        DeleteChannelModerator = "DELETE_CHANNEL_MODERATOR",
        /// Someone was banned.
        CreateChannelBan = "CREATE_CHANNEL_BAN",
        /// A ban was lifted.
        DeleteChannelBan = "DELETE_CHANNEL_BAN",
    }
    /// Why something happened, where the wire says it.
    EventReason {
        /// Balancing dissolved the sub-channel of a membership.
        SubChannelDeleted = "subchannel_DELETED",
    }
    /// What an event is about.
    EventMessageType {
        /// A STANDARD message.
        Standard = "STANDARD",
        /// A CONTROL message.
        Control = "CONTROL",
        /// Anything else.
        System = "SYSTEM",
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The channel that it happened in; the user, where it happened to a user and in no channel.
    pub channel: Key,
    /// Its number in the channel: each is greater than the one before.
    pub sequence: i64,
    /// When it happened, by the channel's clock.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventType,
    /// What it is about.
    pub message_type: EventMessageType,
    /// Who is told.
    pub audience: Audience,
    /// What it changes about who is told of later events.
    pub changes: Vec<Change>,
    /// The message that it changed, so that redaction finds it. The event of a new message needs none: it has the
    /// number that the message's key holds.
    pub message: Option<MessageKey>,
    /// Why it happened, where the wire says it.
    pub reason: Option<EventReason>,
    /// The payload: a JSON object. Whoever passes an event on passes it beside the rest, as the text that it is.
    #[serde(skip)]
    pub payload: String,
}

impl Event {
    fn new(
        channel: &Channel,
        kind: EventType,
        message_type: EventMessageType,
        audience: Audience,
        payload: String,
    ) -> Self {
        let (sequence, at) = (channel.sequence, channel.clock);
        Self {
            channel: channel.key,
            sequence,
            at,
            kind,
            message_type,
            audience,
            changes: Vec::new(),
            message: None,
            reason: None,
            payload,
        }
    }
}

/// The `SubChannelId` of a sub-channel: its key. An ordinary channel, its own only sub-channel, shows none.
fn sub_channel_id(channel: Key, sub_channel: Key) -> Option<String> {
    (sub_channel != channel).then(|| sub_channel.to_string())
}
