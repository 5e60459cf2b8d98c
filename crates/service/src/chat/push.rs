//! Push notifications: what waits to be handed to push services.
//!
//! A message that is sent with a notification leaves one row, whatever the number of those whom it is for. Whoever
//! hands it over walks through them (`front::push`), page by page beside the sends, and keeps in the row how far that
//! has come. One device that could not be reached waits as a row of its own.

use carillon_model::arn::IdentityArn;
use carillon_model::channel::Channel;
use carillon_model::message::{Attributes, Message};
use carillon_model::text::{PushNotificationBody, PushNotificationTitle, PushNotificationType};
use carillon_model::{ChannelArn, Key, Timestamp};
use carillon_store::Tx;
use carillon_store::outgoing::{self, Outgoing, Place};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::shapes::PushNotificationConfiguration;

/// The queue of messages whose members are to be notified, and what the queues of single devices begin with: a space
/// and their target follow.
pub const QUEUE: &str = "push";

/// What devices are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The channel.
    pub channel_arn: ChannelArn,
    /// The message, as its id is spelt.
    pub message_id: String,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
    /// Whether it is a call.
    pub voip: bool,
    /// Whose message it is; nothing in what an earlier version left.
    #[serde(default)]
    pub sender: Option<Key>,
}

/// A message whose members are to be notified, as it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FanOut {
    pub(crate) notice: Notice,
    pub(crate) channel: Key,
    /// The sub-channel; of an ordinary channel, the channel itself.
    pub(crate) place: Key,
    /// The one member that it is for.
    pub(crate) target: Option<Key>,
    /// What filters go by.
    pub(crate) attributes: Option<Attributes>,
    /// The member up to whom all were notified.
    pub(crate) after: Option<Key>,
}

/// A device that could not be reached, as it waits to be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Single {
    pub(crate) notice: Notice,
    pub(crate) user: IdentityArn,
    pub(crate) owner: Key,
    pub(crate) endpoint: Key,
    /// Not before this is it tried.
    pub(crate) due_at: Timestamp,
}

/// Lets a message that became SENT be pushed, in the transaction that sends it.
pub(crate) fn queue(
    tx: &mut Tx,
    channel: &Channel,
    message: &Message,
    push: &PushNotificationConfiguration,
) -> Result<()> {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let fan_out = FanOut {
        notice: Notice {
            channel_arn: channel.arn.clone(),
            message_id: message.key.to_string(),
            title: text(push.title.as_ref().map(PushNotificationTitle::as_str)),
            body: text(push.body.as_ref().map(PushNotificationBody::as_str)),
            voip: push.kind == Some(PushNotificationType::Voip),
            sender: Some(message.sender.key),
        },
        channel: channel.key,
        place: message.sub_channel,
        target: message.target.as_ref().map(|target| target.key),
        attributes: message.attributes.clone(),
        after: None,
    };
    let body = serde_json::to_string(&fan_out).expect("texts always serialize");
    let place = Place { channel: channel.key, sequence: channel.sequence, part: 0 };
    Ok(outgoing::insert(tx, QUEUE, &Outgoing { place, at: channel.clock, body })?)
}
