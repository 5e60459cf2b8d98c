//! `DescribeChannelMembershipForAppInstanceUser`: one channel that someone belongs to; one's own, or for
//! administrators, anyone's.

use super::subject::subject;
use crate::prelude::*;

/// The request.
#[operation(GET "/channels/{channelArn}?scope=app-instance-user-membership" => 200, Described)]
#[errors(BadRequest)]
#[bearer]
pub struct DescribeChannelMembershipForAppInstanceUser {
    /// Which.
    #[label]
    pub channel_arn: ChannelArn,
    /// Whose.
    #[query("app-instance-user-arn")]
    pub app_instance_user_arn: IdentityArn,
}

/// The answer.
#[shape]
pub struct Described {
    /// The channel, and how they belong to it.
    pub channel_membership: ChannelMembershipForAppInstanceUserSummary,
}

/// Whose membership it may be is settled before; who does not belong is refused after.
const RULE: Rule = Rule(&[Grant::Anyone]);

impl Read for DescribeChannelMembershipForAppInstanceUser {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Described> {
        let member = subject(tx, call, Some(&self.app_instance_user_arn))?;
        let channel = call.view_channel(tx, &self.channel_arn, RULE)?.channel;
        let instance = self.channel_arn.app_instance();
        let found = store::membership::find_channel(tx, &instance, member.key, channel.key)?;
        let belonging =
            found.ok_or_else(|| Error::forbidden("The user or bot is not a member of the channel"))?;
        let channel_membership =
            ChannelMembershipForAppInstanceUserSummary::new(belonging, &member, &self.chime_bearer);
        Ok(Described { channel_membership })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn one_describes_ones_own_and_admins_anyones(world: &mut World) {
        let (ana, bob, root) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let [first, channel, last] =
            [(); 3].map(|()| world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public));
        for other in [&first, &last] {
            world.join(other, &ana, &bob);
        }
        let mut ask = |who: &IdentityArn, whose: &IdentityArn| {
            let describe = DescribeChannelMembershipForAppInstanceUser {
                channel_arn: channel.clone(),
                app_instance_user_arn: whose.clone(),
                chime_bearer: who.clone(),
            };
            let described = world.call(&describe).map_err(|refused| refused.code)?.channel_membership;
            Ok(described.channel_summary.channel_arn)
        };
        assert_eq!(ask(&ana, &ana), Ok(channel.clone()));
        assert_eq!(ask(&root, &ana), Ok(channel.clone()));
        assert_eq!(ask(&bob, &ana), Err(ErrorCode::Forbidden));
        assert_eq!(ask(&bob, &bob), Err(ErrorCode::Forbidden), "who belongs to others only");
        assert_eq!(ask(&root, &bob), Err(ErrorCode::Forbidden));
    }
}
