//! `DeleteChannelBan`: lifts a ban. The membership does not come back by itself.

use carillon_model::event::Event;

use crate::chat::channel::is_streamed;
use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(DELETE "/channels/{channelArn}/bans/{memberArn}" => 204, NoContent)]
#[errors(BadRequest)]
#[bearer]
pub struct DeleteChannelBan {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Who.
    #[label]
    pub member_arn: IdentityArn,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator]);

impl Write for DeleteChannelBan {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        let view = call.claim_channel(tx, &self.channel_arn, 1, RULE)?;
        let instance = self.channel_arn.app_instance();
        if let Some(found) = call.find_identity(tx, &self.member_arn, &instance)? {
            let key = view.channel.key;
            if is_streamed(tx, &view.channel)
                && let Some(ban) = store::ban::find(tx, &instance, key, &found.identity)?
            {
                tx.record(&Event::delete_channel_ban(&view.channel, &ban), 1)?;
            }
            store::ban::delete(tx, key, found.identity.key)?;
        }
        Ok(NoContent {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn whoever_was_banned_can_be_added_again(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &cy);
        world.join(&channel, &ana, &bob);
        world.ban(&channel, &ana, &bob);
        let lift = |by: &IdentityArn| DeleteChannelBan {
            channel_arn: channel.clone(),
            member_arn: bob.clone(),
            chime_bearer: by.clone(),
        };
        assert_eq!(world.call(&lift(&cy)).unwrap_err().code, ErrorCode::Forbidden);
        world.take_events();
        world.call(&lift(&ana)).unwrap();
        world.call(&lift(&ana)).unwrap();
        assert!(world.take_events().is_empty());
        assert_eq!(world.members(&channel, &ana), ["ana", "cy"]);
        world.join(&channel, &ana, &bob);
    }
}
