//! `ListChannelsAssociatedWithChannelFlow`: the channels that have a flow.

use super::flows::{check_home, no_flow};
use crate::prelude::*;

/// The request.
#[operation(GET "/channels?scope=channel-flow-associations" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
pub struct ListChannelsAssociatedWithChannelFlow {
    /// Which flow.
    #[query("channel-flow-arn")]
    pub channel_flow_arn: ChannelFlowArn,
}

/// The answer.
#[shape]
pub struct Listed {
    /// The channels.
    pub channels: Vec<ChannelAssociatedWithFlowSummary>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

impl Read for ListChannelsAssociatedWithChannelFlow {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        check_home(call, self.channel_flow_arn.as_str())?;
        let flow = store::channel_flow::find(tx, &self.channel_flow_arn)?.ok_or_else(no_flow)?;
        let (page, after) = Page::of::<String>(self, call)?;
        let after = after.unwrap_or_default();
        let instance = self.channel_flow_arn.app_instance();
        let rows = store::channel_flow::list_associated(tx, (&instance, flow.key), &after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |row| row.arn.id().to_owned());
        let channels = rows.into_iter().map(|row| ChannelAssociatedWithFlowSummary {
            name: row.name,
            channel_arn: row.arn,
            mode: row.mode,
            privacy: row.privacy,
            metadata: shown(row.metadata),
        });
        Ok(Listed { channels: channels.collect(), next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn pages_of_one_hold_every_channel_of_the_flow_once(world: &mut World) {
        let ana = world.user("ana");
        let (flow, other) = (world.flow(), world.flow());
        let mut channels = Vec::new();
        for number in 0..4 {
            let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
            let flow = if number == 1 { &other } else { &flow };
            world.call(&association(&channel, flow, &ana)).unwrap();
            if number != 1 {
                channels.push(channel);
            }
        }
        channels.sort();
        let mut list = ListChannelsAssociatedWithChannelFlow {
            channel_flow_arn: flow,
            max_results: Some(1.try_into().unwrap()),
            next_token: None,
        };
        let mut seen = Vec::new();
        world.turn_pages(&mut list, |page| {
            assert!(page.channels.iter().all(|channel| channel.name.as_str() == "Lobby"));
            seen.extend(page.channels.into_iter().map(|channel| channel.channel_arn));
            page.next_token
        });
        assert_eq!(seen, channels);
        list.channel_flow_arn = world.instance().channel_flow("nonsense");
        assert_eq!(world.call(&list).unwrap_err().code, ErrorCode::Forbidden);
    }
}
