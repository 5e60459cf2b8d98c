//! Channel flows: the processors that a message passes before the channel sees it.

use serde::{Deserialize, Serialize};

use crate::arn::ChannelFlowArn;
use crate::key::Key;
use crate::text::{
    ChannelFlowExecutionOrder, FallbackAction, InvocationType, LambdaFunctionArn, NonEmptyResourceName,
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
