//! `DescribeChannelModerator`: since when and by whom someone moderates a channel.

use crate::prelude::*;

/// The request.
#[operation(GET "/channels/{channelArn}/moderators/{channelModeratorArn}" => 200, Described)]
#[errors(BadRequest, NotFound)]
#[bearer]
pub struct DescribeChannelModerator {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Who.
    #[label]
    pub channel_moderator_arn: IdentityArn,
}

/// The answer.
#[shape]
pub struct Described {
    /// The moderator.
    pub channel_moderator: ChannelModerator,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator]);

impl Read for DescribeChannelModerator {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Described> {
        let view = call.view_channel(tx, &self.channel_arn, RULE)?;
        let instance = self.channel_arn.app_instance();
        let not_there = || Error::not_found("The user or bot is not a moderator of the channel");
        let moderator =
            call.find_identity(tx, &self.channel_moderator_arn, &instance)?.ok_or_else(not_there)?.identity;
        let found =
            store::moderator::find(tx, &instance, view.channel.key, &moderator)?.ok_or_else(not_there)?;
        let channel_moderator = ChannelModerator {
            moderator: Identity::from(&found.member),
            channel_arn: self.channel_arn.clone(),
            created_timestamp: found.created_at,
            created_by: Identity::from(&found.created_by),
        };
        Ok(Described { channel_moderator })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_moderator_is_described_to_those_who_moderate(world: &mut World) {
        let (ana, bob, root) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &bob);
        let describe = |who: &IdentityArn, moderator: &IdentityArn| DescribeChannelModerator {
            channel_arn: channel.clone(),
            channel_moderator_arn: moderator.clone(),
            chime_bearer: who.clone(),
        };
        let moderator = world.call(&describe(&root, &ana)).unwrap().channel_moderator;
        assert_eq!((moderator.moderator.arn, moderator.created_by.arn), (ana.clone(), ana.clone()));
        assert_eq!((moderator.channel_arn, moderator.created_timestamp), (channel.clone(), START));
        assert_eq!(world.call(&describe(&ana, &bob)).unwrap_err().code, ErrorCode::NotFound);
        assert_eq!(world.call(&describe(&ana, &root)).unwrap_err().code, ErrorCode::NotFound);
        assert_eq!(world.call(&describe(&bob, &ana)).unwrap_err().code, ErrorCode::Forbidden);
    }
}
