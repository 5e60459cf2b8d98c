//! `DescribeChannel`: a channel, whole. How an elastic one is split is for those who moderate it: clients take whoever
//! sees that for a moderator.

use crate::prelude::*;

/// The request.
#[operation(GET "/channels/{channelArn}" => 200, Described)]
#[errors(BadRequest)]
#[bearer]
pub struct DescribeChannel {
    /// Which.
    #[label]
    pub channel_arn: ChannelArn,
}

/// The answer.
#[shape]
pub struct Described {
    /// The channel.
    pub channel: Channel,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator, Grant::AnyMember, Grant::OutsiderIfPublic]);

impl Read for DescribeChannel {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Described> {
        let view = call.view_channel(tx, &self.channel_arn, RULE)?;
        let creator = store::identity::get(tx, &self.channel_arn.app_instance(), view.channel.created_by)?;
        let flow = store::channel_flow::find_key_of(tx, view.channel.key)?;
        let mut channel = Channel::new(&view.channel, creator.as_ref(), view.last_message_at());
        channel.channel_flow_arn =
            flow.map(|flow| self.channel_arn.app_instance().channel_flow(&flow.uuid()));
        if !view.is_moderating() {
            channel.elastic_channel_configuration = None;
        }
        Ok(Described { channel })
    }
}

#[cfg(test)]
mod tests {
    use super::super::create_channel::CreateChannel;
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_private_channel_is_for_those_who_belong_and_a_public_one_for_all(world: &mut World) {
        let (ana, outsider, admin) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let stranger = world.stranger("eve");
        let private = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let public = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        let missing = world.instance().channel("missing");
        let mut describe = |channel: &ChannelArn, who: &IdentityArn| {
            let describe = DescribeChannel { channel_arn: channel.clone(), chime_bearer: who.clone() };
            world.call(&describe).map(|_| ()).map_err(|refused| refused.code)
        };
        assert_eq!(describe(&private, &ana), Ok(()));
        assert_eq!(describe(&private, &admin), Ok(()));
        assert_eq!(describe(&private, &outsider), Err(ErrorCode::Forbidden));
        assert_eq!(describe(&public, &outsider), Ok(()));
        assert_eq!(describe(&public, &stranger), Err(ErrorCode::Forbidden));
        assert_eq!(describe(&missing, &admin), Err(ErrorCode::Forbidden));
        assert_eq!(describe(&public, &ana.app_instance().user("nobody")), Err(ErrorCode::Unauthorized));
    }

    #[engine_test]
    fn how_an_elastic_channel_is_split_is_for_who_moderates_it(world: &mut World) {
        let (ana, bob, outsider, admin) =
            (world.user("ana"), world.user("bob"), world.user("cy"), world.admin("root"));
        let public = CreateChannel { privacy: Some(ChannelPrivacy::Public), ..elastic_request(world, &ana) };
        let channel = world.call(&public).unwrap().channel_arn;
        world.join(&channel, &ana, &bob);
        for (who, sees) in [(&ana, true), (&admin, true), (&bob, false), (&outsider, false)] {
            let describe = DescribeChannel { channel_arn: channel.clone(), chime_bearer: who.clone() };
            let described = world.call(&describe).unwrap().channel;
            assert_eq!(described.elastic_channel_configuration.is_some(), sees, "{who:?}");
        }
    }
}
