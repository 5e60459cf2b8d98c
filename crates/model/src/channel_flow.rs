//! Channel flows: the processors that a message passes before the channel sees it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::arn::ChannelFlowArn;
use crate::identity::Identity;
use crate::key::{Key, MessageKey};
use crate::message::{Attributes, Message};
use crate::text::{
    ChannelFlowExecutionOrder, ChannelMessagePersistenceType, ChannelMessageStatus, ChannelMessageType,
    Content, ContentType, FallbackAction, InvocationType, LambdaFunctionArn, MessageMetadata,
    NonEmptyResourceName, StatusDetail,
};
use crate::timestamp::Timestamp;

/// A channel flow, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelFlow {
    /// Its key, which the id in its ARN spells.
    pub key: Key,
    /// Its ARN.
    pub arn: ChannelFlowArn,
    /// Its name.
    pub name: NonEmptyResourceName,
    /// Its processors, as they were given.
    pub processors: Vec<Processor>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// One function that a message passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Processor {
    /// Its name.
    pub name: NonEmptyResourceName,
    /// The function.
    pub function: LambdaFunctionArn,
    /// How the function is called.
    pub invocation: InvocationType,
    /// Its place among the processors of the flow.
    pub order: ChannelFlowExecutionOrder,
    /// What happens to a message when the function cannot be reached.
    pub fallback: FallbackAction,
}

crate::choice! {
    /// What a flow is asked to let pass.
    FlowOperation {
        /// A new message.
        Create = "CREATE",
        /// An edit of one that was sent.
        Update = "UPDATE",
    }
    /// What a message in a flow waits for.
    FlowPhase {
        /// That its processor is called.
        HandOver = "HAND_OVER",
        /// That its processor calls back.
        Wait = "WAIT",
        /// Nothing: the flow is over, and what is left is its outcome.
        End = "END",
    }
}

/// What processors see and may change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// What the message says.
    pub content: Option<Content>,
    /// What the application wrote on it.
    pub metadata: Option<MessageMetadata>,
    /// What the content is.
    pub content_type: Option<ContentType>,
    /// What the application attached.
    pub attributes: Option<Attributes>,
    /// What its push notification will say, as JSON.
    pub push_notification: Option<String>,
}

/// One create or update of a message, in a flow. A message has one at most.
///
/// It holds the processors as they were when it was accepted: what is done to the flow later does not concern it.
#[derive(Debug, Clone, PartialEq)]
pub struct InFlight {
    /// The channel.
    pub channel: Key,
    /// Its name, with which every `CallbackId` of its processors begins.
    pub run: Key,
    /// The sub-channel; of an ordinary channel, the channel itself.
    pub sub_channel: Key,
    /// The message.
    pub message: MessageKey,
    /// What is asked.
    pub operation: FlowOperation,
    /// Whether the message is kept.
    pub persistence: ChannelMessagePersistenceType,
    /// Who sent it.
    pub sender: Identity,
    /// The one member, beside the sender, that may see it.
    pub target: Option<Identity>,
    /// What the sender said.
    pub said: Revision,
    /// What processors made of it.
    pub revised: Option<Revision>,
    /// The processors, in their order.
    pub processors: Vec<Processor>,
    /// Which of them has it.
    pub stage: usize,
    /// What the `CallbackId` of this stage ends with: a processor does not know those of the others.
    pub secret: Key,
    /// What the callback ids that were answered ended with.
    pub answered: Vec<Key>,
    /// What it waits for.
    pub phase: FlowPhase,
    /// How far it has come.
    pub status: ChannelMessageStatus,
    /// Why.
    pub detail: Option<StatusDetail>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When its status last changed.
    pub updated_at: Timestamp,
    /// Calls of this stage's processor that failed.
    pub attempts: i64,
    /// When the first of them began.
    pub tried_since: Option<Timestamp>,
    /// When something is to be done: a call, the end of a wait, the end of an outcome.
    pub due_at: Timestamp,
}

impl InFlight {
    /// What the next processor is given, and the channel if none is left.
    pub fn current(&self) -> &Revision {
        self.revised.as_ref().unwrap_or(&self.said)
    }

    /// The processor that has it.
    pub fn processor(&self) -> Option<&Processor> {
        self.processors.get(self.stage)
    }

    /// The name of the call of this stage.
    pub fn callback_id(&self) -> String {
        format!("{}{}", self.run, self.secret)
    }

    /// The two halves of a `CallbackId`, if it may be one of ours.
    pub fn callback_keys(id: &str) -> Option<(Key, Key)> {
        let (run, secret) = id.split_at_checked(32)?;
        Some((Key::from_hex(run)?, Key::from_hex(secret)?))
    }

    /// The message with what its sender said, as far as it has come.
    pub fn as_said(&self) -> Message {
        self.message_of(&self.said)
    }

    /// The message as its processors left it, as far as it has come.
    pub fn as_revised(&self) -> Message {
        self.message_of(self.current())
    }

    fn message_of(&self, revision: &Revision) -> Message {
        let edited = self.operation == FlowOperation::Update;
        Message {
            channel: self.channel,
            sub_channel: self.sub_channel,
            key: self.message,
            sender: self.sender.clone(),
            target: self.target.clone(),
            kind: ChannelMessageType::Standard,
            persistence: self.persistence,
            status: self.status,
            status_detail: self.detail.clone(),
            released: edited || self.status == ChannelMessageStatus::Sent,
            content: revision.content.clone(),
            metadata: revision.metadata.clone(),
            content_type: revision.content_type.clone(),
            attributes: revision.attributes.clone(),
            redacted: false,
            edited_at: edited.then_some(self.accepted_at),
            updated_at: self.updated_at,
        }
    }
}

/// Why a processor could not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nobody answered there, or nobody is known there.
    NotReachable,
    /// The function does not exist.
    NotFound,
    /// We may not call it.
    NotPermitted,
    /// It is called too often.
    Throttled,
    /// It took too long.
    TimedOut,
    /// It answered that it failed.
    Refused,
}

/// A call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// Whether the same call will fail again however often it is made.
    pub permanent: bool,
}

/// Why a call was not even made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unasked {
    /// Calls of it keep failing, at last for this reason: none is made but to see whether it is back.
    Closed(Reason),
    /// As many calls of it as may be made at once are under way.
    Full,
}

impl fmt::Display for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(reason) => write!(f, "it keeps failing: {reason}"),
            Self::Full => f.write_str("too many messages wait for it"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotReachable => "not reachable",
            Self::NotFound => "not found",
            Self::NotPermitted => "not permitted",
            Self::Throttled => "throttled",
            Self::TimedOut => "timed out",
            Self::Refused => "answered with an error",
        })
    }
}
