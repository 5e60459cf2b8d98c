//! Messages.

use std::collections::BTreeMap;

use crate::identity::Identity;
use crate::key::{Key, MessageKey};
use crate::text::{
    ChannelMessagePersistenceType, ChannelMessageStatus, ChannelMessageType, Content, ContentType,
    MessageAttributeName, MessageAttributeStringValue, MessageMetadata, StatusDetail,
};
use crate::timestamp::Timestamp;

/// The most bytes of the content of a STANDARD message, as published; a setting may allow more.
pub const STANDARD_CONTENT_BYTES_MAX: usize = 4096;
/// The most bytes of the metadata of a message, as published; a setting may allow more.
pub const METADATA_BYTES_MAX: usize = 1024;
/// The most that settings may allow of either.
pub const BYTES_CEILING: usize = 65_536;
/// The most bytes of the content of a CONTROL message.
pub const CONTROL_CONTENT_BYTES_MAX: usize = 30;
/// The most bytes of all attributes of a message together, names and values.
pub const ATTRIBUTES_BYTES_MAX: usize = 1024;

/// What an application attaches to a message for filters and bots: texts under a name.
pub type Attributes = BTreeMap<MessageAttributeName, Vec<MessageAttributeStringValue>>;

/// A message, as its sender and the channel see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The channel.
    pub channel: Key,
    /// The sub-channel; of an ordinary channel, the channel itself.
    pub sub_channel: Key,
    /// Its key, which its `MessageId` spells.
    pub key: MessageKey,
    /// Who sent it.
    pub sender: Identity,
    /// The one member, beside the sender, that may see it.
    pub target: Option<Identity>,
    /// What it is.
    pub kind: ChannelMessageType,
    /// Whether it is kept.
    pub persistence: ChannelMessagePersistenceType,
    /// How far it has come.
    pub status: ChannelMessageStatus,
    /// Why it has this status.
    pub status_detail: Option<StatusDetail>,
    /// Whether the channel has been shown it. An edit in a flow does not take back what was.
    pub released: bool,
    /// What it says; nothing once redacted.
    pub content: Option<Content>,
    /// What the application wrote on it.
    pub metadata: Option<MessageMetadata>,
    /// What the content is.
    pub content_type: Option<ContentType>,
    /// What the application attached.
    pub attributes: Option<Attributes>,
    /// Whether the content was erased.
    pub redacted: bool,
    /// When the content was last edited.
    pub edited_at: Option<Timestamp>,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
}

impl Message {
    /// When it was accepted.
    pub fn created_at(&self) -> Timestamp {
        self.key.created()
    }

    /// How many bytes of texts it has that may be long.
    pub fn text_bytes(&self) -> usize {
        let content = self.content.as_ref().map_or(0, |content| content.as_str().len());
        content + self.metadata.as_ref().map_or(0, |metadata| metadata.as_str().len())
    }

    /// Takes away everything that anyone wrote: content, metadata, attributes. The shell stays.
    pub fn erase(&mut self) {
        (self.content, self.metadata, self.attributes) = (None, None, None);
    }

    /// Whether this user or bot is shown it: its sender however far it has come, others once it was SENT, and
    /// of a targeted one only the target.
    pub fn is_shown_to(&self, identity: Key) -> bool {
        let meant = self.target.as_ref().is_none_or(|target| target.key == identity);
        self.sender.key == identity || (meant && self.released)
    }
}
