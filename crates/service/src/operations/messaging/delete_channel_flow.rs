//! `DeleteChannelFlow`: takes a flow away that no channel has.

use super::flows::no_flow;
use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(DELETE "/channel-flows/{channelFlowArn}" => 204, NoContent)]
#[errors(BadRequest, Conflict)]
pub struct DeleteChannelFlow {
    /// Which.
    #[label]
    pub channel_flow_arn: ChannelFlowArn,
}

impl Write for DeleteChannelFlow {
    fn run(&self, tx: &mut Tx, _: &Call) -> Result<NoContent> {
        let key = store::channel_flow::find(tx, &self.channel_flow_arn)?.ok_or_else(no_flow)?.key;
        if store::channel_flow::is_associated(tx, key)? {
            return Err(Error::conflict("The channel flow is associated with a channel"));
        }
        store::channel_flow::delete(tx, &self.channel_flow_arn, key)?;
        Ok(NoContent {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_flow_is_deleted_only_when_no_channel_has_it(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let flow = world.flow();
        world.call(&association(&channel, &flow, &ana)).unwrap();
        let delete = DeleteChannelFlow { channel_flow_arn: flow.clone() };
        assert_eq!(world.call(&delete).unwrap_err().code, ErrorCode::Conflict);
        world.call(&disassociation(&channel, &flow, &ana)).unwrap();
        world.call(&delete).unwrap();
        assert_eq!(world.call(&delete).unwrap_err().code, ErrorCode::Forbidden);
        let gone = world.call(&association(&channel, &flow, &ana)).unwrap_err();
        assert_eq!(gone.code, ErrorCode::NotFound);
    }
}
