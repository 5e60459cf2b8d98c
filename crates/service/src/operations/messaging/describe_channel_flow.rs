//! `DescribeChannelFlow`: a flow, whole.

use super::flows::no_flow;
use crate::prelude::*;

/// The request.
#[operation(GET "/channel-flows/{channelFlowArn}" => 200, Described)]
#[errors(BadRequest)]
pub struct DescribeChannelFlow {
    /// Which.
    #[label]
    pub channel_flow_arn: ChannelFlowArn,
}

/// The answer.
#[shape]
pub struct Described {
    /// The flow.
    pub channel_flow: ChannelFlow,
}

impl Read for DescribeChannelFlow {
    fn run(&self, tx: &mut Tx, _: &Call) -> Result<Described> {
        let flow = store::channel_flow::find(tx, &self.channel_flow_arn)?.ok_or_else(no_flow)?;
        Ok(Described { channel_flow: ChannelFlow::from(flow) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_flow_that_is_not_there_is_forbidden(world: &mut World) {
        for id in ["8d1e2f30-aaaa-4bbb-8ccc-000000000001", "nonsense"] {
            let describe = DescribeChannelFlow { channel_flow_arn: world.instance().channel_flow(id) };
            assert_eq!(world.call(&describe).unwrap_err().code, ErrorCode::Forbidden);
        }
    }
}
