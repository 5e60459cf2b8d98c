//! `DescribeChannelBan`: since when and by whom someone is banned from a channel.

use crate::prelude::*;

/// The request.
#[operation(GET "/channels/{channelArn}/bans/{memberArn}" => 200, Described)]
#[errors(BadRequest, NotFound)]
#[bearer]
pub struct DescribeChannelBan {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Who.
    #[label]
    pub member_arn: IdentityArn,
}

/// The answer.
#[shape]
pub struct Described {
    /// The ban.
    pub channel_ban: ChannelBan,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator]);

impl Read for DescribeChannelBan {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Described> {
        let view = call.view_channel(tx, &self.channel_arn, RULE)?;
        let instance = self.channel_arn.app_instance();
        let not_there = || Error::not_found("The user or bot is not banned from the channel");
        let member = call.find_identity(tx, &self.member_arn, &instance)?.ok_or_else(not_there)?.identity;
        let found = store::ban::find(tx, &instance, view.channel.key, &member)?.ok_or_else(not_there)?;
        let channel_ban = ChannelBan {
            member: Identity::from(&found.member),
            channel_arn: self.channel_arn.clone(),
            created_timestamp: found.created_at,
            created_by: Identity::from(&found.created_by),
        };
        Ok(Described { channel_ban })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_ban_tells_who_when_and_by_whom_to_those_who_moderate(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &cy);
        world.advance_ms(1_000);
        world.ban(&channel, &ana, &bob);
        let describe = |who: &IdentityArn, member: &IdentityArn| DescribeChannelBan {
            channel_arn: channel.clone(),
            member_arn: member.clone(),
            chime_bearer: who.clone(),
        };
        let ban = world.call(&describe(&ana, &bob)).unwrap().channel_ban;
        assert_eq!((ban.member.arn, ban.created_by.arn), (bob.clone(), ana.clone()));
        assert_eq!(ban.created_timestamp, START.plus_ms(1_000));
        assert_eq!(world.call(&describe(&ana, &cy)).unwrap_err().code, ErrorCode::NotFound);
        assert_eq!(world.call(&describe(&cy, &bob)).unwrap_err().code, ErrorCode::Forbidden);
        assert_eq!(world.call(&describe(&bob, &bob)).unwrap_err().code, ErrorCode::Forbidden);
        let nobody = world.instance().user("nobody");
        assert_eq!(world.call(&describe(&ana, &nobody)).unwrap_err().code, ErrorCode::NotFound);
    }
}
