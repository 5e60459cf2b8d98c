//! `UpdateChannelFlow`: replaces the name and all processors of a flow, for messages that are sent from now on.

use super::flows::{no_flow, processors};
use crate::prelude::*;

/// The request.
#[operation(PUT "/channel-flows/{channelFlowArn}" => 200, Updated)]
#[errors(BadRequest, Conflict)]
pub struct UpdateChannelFlow {
    /// Which.
    #[label]
    pub channel_flow_arn: ChannelFlowArn,
    /// The functions that a message passes.
    #[length(1, 3)]
    pub processors: Vec<Processor>,
    /// Its name.
    pub name: NonEmptyResourceName,
}

/// The answer.
#[shape]
pub struct Updated {
    /// Which.
    pub channel_flow_arn: ChannelFlowArn,
}

impl Write for UpdateChannelFlow {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Updated> {
        let processors = processors(call, &self.processors)?;
        let most = call.surroundings.quotas.processors_max;
        if usize::try_from(most).is_ok_and(|most| most < processors.len()) {
            // The operation declares no ResourceLimitExceeded.
            return Err(Error::bad_request(format!("Processors: a flow may have at most {most}")));
        }
        let arn = &self.channel_flow_arn;
        let flow = store::channel_flow::find(tx, arn)?.ok_or_else(no_flow)?.key;
        store::channel_flow::update(tx, (arn, flow), &self.name, &processors, call.now)?;
        Ok(Updated { channel_flow_arn: arn.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::create_channel_flow::CreateChannelFlow;
    use super::super::describe_channel_flow::DescribeChannelFlow;
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn functions_that_this_server_may_not_call_are_refused(world: &mut World) {
        let channel_flow_arn = world.flow();
        let own = flow_request(world);
        for function in [
            "arn:aws:lambda:us-east-1:444455556666:function:moderate",
            "arn:aws:lambda:eu-west-1:111122223333:function:moderate",
        ] {
            let mut processors = own.processors.clone();
            processors[0].configuration.lambda.resource_arn = text(function);
            let create = CreateChannelFlow { processors: processors.clone(), ..own.clone() };
            assert_eq!(world.refusal(&create), ErrorCode::BadRequest, "{function}");
            let (channel_flow_arn, name) = (channel_flow_arn.clone(), text("Gentler"));
            let update = UpdateChannelFlow { channel_flow_arn, processors, name };
            assert_eq!(world.refusal(&update), ErrorCode::BadRequest, "{function}");
        }
    }

    #[engine_test]
    fn an_update_replaces_name_and_processors(world: &mut World) {
        let channel_flow_arn = world.flow();
        let processor = Processor {
            fallback_action: FallbackAction::Continue,
            ..flow_request(world).processors[0].clone()
        };
        let mut update = UpdateChannelFlow {
            channel_flow_arn: channel_flow_arn.clone(),
            processors: vec![processor],
            name: text("Gentler"),
        };
        world.advance_ms(3);
        world.call(&update).unwrap();
        let describe = DescribeChannelFlow { channel_flow_arn };
        let flow = world.call(&describe).unwrap().channel_flow;
        assert_eq!((flow.name.as_str(), &flow.processors), ("Gentler", &update.processors));
        assert_eq!((flow.created_timestamp, flow.last_updated_timestamp), (START, START.plus_ms(3)));
        update
            .processors
            .push(Processor { execution_order: 2.try_into().unwrap(), ..update.processors[0].clone() });
        assert_eq!(world.call(&update).unwrap_err().code, ErrorCode::BadRequest, "one more than the quota");
        update.processors.pop();
        update.channel_flow_arn = world.instance().channel_flow("nonsense");
        assert_eq!(world.call(&update).unwrap_err().code, ErrorCode::Forbidden);
    }
}
