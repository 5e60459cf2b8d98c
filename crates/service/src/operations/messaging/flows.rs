//! What the operations on channel flows have in common.

use std::collections::BTreeSet;

use carillon_model::channel_flow::Processor as StoredProcessor;

use crate::prelude::*;

/// The processors of a request as the store keeps them; two of one place are refused, and functions that this server
/// may not call.
pub(super) fn processors(call: &Call, processors: &[Processor]) -> Result<Vec<StoredProcessor>> {
    let mut places = BTreeSet::new();
    for processor in processors {
        if !places.insert(processor.execution_order) {
            return Err(Error::bad_request("Processors: an ExecutionOrder may be given only once"));
        }
        let function = processor.configuration.lambda.resource_arn.as_str();
        if !call.surroundings.functions.admit(function) {
            return Err(Error::bad_request(format!(
                "Processors: {function} is not a function that this server may call"
            )));
        }
    }
    Ok(processors.iter().map(StoredProcessor::from).collect())
}

/// A flow that is not there is as forbidden as one of another account.
pub(super) fn no_flow() -> Error {
    Error::forbidden("The channel flow does not exist")
}

/// Refuses the ARN of a flow of another region or account, where it does not travel in the path.
pub(super) fn check_home(call: &Call, arn: &str) -> Result<()> {
    if call.surroundings.home.owns(arn) { Ok(()) } else { Err(no_flow()) }
}

/// Who decides about the flow of a channel.
const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator]);

/// The flow of a claimed channel. Of two who decide about it at once, one learns of the other.
pub(super) fn current(tx: &mut Tx, call: &Call, channel: Key) -> Result<Option<Key>> {
    let current = store::channel_flow::find_key_of(tx, channel)?;
    if call.went_by() != current {
        return Err(Error::conflict(
            "ChannelArn: somebody changed the flow of the channel at the same moment",
        ));
    }
    Ok(current)
}

/// The channel, claimed by someone who decides about its flow. That it does not exist, an administrator of the app
/// instance is told; for everyone else it is as forbidden as one that they may not see.
pub(super) fn claim_channel(tx: &mut Tx, call: &Call, arn: &ChannelArn) -> Result<View> {
    let refused = match call.claim_channel(tx, arn, 0, RULE) {
        Err(refused) if refused.code == crate::error::ErrorCode::Forbidden => refused,
        claimed => return claimed,
    };
    let bearer = call.bearer(tx)?;
    if bearer.is_admin && bearer.identity.arn.app_instance() == arn.app_instance() {
        return Err(Error::not_found("ChannelArn: the channel does not exist"));
    }
    Err(refused)
}
