//! `AssociateChannelFlow`: gives a channel the flow that its messages pass from now on. A channel has one at most:
//! another takes its place, and what is in flight keeps the processors with which it was accepted.

use super::flows::{claim_channel, current};
use crate::operation::GoesBy;
use crate::prelude::*;

/// The request.
#[operation(PUT "/channels/{channelArn}/channel-flow" => 200, Associated)]
#[errors(BadRequest, Conflict, NotFound)]
#[bearer]
pub struct AssociateChannelFlow {
    /// Which channel.
    #[label]
    pub channel_arn: ChannelArn,
    /// Which flow.
    pub channel_flow_arn: ChannelFlowArn,
}

/// The answer: nothing but the status.
#[shape]
pub struct Associated {}

impl Write for AssociateChannelFlow {
    const GOES_BY: Option<GoesBy<Self>> =
        Some(|asked, tx| Ok(store::channel_flow::find_key_by_arn(tx, &asked.channel_arn)?));

    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Associated> {
        let mut channel = claim_channel(tx, call, &self.channel_arn)?.channel;
        if self.channel_flow_arn.app_instance() != self.channel_arn.app_instance() {
            return Err(Error::bad_request("ChannelFlowArn: is of another app instance"));
        }
        let unknown = || Error::not_found("ChannelFlowArn: the channel flow does not exist");
        let flow = store::channel_flow::find(tx, &self.channel_flow_arn)?.ok_or_else(unknown)?.key;
        store::channel_flow::hold(tx, &self.channel_flow_arn, flow)?;
        if current(tx, call, channel.key)? != Some(flow) {
            crate::chat::channel::set_flow(tx, &mut channel, Some(flow), call.now)?;
        }
        Ok(Associated {})
    }
}

#[cfg(test)]
mod tests {
    use super::super::delete_channel_flow::DeleteChannelFlow;
    use super::super::describe_channel::DescribeChannel;
    use super::super::list_channels_associated_with_channel_flow::ListChannelsAssociatedWithChannelFlow;
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_channel_shows_the_one_flow_that_it_has(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let (flow, other) = (world.flow(), world.flow());
        let describe = DescribeChannel { channel_arn: channel.clone(), chime_bearer: ana.clone() };
        assert_eq!(world.call(&describe).unwrap().channel.channel_flow_arn, None);
        world.take_events();
        world.call(&association(&channel, &flow, &ana)).unwrap();
        let told = world.take_full_events().pop().unwrap();
        let payload: serde_json::Value = serde_json::from_str(&told.payload).unwrap();
        assert_eq!(
            (told.kind.as_str(), &payload["ChannelFlowArn"]),
            ("UPDATE_CHANNEL", &flow.as_str().into())
        );
        world.call(&association(&channel, &flow, &ana)).unwrap();
        assert!(world.take_events().is_empty(), "nothing changed");
        world.call(&disassociation(&channel, &flow, &ana)).unwrap();
        assert_eq!(world.call(&describe).unwrap().channel.channel_flow_arn, None);
        world.call(&association(&channel, &other, &ana)).unwrap();
    }

    #[engine_test]
    fn another_flow_takes_the_place_of_the_one_before(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        let (flow, other) = (world.flow(), world.flow());
        world.call(&association(&channel, &flow, &ana)).unwrap();
        world.take_events();
        world.call(&association(&channel, &other, &ana)).unwrap();
        let told = world.take_full_events().pop().unwrap();
        let payload: serde_json::Value = serde_json::from_str(&told.payload).unwrap();
        assert_eq!(
            (told.kind.as_str(), &payload["ChannelFlowArn"]),
            ("UPDATE_CHANNEL", &other.as_str().into())
        );
        let describe = DescribeChannel { channel_arn: channel.clone(), chime_bearer: bob };
        assert_eq!(world.call(&describe).unwrap().channel.channel_flow_arn, Some(other.clone()));
        // The first is no longer this channel's: it cannot be taken away from it, and may be deleted; the other not.
        let refused = world.call(&disassociation(&channel, &flow, &ana)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotFound);
        world.call(&DeleteChannelFlow { channel_flow_arn: flow }).unwrap();
        let refused = world.call(&DeleteChannelFlow { channel_flow_arn: other.clone() }).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict);
        let list = ListChannelsAssociatedWithChannelFlow {
            channel_flow_arn: other,
            max_results: None,
            next_token: None,
        };
        let found = world.call(&list).unwrap().channels;
        assert_eq!(found.iter().map(|one| &one.channel_arn).collect::<Vec<_>>(), [&channel]);
    }

    #[engine_test]
    fn of_two_who_decide_at_once_on_two_nodes_one_learns_of_the_other(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let flows = [0; 3].map(|_| world.flow());
        let mut conflicts = 0;
        for _ in 0..20 {
            world.call(&association(&channel, &flows[0], &ana)).unwrap();
            let asked = [1, 2].map(|flow| association(&channel, &flows[flow], &ana));
            let refused: Vec<_> =
                world.call_at_once(&asked).into_iter().filter_map(std::result::Result::err).collect();
            // One may have been through before the other came.
            assert!(refused.len() < 2 && refused.iter().all(|one| one.code == ErrorCode::Conflict));
            conflicts += refused.len();
        }
        assert!(10 < conflicts, "{conflicts}");
    }

    #[engine_test]
    fn moderators_and_administrators_decide_and_learn_what_is_missing(world: &mut World) {
        let (ana, bob, admin) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Unrestricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &bob);
        let flow = world.flow();
        assert_eq!(world.call(&association(&channel, &flow, &bob)).unwrap_err().code, ErrorCode::Forbidden);
        let nowhere = world.instance().channel("nowhere");
        assert_eq!(world.call(&association(&nowhere, &flow, &ana)).unwrap_err().code, ErrorCode::Forbidden);
        assert_eq!(world.call(&association(&nowhere, &flow, &admin)).unwrap_err().code, ErrorCode::NotFound);
        let missing = world.instance().channel_flow("nonsense");
        assert_eq!(world.call(&association(&channel, &missing, &ana)).unwrap_err().code, ErrorCode::NotFound);
        let foreign = world.new_instance().channel_flow(flow.id());
        assert_eq!(
            world.call(&association(&channel, &foreign, &ana)).unwrap_err().code,
            ErrorCode::BadRequest
        );
        world.call(&association(&channel, &flow, &admin)).unwrap();
    }
}
