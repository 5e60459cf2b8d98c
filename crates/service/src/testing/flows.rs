//! Channel flows, and the processors that a test plays.

use carillon_model::channel_flow::{Failure, Reason, Unasked};
use carillon_model::text::*;
use carillon_model::{ChannelArn, ChannelFlowArn, IdentityArn};
use carillon_store::in_flight::Waiting;

use super::requests::{association, disassociation, flow_request};
use super::{ACCOUNT, REGION, World, futures, text};
use crate::error::ErrorCode;
use crate::front::invocation::Invocation;
use crate::operations::messaging::create_channel_flow::CreateChannelFlow;
use crate::shapes::{ChannelMessageCallback, Processor};

/// What a processor says of a message that it leaves as it is.
pub(crate) fn unchanged(message: &MessageId) -> ChannelMessageCallback {
    ChannelMessageCallback {
        message_id: message.clone(),
        content: None,
        metadata: None,
        push_notification: None,
        message_attributes: None,
        sub_channel_id: None,
        content_type: None,
    }
}

impl World {
    /// A channel flow of one processor.
    pub(crate) fn flow(&mut self) -> ChannelFlowArn {
        self.flow_of(&[FallbackAction::Abort])
    }

    /// A channel flow of a processor with each of these fallbacks.
    pub(crate) fn flow_of(&mut self, fallbacks: &[FallbackAction]) -> ChannelFlowArn {
        let request = flow_request(self);
        let processor = |(order, fallback): (i64, &FallbackAction)| Processor {
            execution_order: order.try_into().unwrap(),
            fallback_action: *fallback,
            ..request.processors[0].clone()
        };
        let processors = (1..).zip(fallbacks).map(processor).collect();
        let create = CreateChannelFlow { client_request_token: self.token(), processors, ..request };
        self.call(&create).unwrap().channel_flow_arn
    }

    /// A channel flow of these functions of the account.
    pub(crate) fn flow_of_functions(&mut self, functions: &[&str]) -> ChannelFlowArn {
        let request = flow_request(self);
        let processor = |(order, function): (i64, &&str)| {
            let mut processor = request.processors[0].clone();
            processor.execution_order = order.try_into().unwrap();
            processor.configuration.lambda.resource_arn =
                text(&format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"));
            processor
        };
        let processors = (1..).zip(functions).map(processor).collect();
        let create = CreateChannelFlow { client_request_token: self.token(), processors, ..request };
        self.call(&create).unwrap().channel_flow_arn
    }

    /// Sends a message that fails in a flow, which the channel has for this message alone.
    pub(crate) fn send_failing(
        &mut self,
        channel: &ChannelArn,
        moderator: &IdentityArn,
        who: &IdentityArn,
        content: &str,
    ) -> MessageId {
        let flow = self.flow();
        self.call(&association(channel, &flow, moderator)).unwrap();
        let id = self.send(channel, who, content);
        let invocation = self.invocations().pop().unwrap();
        assert!(self.fail(&invocation, Failure { reason: Reason::NotReachable, permanent: true }));
        self.call(&disassociation(channel, &flow, moderator)).unwrap();
        id
    }

    /// Leases the calls of processors that are due.
    pub(crate) fn invocations(&mut self) -> Vec<Invocation> {
        let service = self.service.clone();
        let lease = async |function: &str| service.lease_invocations(function, 100).await.unwrap();
        futures(self.leased(lease))
    }

    /// Gives up the calls that nobody could make in time; answers which.
    pub(crate) fn give_up(&mut self, unasked: Unasked) -> Vec<Invocation> {
        let service = self.service.clone();
        let lease = async |function: &str| service.lease_overdue(function, 100).await.unwrap();
        let overdue = futures(self.leased(lease));
        for invocation in &overdue {
            assert!(futures(self.service.not_asked(invocation, unasked)).unwrap());
        }
        overdue
    }

    /// What functions messages wait for, after one.
    pub(crate) fn waiting(&self, after: &str) -> Vec<Waiting> {
        futures(self.service.list_waiting(after, 100)).unwrap()
    }

    /// Leases the calls of one function that are due, up to a limit.
    pub(crate) fn invocations_of(&mut self, function: &str, limit: i64) -> Vec<Invocation> {
        futures(self.service.lease_invocations(function, limit)).unwrap()
    }

    async fn leased(&self, lease: impl AsyncFn(&str) -> Vec<Invocation>) -> Vec<Invocation> {
        let mut leased = Vec::new();
        for waiting in self.service.list_waiting("", 100).await.unwrap() {
            leased.extend(lease(&waiting.function).await);
        }
        leased
    }

    /// Lets a processor that is built in decide about a message that has waited for it.
    pub(crate) fn decide(&mut self, invocation: &Invocation) {
        assert!(self.service.is_built_in(&invocation.function));
        futures(self.service.decide(invocation)).unwrap();
    }

    /// Reports that a processor took its call.
    pub(crate) fn hand_over(&mut self, invocation: &Invocation) {
        self.try_hand_over(invocation).unwrap();
    }

    /// The same, if that may still be reported.
    pub(crate) fn try_hand_over(&mut self, invocation: &Invocation) -> Result<(), ErrorCode> {
        futures(self.service.handed_over(invocation)).map_err(|error| error.code)
    }

    /// Reports that a call failed; answers whether the fallback decided.
    pub(crate) fn fail(&mut self, invocation: &Invocation, failure: Failure) -> bool {
        self.try_fail(invocation, failure).unwrap()
    }

    /// The same, if that may still be reported.
    pub(crate) fn try_fail(&mut self, invocation: &Invocation, failure: Failure) -> Result<bool, ErrorCode> {
        futures(self.service.not_handed_over(invocation, failure)).map_err(|error| error.code)
    }
}
