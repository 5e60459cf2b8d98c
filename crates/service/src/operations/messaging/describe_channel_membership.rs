//! `DescribeChannelMembership`: how someone belongs to a channel. A hidden member is known to those who
//! moderate, and to itself.

use carillon_model::channel::Membership;

use crate::prelude::*;

/// The request.
#[operation(GET "/channels/{channelArn}/memberships/{memberArn}" => 200, Described)]
#[errors(BadRequest, NotFound)]
#[bearer]
pub struct DescribeChannelMembership {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Who.
    #[label]
    pub member_arn: IdentityArn,
    /// The sub-channel, for a moderator of an elastic channel.
    #[query("sub-channel-id")]
    pub sub_channel_id: Option<SubChannelId>,
}

/// The answer.
#[shape]
pub struct Described {
    /// The membership.
    pub channel_membership: ChannelMembership,
}

const OTHERS: Rule = Rule(&[Grant::Admin, Grant::Moderator, Grant::Member, Grant::OutsiderIfPublic]);
const OWN: Rule = Rule(&[Grant::Admin, Grant::Moderator, Grant::AnyMember, Grant::OutsiderIfPublic]);

impl Read for DescribeChannelMembership {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Described> {
        let rule = if self.member_arn == self.chime_bearer { OWN } else { OTHERS };
        let view = call.view_channel(tx, &self.channel_arn, rule)?;
        if view.channel.elastic.is_none() && self.sub_channel_id.is_some() {
            return Err(Error::bad_request("SubChannelId: the channel is not elastic"));
        }
        let not_there = || Error::not_found("The user or bot is not a member of the channel");
        let found = call.find_identity(tx, &self.member_arn, &self.channel_arn.app_instance())?;
        let member = found.ok_or_else(not_there)?.identity;
        let key = view.channel.key;
        let mut places = store::membership::list_places(tx, &self.channel_arn, key, &member)?;
        places.retain(|place| self.is_seen(&view, place));
        if let Some(id) = &self.sub_channel_id {
            let named = Key::from_hex(id.as_str());
            places.retain(|place| Some(place.sub_channel) == named);
        } else if view.channel.elastic.is_some() && store::moderator::exists(tx, key, member.key)? {
            return Err(Error::bad_request("SubChannelId: is required for a moderator"));
        }
        let membership = places.into_iter().next().ok_or_else(not_there)?;
        Ok(Described { channel_membership: ChannelMembership::new(&self.channel_arn, &membership) })
    }
}

impl DescribeChannelMembership {
    /// The caller sees what the list of members shows them, and themselves.
    fn is_seen(&self, view: &View, place: &Membership) -> bool {
        let same_place = view.channel.elastic.is_none()
            || view.memberships.is_empty()
            || view.belongs_to(place.sub_channel);
        let open = place.kind == ChannelMembershipType::Default && same_place;
        open || view.is_moderating() || self.member_arn == view.caller.arn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    fn describe(channel: &ChannelArn, who: &IdentityArn, member: &IdentityArn) -> DescribeChannelMembership {
        DescribeChannelMembership {
            channel_arn: channel.clone(),
            member_arn: member.clone(),
            chime_bearer: who.clone(),
            sub_channel_id: None,
        }
    }

    #[engine_test]
    fn a_membership_tells_who_how_and_since_when(world: &mut World) {
        let (ana, bob, eve) = (world.user("ana"), world.user("bob"), world.user("eve"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.advance_ms(1_000);
        world.join(&channel, &ana, &bob);
        let seen = world.call(&describe(&channel, &bob, &bob)).unwrap().channel_membership;
        assert_eq!((seen.invited_by.arn, seen.member.arn), (ana.clone(), bob.clone()));
        assert_eq!(
            (seen.kind, seen.created_timestamp),
            (ChannelMembershipType::Default, START.plus_ms(1_000))
        );
        assert_eq!(seen.sub_channel_id, None);
        assert!(world.call(&describe(&channel, &bob, &ana)).is_ok());
        let mut code = |who: &IdentityArn, member: &IdentityArn| {
            world.call(&describe(&channel, who, member)).unwrap_err().code
        };
        assert_eq!(code(&bob, &eve), ErrorCode::NotFound);
        assert_eq!(code(&bob, &ana.app_instance().user("nobody")), ErrorCode::NotFound);
        assert_eq!(code(&eve, &bob), ErrorCode::Forbidden);
        assert_eq!(code(&eve, &eve), ErrorCode::Forbidden);
        let placed =
            DescribeChannelMembership { sub_channel_id: Some(text("x")), ..describe(&channel, &bob, &bob) };
        assert_eq!(world.call(&placed).unwrap_err().code, ErrorCode::BadRequest);
    }

    #[engine_test]
    fn a_hidden_member_knows_itself_and_is_known_to_who_moderates(world: &mut World) {
        let (ana, bob, ghost) = (world.user("ana"), world.user("bob"), world.user("ghost"));
        let (eve, root) = (world.user("eve"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &bob);
        world.join_hidden(&channel, &ana, &ghost);
        let mut ask = |who: &IdentityArn, member: &IdentityArn| {
            world.call(&describe(&channel, who, member)).map(|_| ()).map_err(|refused| refused.code)
        };
        assert_eq!(ask(&ghost, &ghost), Ok(()));
        assert_eq!(ask(&ghost, &bob), Err(ErrorCode::Forbidden));
        assert_eq!(ask(&ana, &ghost), Ok(()));
        assert_eq!(ask(&root, &ghost), Ok(()));
        assert_eq!(ask(&bob, &ghost), Err(ErrorCode::NotFound));
        assert_eq!(ask(&eve, &ghost), Err(ErrorCode::NotFound));
        assert_eq!(ask(&eve, &bob), Ok(()));
    }

    #[engine_test]
    fn in_an_elastic_channel_members_see_their_own_sub_channel(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let [b, c, d] = ["b", "c", "d"].map(|name| world.user(name));
        let place = world.join(&channel, &ana, &b).unwrap();
        world.join(&channel, &ana, &c);
        world.join(&channel, &ana, &d);
        world.join_sub_channel(&channel, &ana, &place);
        let seen = world.call(&describe(&channel, &c, &b)).unwrap().channel_membership;
        assert_eq!(seen.sub_channel_id, Some(place.clone()));
        assert_eq!(world.call(&describe(&channel, &d, &b)).unwrap_err().code, ErrorCode::NotFound);
        assert_eq!(world.call(&describe(&channel, &ana, &ana)).unwrap_err().code, ErrorCode::BadRequest);
        let own = DescribeChannelMembership { sub_channel_id: Some(place), ..describe(&channel, &ana, &ana) };
        assert!(world.call(&own).is_ok());
    }
}
