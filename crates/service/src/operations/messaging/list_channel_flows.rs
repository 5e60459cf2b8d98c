//! `ListChannelFlows`: the flows of an app instance.

use crate::operation::prelude::*;

/// The request.
#[operation(GET "/channel-flows" => 200, Listed)]
#[errors(BadRequest)]
pub struct ListChannelFlows {
    /// Where.
    #[query("app-instance-arn")]
    pub app_instance_arn: AppInstanceArn,
    /// The length of a page.
    #[query("max-results")]
    pub max_results: Option<MaxResults>,
    /// Where the page begins.
    #[query("next-token")]
    pub next_token: Option<NextToken>,
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
        let page = Page::new(self, call, self.max_results);
        let after = page.after(self.next_token.as_ref())?;
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
        loop {
            let page = world.call(&list).unwrap();
            seen.extend(page.channel_flows.into_iter().map(|flow| flow.channel_flow_arn));
            list.next_token = page.next_token;
            if list.next_token.is_none() {
                break;
            }
        }
        made.sort();
        assert_eq!(seen, made);
        let elsewhere = ListChannelFlows { app_instance_arn: world.new_instance(), ..list.clone() };
        assert!(world.call(&elsewhere).unwrap().channel_flows.is_empty());
    }
}
