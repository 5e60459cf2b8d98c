//! `DescribeChannelModeratedByAppInstanceUser`: a channel that someone moderates; about others to those who
//! belong. Never of an elastic channel.

use crate::prelude::*;

/// The request.
#[operation(GET "/channels/{channelArn}?scope=app-instance-user-moderated-channel" => 200, Described)]
#[errors(BadRequest)]
#[bearer]
pub struct DescribeChannelModeratedByAppInstanceUser {
    /// Which.
    #[label]
    pub channel_arn: ChannelArn,
    /// Who moderates it.
    #[query("app-instance-user-arn")]
    pub app_instance_user_arn: IdentityArn,
}

/// The answer.
#[shape]
pub struct Described {
    /// The channel.
    pub channel: ChannelModeratedByAppInstanceUserSummary,
}

const OTHERS: Rule = Rule(&[Grant::Admin, Grant::Moderator, Grant::Member]);
/// Who is no moderator is refused after.
const OWN: Rule = Rule(&[Grant::Anyone]);

impl Read for DescribeChannelModeratedByAppInstanceUser {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Described> {
        let rule = if self.app_instance_user_arn == self.chime_bearer { OWN } else { OTHERS };
        let view = call.view_channel(tx, &self.channel_arn, rule)?;
        let instance = self.channel_arn.app_instance();
        let moderator = call.identity(tx, &self.app_instance_user_arn, &instance)?.identity;
        let moderates = store::moderator::exists(tx, view.channel.key, moderator.key)?;
        if !moderates || view.channel.elastic.is_some() {
            return Err(Error::forbidden("The user or bot does not moderate the channel, or it is elastic"));
        }
        let last_message_at = view.last_message_at();
        let channel_summary = ChannelSummary::new(view.channel, last_message_at);
        Ok(Described { channel: ChannelModeratedByAppInstanceUserSummary { channel_summary } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn those_who_belong_ask_about_anyone_and_others_about_themselves(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let (ghost, root) = (world.user("ghost"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &bob);
        world.join_hidden(&channel, &ana, &ghost);
        world.moderate(&channel, &ana, &cy);
        let elastic = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let mut ask = |channel: &ChannelArn, who: &IdentityArn, whose: &IdentityArn| {
            let describe = DescribeChannelModeratedByAppInstanceUser {
                channel_arn: channel.clone(),
                app_instance_user_arn: whose.clone(),
                chime_bearer: who.clone(),
            };
            world.call(&describe).map(|_| ()).map_err(|refused| refused.code)
        };
        for who in [&ana, &bob, &cy, &root] {
            assert_eq!(ask(&channel, who, &ana), Ok(()), "{who}");
        }
        for (who, whose) in [(&ghost, &ana), (&ghost, &ghost), (&bob, &bob), (&ana, &bob), (&root, &root)] {
            assert_eq!(ask(&channel, who, whose), Err(ErrorCode::Forbidden), "{who} {whose}");
        }
        assert_eq!(ask(&elastic, &ana, &ana), Err(ErrorCode::Forbidden));
    }
}
