//! `CreateChannelMembership`: adds a user or a bot to a channel.

use crate::chat::placement::{Joining, join, who_adds};
use crate::prelude::*;

/// The request.
#[operation(POST "/channels/{channelArn}/memberships" => 201, Created)]
#[errors(BadRequest, Conflict, NotFound, ResourceLimitExceeded)]
#[bearer]
pub struct CreateChannelMembership {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Who.
    pub member_arn: IdentityArn,
    /// Seen or hidden.
    #[member("Type")]
    pub kind: ChannelMembershipType,
    /// The sub-channel, for a moderator of an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
}

/// The answer.
#[shape]
pub struct Created {
    /// Where.
    pub channel_arn: ChannelArn,
    /// Who.
    pub member: Identity,
    /// The sub-channel, in an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
}

impl Write for CreateChannelMembership {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Created> {
        let members = std::slice::from_ref(&self.member_arn);
        let rule = who_adds(call, self.kind, members)?;
        let mut view = call.claim_channel(tx, &self.channel_arn, 1, rule)?;
        if self.kind == ChannelMembershipType::Hidden && view.channel.elastic.is_some() {
            return Err(Error::bad_request("Type: an elastic channel has no hidden members"));
        }
        let named = self.sub_channel_id.as_ref();
        let candidates = call.candidates(tx, &view.channel, named, members)?;
        let candidate = candidates.into_values().next();
        let candidate =
            candidate.ok_or_else(|| Error::not_found("MemberArn: the user or bot does not exist"))?;
        let joining =
            Joining { invited_by: &view.caller, kind: self.kind, sub_channel: named, together: &[] };
        let membership = join(tx, call, &mut view.channel, &candidate, &joining)?;
        Ok(Created {
            channel_arn: self.channel_arn.clone(),
            member: Identity::from(&membership.member),
            sub_channel_id: sub_channel_id(membership.channel, membership.sub_channel),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::messaging::create_channel::CreateChannel;
    use crate::testing::*;

    fn add(channel: &ChannelArn, by: &IdentityArn, member: &IdentityArn) -> CreateChannelMembership {
        CreateChannelMembership {
            channel_arn: channel.clone(),
            member_arn: member.clone(),
            kind: ChannelMembershipType::Default,
            chime_bearer: by.clone(),
            sub_channel_id: None,
        }
    }

    #[engine_test]
    fn adding_a_member_twice_is_a_conflict(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.take_events();
        assert_eq!(world.call(&add(&channel, &ana, &bob)).unwrap().member.arn, bob);
        assert_eq!(world.take_events(), ["CREATE_CHANNEL_MEMBERSHIP"]);
        assert_eq!(world.call(&add(&channel, &ana, &bob)).unwrap_err().code, ErrorCode::Conflict);
        assert!(world.take_events().is_empty(), "a refused operation emits nothing");
        assert_eq!(world.call(&add(&channel, &bob, &ana)).unwrap_err().code, ErrorCode::Forbidden);
    }

    #[engine_test]
    fn members_of_an_unrestricted_channel_add_others_and_outsiders_themselves(world: &mut World) {
        let (ana, bob, cy, dora) =
            (world.user("ana"), world.user("bob"), world.user("cy"), world.user("dora"));
        let open = world.channel_of(&ana, ChannelMode::Unrestricted, ChannelPrivacy::Public);
        assert_eq!(world.call(&add(&open, &bob, &cy)).unwrap_err().code, ErrorCode::Forbidden);
        assert!(world.call(&add(&open, &bob, &bob)).is_ok());
        assert!(world.call(&add(&open, &bob, &cy)).is_ok());
        for mode in [ChannelMode::Restricted, ChannelMode::Unrestricted] {
            let closed = world.channel_of(&ana, mode, ChannelPrivacy::Private);
            assert_eq!(world.call(&add(&closed, &dora, &dora)).unwrap_err().code, ErrorCode::Forbidden);
        }
    }

    #[engine_test]
    fn outsiders_add_themselves_to_a_restricted_channel_that_is_public_unless_a_setting_forbids_it(
        world: &mut World,
    ) {
        let (ana, bob, cy, dora) =
            (world.user("ana"), world.user("bob"), world.user("cy"), world.user("dora"));
        let plain = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        let privacy = Some(ChannelPrivacy::Public);
        let elastic = CreateChannel { privacy, ..elastic_request(world, &ana) };
        let elastic = world.call(&elastic).unwrap().channel_arn;
        for channel in [&plain, &elastic] {
            assert_eq!(world.refusal(&add(channel, &bob, &cy)), ErrorCode::Forbidden, "only themselves");
            world.call(&add(channel, &bob, &bob)).unwrap();
            assert_eq!(world.refusal(&add(channel, &bob, &cy)), ErrorCode::Forbidden, "nor as a member");
            world.ban(channel, &ana, &dora);
            assert_eq!(world.refusal(&add(channel, &dora, &dora)), ErrorCode::Forbidden, "banned");
            let hidden = ChannelMembershipType::Hidden;
            let hidden = CreateChannelMembership { kind: hidden, ..add(channel, &cy, &cy) };
            assert_eq!(world.refusal(&hidden), ErrorCode::Forbidden, "hidden");
        }
        world.set_quotas(|quotas| quotas.public_restricted_self_join = false);
        for channel in [&plain, &elastic] {
            assert_eq!(world.refusal(&add(channel, &cy, &cy)), ErrorCode::Forbidden);
        }
        let open = world.channel_of(&ana, ChannelMode::Unrestricted, ChannelPrivacy::Public);
        world.call(&add(&open, &cy, &cy)).unwrap();
    }

    #[engine_test]
    fn whom_nobody_knows_is_not_found_and_only_told_to_who_who_adds(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let nobody = world.instance().user("nobody");
        assert_eq!(world.call(&add(&channel, &ana, &nobody)).unwrap_err().code, ErrorCode::NotFound);
        assert_eq!(world.call(&add(&channel, &bob, &nobody)).unwrap_err().code, ErrorCode::Forbidden);
        let stranger = world.stranger("eve");
        assert_eq!(world.call(&add(&channel, &ana, &stranger)).unwrap_err().code, ErrorCode::BadRequest);
    }

    #[engine_test]
    fn a_hidden_member_is_known_to_those_who_moderate_only(world: &mut World) {
        let (ana, bob, ghost) = (world.user("ana"), world.user("bob"), world.user("ghost"));
        let channel = world.channel_of(&ana, ChannelMode::Unrestricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        let hidden = CreateChannelMembership {
            kind: ChannelMembershipType::Hidden,
            chime_bearer: bob.clone(),
            ..add(&channel, &ana, &ghost)
        };
        assert_eq!(world.call(&hidden).unwrap_err().code, ErrorCode::Forbidden);
        world.take_events();
        world.call(&CreateChannelMembership { chime_bearer: ana.clone(), ..hidden }).unwrap();
        assert_eq!(world.told(), [vec!["ana", "ghost"]]);
        let cy = world.user("cy");
        world.call(&add(&channel, &ana, &cy)).unwrap();
        assert_eq!(world.told(), [vec!["ana", "bob", "cy"]], "a hidden member is not told of others");
    }

    #[engine_test]
    fn the_quota_of_members_holds(world: &mut World) {
        world.set_quotas(|quotas| quotas.channel_memberships_max = 2);
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        let refused = world.call(&add(&channel, &ana, &cy)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::ResourceLimitExceeded);
        world.leave(&channel, &bob);
        assert!(world.call(&add(&channel, &ana, &cy)).is_ok());
    }

    #[engine_test]
    fn members_of_an_elastic_channel_fill_one_sub_channel_after_the_other(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let mut places = Vec::new();
        for name in ["b", "c", "d", "e"] {
            let member = world.user(name);
            let created = world.call(&add(&channel, &ana, &member)).unwrap();
            places.push(created.sub_channel_id.unwrap());
            assert_eq!(world.call(&add(&channel, &ana, &member)).unwrap_err().code, ErrorCode::Conflict);
        }
        assert!(places[0] == places[1] && places[2] == places[3] && places[1] != places[2]);
        let last = world.user("f");
        let refused = world.call(&add(&channel, &ana, &last)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::ResourceLimitExceeded);
        assert_eq!(world.call(&add(&channel, &ana, &ana)).unwrap_err().code, ErrorCode::BadRequest);
        let own =
            CreateChannelMembership { sub_channel_id: Some(places[3].clone()), ..add(&channel, &ana, &ana) };
        assert_eq!(world.call(&own).unwrap().sub_channel_id, Some(places[3].clone()));
    }
}
