//! `DeleteChannelMembership`: takes a member out of a channel. One's own messages stay, and a moderator's role.

use crate::chat::placement::leave_all;
use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(DELETE "/channels/{channelArn}/memberships/{memberArn}" => 204, NoContent)]
#[errors(BadRequest, Conflict)]
#[bearer]
pub struct DeleteChannelMembership {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Who.
    #[label]
    pub member_arn: IdentityArn,
    /// The sub-channel, for a moderator of an elastic channel; all of theirs where nothing is said.
    #[query("sub-channel-id")]
    pub sub_channel_id: Option<SubChannelId>,
}

/// Who may take others out.
const OTHERS: Rule = Rule(&[Grant::Admin, Grant::Moderator]);
/// Who may leave.
const OWN: Rule = Rule(&[Grant::Admin, Grant::Moderator, Grant::AnyMember]);

impl Write for DeleteChannelMembership {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        let rule = if self.member_arn == self.chime_bearer { OWN } else { OTHERS };
        let mut view = call.claim_channel(tx, &self.channel_arn, 0, rule)?;
        let found = call.find_identity(tx, &self.member_arn, &self.channel_arn.app_instance())?;
        let not_there = || Error::conflict("The user or bot is not a member of the channel");
        let member = found.ok_or_else(not_there)?.identity;
        let key = view.channel.key;
        let mut places = store::membership::list_places(tx, &self.channel_arn, key, &member)?;
        if let Some(id) = &self.sub_channel_id {
            let moderates = store::moderator::exists(tx, key, member.key)?;
            if view.channel.elastic.is_none() || !moderates {
                return Err(Error::bad_request("SubChannelId: is for the moderators of an elastic channel"));
            }
            let named = Key::from_hex(id.as_str());
            places.retain(|place| Some(place.sub_channel) == named);
        }
        if places.is_empty() {
            return Err(not_there());
        }
        leave_all(tx, call.now, &mut view.channel, &places)?;
        Ok(NoContent {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    fn remove(channel: &ChannelArn, by: &IdentityArn, member: &IdentityArn) -> DeleteChannelMembership {
        DeleteChannelMembership {
            channel_arn: channel.clone(),
            member_arn: member.clone(),
            chime_bearer: by.clone(),
            sub_channel_id: None,
        }
    }

    #[engine_test]
    fn members_leave_by_themselves_and_others_are_taken_out_by_moderators(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        world.join(&channel, &ana, &cy);
        world.take_events();
        assert_eq!(world.call(&remove(&channel, &bob, &cy)).unwrap_err().code, ErrorCode::Forbidden);
        world.call(&remove(&channel, &bob, &bob)).unwrap();
        assert_eq!(world.told(), [vec!["ana", "bob", "cy"]], "the one who left is told too");
        world.call(&remove(&channel, &ana, &cy)).unwrap();
        assert_eq!(world.told(), [vec!["ana", "cy"]]);
        assert_eq!(world.call(&remove(&channel, &ana, &cy)).unwrap_err().code, ErrorCode::Conflict);
        assert_eq!(world.call(&remove(&channel, &bob, &bob)).unwrap_err().code, ErrorCode::Forbidden);
        assert!(world.take_events().is_empty());
        assert_eq!(world.members(&channel, &ana), ["ana"]);
    }

    #[engine_test]
    fn a_moderator_leaves_every_sub_channel_at_once(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let place = world.join(&channel, &ana, &bob).unwrap();
        world.join_sub_channel(&channel, &ana, &place);
        let named =
            DeleteChannelMembership { sub_channel_id: Some(place.clone()), ..remove(&channel, &ana, &bob) };
        assert_eq!(world.call(&named).unwrap_err().code, ErrorCode::BadRequest);
        world.take_events();
        world.call(&remove(&channel, &ana, &ana)).unwrap();
        assert_eq!(world.take_events(), ["DELETE_CHANNEL_MEMBERSHIP"]);
        assert_eq!(world.call(&remove(&channel, &ana, &ana)).unwrap_err().code, ErrorCode::Conflict);
        world.call(&remove(&channel, &ana, &bob)).unwrap();
    }
}
