//! `CreateChannelModerator`: makes someone a moderator, member or not. A regular member of an elastic channel
//! leaves its sub-channel by that: a moderator chooses theirs.

use carillon_model::channel::Appointment;
use carillon_model::event::Event;

use crate::chat::placement::leave_all;
use crate::prelude::*;

/// The request.
#[operation(POST "/channels/{channelArn}/moderators" => 201, Created)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
#[bearer]
pub struct CreateChannelModerator {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Who.
    pub channel_moderator_arn: IdentityArn,
}

/// The answer.
#[shape]
pub struct Created {
    /// Where.
    pub channel_arn: ChannelArn,
    /// Who.
    pub channel_moderator: Identity,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator]);

impl Write for CreateChannelModerator {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Created> {
        // A number even where no socket is told: whoever looked at the channel before learns by it that something
        // changed.
        let mut view = call.claim_channel(tx, &self.channel_arn, 1, RULE)?;
        let instance = self.channel_arn.app_instance();
        let member = call.identity(tx, &self.channel_moderator_arn, &instance)?.identity;
        let key = view.channel.key;
        if store::ban::exists(tx, key, member.key)? {
            return Err(Error::forbidden("The user or bot is banned from the channel"));
        }
        if store::moderator::exists(tx, key, member.key)? {
            return Err(Error::conflict("The user or bot is a moderator of the channel already"));
        }
        let most = call.surroundings.quotas.moderators_max;
        if most <= store::moderator::count(tx, key, most)? {
            return Err(Error::limit_exceeded("moderators of a channel", most));
        }
        store::identity::hold(tx, member.key)?;
        if view.channel.elastic.is_some() {
            let places = store::membership::list_places(tx, &self.channel_arn, key, &member)?;
            leave_all(tx, call.now, &mut view.channel, &places)?;
        }
        store::moderator::insert(tx, key, member.key, view.caller.key, view.channel.clock)?;
        let (created_by, created_at) = (view.caller.clone(), view.channel.clock);
        let moderator = Appointment { member: member.clone(), created_by, created_at };
        tx.record(&Event::create_channel_moderator(&view.channel, &moderator), 1)?;
        Ok(Created { channel_arn: self.channel_arn.clone(), channel_moderator: Identity::from(&member) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::create_channel_ban::CreateChannelBan;
    use super::*;
    use crate::testing::*;

    fn promote(channel: &ChannelArn, by: &IdentityArn, who: &IdentityArn) -> CreateChannelModerator {
        CreateChannelModerator {
            channel_arn: channel.clone(),
            channel_moderator_arn: who.clone(),
            chime_bearer: by.clone(),
        }
    }

    #[engine_test]
    fn a_moderator_makes_another_who_need_not_be_a_member(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &cy);
        world.take_events();
        assert_eq!(world.call(&promote(&channel, &cy, &cy)).unwrap_err().code, ErrorCode::Forbidden);
        assert_eq!(world.call(&promote(&channel, &ana, &bob)).unwrap().channel_moderator.arn, bob);
        assert_eq!(world.call(&promote(&channel, &ana, &bob)).unwrap_err().code, ErrorCode::Conflict);
        assert!(world.call(&promote(&channel, &bob, &cy)).is_ok());
        assert!(world.take_events().is_empty());
        assert_eq!(world.members(&channel, &bob), ["ana", "cy"]);
        let nobody = world.instance().user("nobody");
        assert_eq!(world.call(&promote(&channel, &ana, &nobody)).unwrap_err().code, ErrorCode::Forbidden);
        let stranger = world.stranger("eve");
        assert_eq!(world.call(&promote(&channel, &ana, &stranger)).unwrap_err().code, ErrorCode::BadRequest);
    }

    #[engine_test]
    fn the_banned_are_not_promoted_and_the_quota_holds(world: &mut World) {
        world.set_quotas(|quotas| quotas.moderators_max = 2);
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let (channel_arn, chime_bearer) = (channel.clone(), ana.clone());
        world.call(&CreateChannelBan { channel_arn, member_arn: bob.clone(), chime_bearer }).unwrap();
        assert_eq!(world.call(&promote(&channel, &ana, &bob)).unwrap_err().code, ErrorCode::Forbidden);
        world.call(&promote(&channel, &ana, &cy)).unwrap();
        let last = world.user("d");
        let refused = world.call(&promote(&channel, &ana, &last)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::ResourceLimitExceeded);
    }

    #[engine_test]
    fn a_promoted_member_of_an_elastic_channel_makes_room(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let [b, c, d] = ["b", "c", "d"].map(|name| world.user(name));
        let place = world.join(&channel, &ana, &b);
        world.join(&channel, &ana, &c);
        world.take_events();
        world.call(&promote(&channel, &ana, &b)).unwrap();
        assert_eq!(world.told(), [["b", "c"]]);
        assert_eq!(world.members(&channel, &ana), ["c"]);
        assert_eq!(world.join(&channel, &ana, &d), place);
    }
}
