//! `ListChannelFlows`: the flows of an app instance.

use crate::prelude::*;

/// The request.
#[operation(GET "/channel-flows" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
pub struct ListChannelFlows {
    /// Where.
    #[query("app-instance-arn")]
    pub app_instance_arn: AppInstanceArn,
}

/// The answer.
#[shape]
pub struct Listed {
    /// The flows.
    pub channel_flows: Vec<ChannelFlowSummary>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

impl Read for ListChannelFlows {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        call.app_instance(tx, &self.app_instance_arn)?;
        let (page, after) = Page::of(self, call)?;
        let rows = store::channel_flow::list(tx, &self.app_instance_arn, after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |flow| flow.key);
        Ok(Listed { channel_flows: rows.into_iter().map(ChannelFlowSummary::from).collect(), next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn pages_of_one_hold_every_flow_of_the_app_instance_once(world: &mut World) {
        let mut made: Vec<_> = (0..3).map(|_| world.flow()).collect();
        let mut list = ListChannelFlows {
            app_instance_arn: world.instance().clone(),
            max_results: Some(1.try_into().unwrap()),
            next_token: None,
        };
        let mut seen = Vec::new();
        world.turn_pages(&mut list, |page| {
            seen.extend(page.channel_flows.into_iter().map(|flow| flow.channel_flow_arn));
            page.next_token
        });
        made.sort();
        assert_eq!(seen, made);
        let elsewhere = ListChannelFlows { app_instance_arn: world.new_instance(), ..list.clone() };
        assert!(world.call(&elsewhere).unwrap().channel_flows.is_empty());
    }
}
