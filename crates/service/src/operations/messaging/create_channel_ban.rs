//! `CreateChannelBan`: bans someone from a channel, member or not. A member is taken out; nobody can add them
//! again until the ban is lifted. Those who moderate cannot be banned.

use carillon_model::channel::Appointment;
use carillon_model::event::Event;

use crate::chat::placement::leave_all;
use crate::prelude::*;

/// The request.
#[operation(POST "/channels/{channelArn}/bans" => 201, Created)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
#[bearer]
pub struct CreateChannelBan {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Who.
    pub member_arn: IdentityArn,
}

/// The answer.
#[shape]
pub struct Created {
    /// Where.
    pub channel_arn: ChannelArn,
    /// Who.
    pub member: Identity,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator]);

impl Write for CreateChannelBan {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Created> {
        // A number even where no socket is told: whoever looked at the channel before learns by it that something
        // changed.
        let mut view = call.claim_channel(tx, &self.channel_arn, 1, RULE)?;
        let found = call.identity(tx, &self.member_arn, &self.channel_arn.app_instance())?;
        let (key, member) = (view.channel.key, found.identity);
        if found.is_admin || store::moderator::exists(tx, key, member.key)? {
            return Err(Error::forbidden("MemberArn: an administrator or a moderator cannot be banned"));
        }
        if store::ban::exists(tx, key, member.key)? {
            return Err(Error::conflict("The user or bot is banned from the channel already"));
        }
        let most = call.surroundings.quotas.bans_max;
        if most <= store::ban::count(tx, key, most)? {
            return Err(Error::limit_exceeded("bans of a channel", most));
        }
        store::identity::hold(tx, member.key)?;
        store::ban::insert(tx, key, member.key, view.caller.key, view.channel.clock)?;
        let (created_by, created_at) = (view.caller.clone(), view.channel.clock);
        let ban = Appointment { member: member.clone(), created_by, created_at };
        tx.record(&Event::create_channel_ban(&view.channel, &ban), 1)?;
        let places = store::membership::list_places(tx, &self.channel_arn, key, &member)?;
        leave_all(tx, call.now, &mut view.channel, &places)?;
        Ok(Created { channel_arn: self.channel_arn.clone(), member: Identity::from(&member) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::create_channel_membership::CreateChannelMembership;
    use super::*;
    use crate::testing::*;

    fn ban(channel: &ChannelArn, by: &IdentityArn, who: &IdentityArn) -> CreateChannelBan {
        CreateChannelBan { channel_arn: channel.clone(), member_arn: who.clone(), chime_bearer: by.clone() }
    }

    #[engine_test]
    fn a_banned_member_leaves_and_nobody_can_add_them(world: &mut World) {
        let (ana, bob, root) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Unrestricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &bob);
        world.take_events();
        assert_eq!(world.call(&ban(&channel, &ana, &bob)).unwrap().member.arn, bob);
        assert_eq!(world.told(), [["ana", "bob"]]);
        assert_eq!(world.members(&channel, &ana), ["ana"]);
        for by in [&ana, &bob, &root] {
            let add = CreateChannelMembership {
                channel_arn: channel.clone(),
                member_arn: bob.clone(),
                kind: ChannelMembershipType::Default,
                chime_bearer: by.clone(),
                sub_channel_id: None,
            };
            assert_eq!(world.call(&add).unwrap_err().code, ErrorCode::Forbidden, "{by}");
        }
        assert!(world.take_events().is_empty());
        assert_eq!(world.call(&ban(&channel, &ana, &bob)).unwrap_err().code, ErrorCode::Conflict);
    }

    #[engine_test]
    fn who_is_no_member_is_banned_silently_and_who_moderates_not_at_all(world: &mut World) {
        world.set_quotas(|quotas| quotas.bans_max = 1);
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let root = world.admin("root");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &root);
        world.join(&channel, &ana, &cy);
        world.take_events();
        assert_eq!(world.call(&ban(&channel, &cy, &bob)).unwrap_err().code, ErrorCode::Forbidden);
        assert_eq!(world.call(&ban(&channel, &ana, &root)).unwrap_err().code, ErrorCode::Forbidden);
        assert_eq!(world.call(&ban(&channel, &root, &ana)).unwrap_err().code, ErrorCode::Forbidden);
        let nobody = world.instance().user("nobody");
        assert_eq!(world.call(&ban(&channel, &ana, &nobody)).unwrap_err().code, ErrorCode::Forbidden);
        world.call(&ban(&channel, &root, &bob)).unwrap();
        let refused = world.call(&ban(&channel, &ana, &cy)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::ResourceLimitExceeded);
        assert!(world.take_events().is_empty());
    }

    #[engine_test]
    fn a_ban_from_an_elastic_channel_makes_room(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let [b, c, d] = ["b", "c", "d"].map(|name| world.user(name));
        let place = world.join(&channel, &ana, &b);
        world.join(&channel, &ana, &c);
        world.call(&ban(&channel, &ana, &b)).unwrap();
        assert_eq!(world.members(&channel, &ana), ["c"]);
        assert_eq!(world.join(&channel, &ana, &d), place);
    }
}
