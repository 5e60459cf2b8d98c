//! `GetChannelMembershipPreferences`: what one wants to be notified of in a channel.

use super::preferences::view_own;
use crate::prelude::*;

/// The request.
#[operation(GET "/channels/{channelArn}/memberships/{memberArn}/preferences" => 200, Got)]
#[errors(BadRequest)]
#[bearer]
pub struct GetChannelMembershipPreferences {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Whose; only one's own.
    #[label]
    pub member_arn: IdentityArn,
}

/// The answer.
#[shape]
pub struct Got {
    /// Where.
    pub channel_arn: ChannelArn,
    /// Whose.
    pub member: Identity,
    /// What they want; absent where they never said, which means everything.
    pub preferences: Option<ChannelMembershipPreferences>,
}

impl Read for GetChannelMembershipPreferences {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Got> {
        let view = view_own(tx, call, &self.channel_arn, &self.member_arn)?;
        let found = store::preferences::find(tx, view.channel.key, view.caller.key)?;
        Ok(Got {
            channel_arn: self.channel_arn.clone(),
            member: Identity::from(&view.caller),
            preferences: found.map(Into::into),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn one_asks_about_oneself_and_never_said_is_absent(world: &mut World) {
        let (ana, bob, root) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        let mut get = |who: &IdentityArn, whose: &IdentityArn| {
            let get = GetChannelMembershipPreferences {
                channel_arn: channel.clone(),
                member_arn: whose.clone(),
                chime_bearer: who.clone(),
            };
            world.call(&get).map(|got| got.preferences).map_err(|refused| refused.code)
        };
        assert_eq!(get(&ana, &ana), Ok(None));
        for (who, whose) in [(&root, &ana), (&bob, &bob), (&root, &root)] {
            assert_eq!(get(who, whose), Err(ErrorCode::Forbidden), "{who} {whose}");
        }
    }
}
