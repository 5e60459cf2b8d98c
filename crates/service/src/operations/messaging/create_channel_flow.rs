//! `CreateChannelFlow`: makes a flow of processors. It does nothing until a channel is associated with it.

use carillon_model::channel_flow::ChannelFlow as StoredFlow;

use super::flows::processors;
use crate::once::{Once, once};
use crate::prelude::*;

/// The request.
#[operation(POST "/channel-flows" => 201, Created)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
pub struct CreateChannelFlow {
    /// Where.
    pub app_instance_arn: AppInstanceArn,
    /// The functions that a message passes.
    #[length(1, 3)]
    pub processors: Vec<Processor>,
    /// Its name; several may share one.
    pub name: NonEmptyResourceName,
    /// Its tags.
    #[length(1, 50)]
    pub tags: Option<Vec<Tag>>,
    /// Makes a repeated request have one effect.
    pub client_request_token: ClientRequestToken,
}

/// The answer.
#[shape]
pub struct Created {
    /// Its ARN.
    pub channel_flow_arn: ChannelFlowArn,
}

impl Write for CreateChannelFlow {
    fn lane(&self) -> Lane {
        Lane::instance(&self.app_instance_arn)
    }

    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Created> {
        crate::tags::check(self.tags.as_deref())?;
        let processors = processors(call, &self.processors)?;
        let instance = call.app_instance(tx, &self.app_instance_arn)?;
        let token = (instance, &self.client_request_token);
        let keep = |arn: &ChannelFlowArn| arn.as_str().to_owned();
        let created = once(tx, call, self, token, keep, |tx| {
            let key = call.new_key();
            let arn = self.app_instance_arn.channel_flow(&key.uuid());
            let (name, created_at, updated_at) = (self.name.clone(), call.now, call.now);
            let flow = StoredFlow { key, arn, name, processors, created_at, updated_at };
            self.create(tx, call, instance, flow)
        })?;
        let channel_flow_arn = match created {
            Once::First(arn) => arn,
            Once::Earlier(kept) => kept.parse().map_err(|_| crate::once::unreadable(Self::NAME))?,
        };
        Ok(Created { channel_flow_arn })
    }
}

impl CreateChannelFlow {
    fn create(&self, tx: &mut Tx, call: &Call, instance: Key, flow: StoredFlow) -> Result<ChannelFlowArn> {
        let quotas = &call.surroundings.quotas;
        let length = i64::try_from(flow.processors.len()).expect("at most three");
        if quotas.processors_max < length {
            return Err(Error::limit_exceeded("processors of a channel flow", quotas.processors_max));
        }
        // Two that race are of one lane, on one node or on two: the second counts the first.
        store::app_instance::hold(tx, instance)?;
        let most = quotas.channel_flows_max;
        if most <= store::channel_flow::count(tx, instance, most)? {
            return Err(Error::limit_exceeded("channel flows of an app instance", most));
        }
        store::channel_flow::insert(tx, instance, &flow)?;
        crate::tags::set(tx, flow.arn.as_str(), self.tags.as_deref())?;
        Ok(flow.arn)
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_channel_flow::DescribeChannelFlow;
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_flow_is_described_as_it_was_made_and_made_once(world: &mut World) {
        let create = flow_request(world);
        let made = world.call(&create).unwrap();
        assert_eq!(world.call(&create).unwrap(), made, "the same token makes no second one");
        let other = CreateChannelFlow { name: text("Other"), ..create.clone() };
        assert_eq!(world.call(&other).unwrap_err().code, ErrorCode::Conflict);
        let describe = DescribeChannelFlow { channel_flow_arn: made.channel_flow_arn.clone() };
        let flow = world.call(&describe).unwrap().channel_flow;
        assert_eq!(flow.channel_flow_arn, made.channel_flow_arn);
        assert_eq!((flow.name, flow.processors), (create.name, create.processors));
        assert_eq!((flow.created_timestamp, flow.last_updated_timestamp), (START, START));
    }

    #[engine_test]
    fn the_quotas_of_flows_and_of_processors_hold(world: &mut World) {
        let one = flow_request(world);
        let mut two = one.clone();
        two.client_request_token = text("two");
        two.processors
            .push(Processor { execution_order: 2.try_into().unwrap(), ..one.processors[0].clone() });
        let refused = world.call(&two).unwrap_err();
        assert_eq!(refused.code, ErrorCode::ResourceLimitExceeded);
        world.set_quotas(|quotas| (quotas.processors_max, quotas.channel_flows_max) = (2, 1));
        world.call(&two).unwrap();
        assert_eq!(world.call(&one).unwrap_err().code, ErrorCode::ResourceLimitExceeded);
    }

    #[engine_test]
    fn two_processors_do_not_share_a_place(world: &mut World) {
        world.set_quotas(|quotas| quotas.processors_max = 3);
        let mut create = flow_request(world);
        create.processors.push(create.processors[0].clone());
        assert_eq!(world.call(&create).unwrap_err().code, ErrorCode::BadRequest);
    }

    #[engine_test]
    fn of_two_nodes_each_counts_the_flows_of_the_other(world: &mut World) {
        world.set_quotas(|quotas| quotas.channel_flows_max = 8);
        let create = |number: usize| CreateChannelFlow {
            client_request_token: text(&format!("race-{number}")),
            ..flow_request(world)
        };
        let all: Vec<_> = (0..32).map(create).collect();
        assert_eq!(world.call_at_once(&all).iter().filter(|answer| answer.is_ok()).count(), 8);
    }
}
