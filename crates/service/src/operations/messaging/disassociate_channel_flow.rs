//! `DisassociateChannelFlow`: takes the flow of a channel away, from this channel only.

use super::flows::{claim_channel, current};
use crate::operation::{GoesBy, NoContent};
use crate::prelude::*;

/// The request.
#[operation(DELETE "/channels/{channelArn}/channel-flow/{channelFlowArn}" => 204, NoContent)]
#[errors(BadRequest, Conflict, NotFound)]
#[bearer]
pub struct DisassociateChannelFlow {
    /// Which channel.
    #[label]
    pub channel_arn: ChannelArn,
    /// Which flow.
    #[label]
    pub channel_flow_arn: ChannelFlowArn,
}

impl Write for DisassociateChannelFlow {
    const GOES_BY: Option<GoesBy<Self>> =
        Some(|asked, tx| Ok(store::channel_flow::find_key_by_arn(tx, &asked.channel_arn)?));

    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        let mut channel = claim_channel(tx, call, &self.channel_arn)?.channel;
        let named = store::channel_flow::find(tx, &self.channel_flow_arn)?.map(|flow| flow.key);
        let current = current(tx, call, channel.key)?;
        if current.is_none() || named != current {
            return Err(Error::not_found("ChannelFlowArn: the channel does not have this channel flow"));
        }
        crate::chat::channel::set_flow(tx, &mut channel, None, call.now)?;
        Ok(NoContent {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn only_the_flow_that_the_channel_has_is_taken_away(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        let (flow, other) = (world.flow(), world.flow());
        let missing = world.instance().channel_flow("nonsense");
        for absent in [&flow, &missing] {
            let refused = world.call(&disassociation(&channel, absent, &ana)).unwrap_err();
            assert_eq!(refused.code, ErrorCode::NotFound);
        }
        world.call(&association(&channel, &flow, &ana)).unwrap();
        let refused = world.call(&disassociation(&channel, &other, &ana)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotFound);
        let refused = world.call(&disassociation(&channel, &flow, &bob)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden);
        world.call(&disassociation(&channel, &flow, &ana)).unwrap();
    }
}
