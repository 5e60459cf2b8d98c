//! `DeleteChannelModerator`: takes the role away; the membership stays, but for an elastic channel. The last
//! moderator may go: administrators remain.

use carillon_model::event::Event;

use crate::chat::channel::is_streamed;
use crate::chat::placement::leave_all;
use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(DELETE "/channels/{channelArn}/moderators/{channelModeratorArn}" => 204, NoContent)]
#[errors(BadRequest)]
#[bearer]
pub struct DeleteChannelModerator {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Who.
    #[label]
    pub channel_moderator_arn: IdentityArn,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator]);

impl Write for DeleteChannelModerator {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        let mut view = call.claim_channel(tx, &self.channel_arn, 1, RULE)?;
        let instance = self.channel_arn.app_instance();
        let Some(found) = call.find_identity(tx, &self.channel_moderator_arn, &instance)? else {
            return Ok(NoContent {});
        };
        let (key, member) = (view.channel.key, found.identity);
        if view.channel.elastic.is_some() && store::moderator::exists(tx, key, member.key)? {
            let places = store::membership::list_places(tx, &self.channel_arn, key, &member)?;
            leave_all(tx, call.now, &mut view.channel, &places)?;
        }
        if is_streamed(tx, &view.channel)
            && let Some(moderator) = store::moderator::find(tx, &instance, key, &member)?
        {
            tx.record(&Event::delete_channel_moderator(&view.channel, &moderator), 1)?;
        }
        store::moderator::delete(tx, key, member.key)?;
        Ok(NoContent {})
    }
}

#[cfg(test)]
mod tests {
    use super::super::create_channel_moderator::CreateChannelModerator;
    use super::*;
    use crate::testing::*;

    fn demote(channel: &ChannelArn, by: &IdentityArn, who: &IdentityArn) -> DeleteChannelModerator {
        DeleteChannelModerator {
            channel_arn: channel.clone(),
            channel_moderator_arn: who.clone(),
            chime_bearer: by.clone(),
        }
    }

    #[engine_test]
    fn the_role_goes_and_the_membership_stays(world: &mut World) {
        let (ana, bob, root) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        assert!(world.call(&demote(&channel, &ana, &bob)).is_ok(), "who is none, stays none");
        assert!(world.call(&demote(&channel, &ana, &ana.app_instance().user("nobody"))).is_ok());
        assert_eq!(world.call(&demote(&channel, &bob, &ana)).unwrap_err().code, ErrorCode::Forbidden);
        world.take_events();
        world.call(&demote(&channel, &ana, &ana)).unwrap();
        assert!(world.take_events().is_empty());
        assert_eq!(world.members(&channel, &ana), ["ana"]);
        assert_eq!(world.call(&demote(&channel, &ana, &ana)).unwrap_err().code, ErrorCode::Forbidden);
        assert!(world.call(&demote(&channel, &root, &ana)).is_ok());
    }

    #[engine_test]
    fn a_moderator_of_an_elastic_channel_leaves_its_sub_channels(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let place = world.join(&channel, &ana, &bob).unwrap();
        let (channel_arn, chime_bearer) = (channel.clone(), ana.clone());
        let promote = CreateChannelModerator { channel_arn, channel_moderator_arn: cy.clone(), chime_bearer };
        world.call(&promote).unwrap();
        world.join_sub_channel(&channel, &cy, &place);
        world.take_events();
        world.call(&demote(&channel, &ana, &cy)).unwrap();
        assert_eq!(world.told(), [["bob", "cy"]]);
        assert_eq!(world.join(&channel, &ana, &cy), Some(place), "now as a regular member");
    }
}
