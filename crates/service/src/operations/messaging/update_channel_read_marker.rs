//! `UpdateChannelReadMarker`: notes that the caller has read a channel up to now. Nobody else learns how far, unless
//! the channel shares its read markers (`front::receipts`).

use crate::prelude::*;

/// The request.
#[operation(PUT "/channels/{channelArn}/readMarker" => 200, Updated)]
#[errors(BadRequest, Conflict)]
#[bearer]
pub struct UpdateChannelReadMarker {
    /// Which.
    #[label]
    pub channel_arn: ChannelArn,
}

/// The answer.
#[shape]
pub struct Updated {
    /// Which.
    pub channel_arn: ChannelArn,
}

const RULE: Rule = Rule(&[Grant::AnyMember]);

impl Write for UpdateChannelReadMarker {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Updated> {
        let view = call.view_channel(tx, &self.channel_arn, RULE)?;
        if view.channel.elastic.is_some() {
            return Err(Error::bad_request("ChannelArn: an elastic channel has no read markers"));
        }
        // What the caller has seen may be of the channel's clock, where another machine's runs ahead of ours.
        let now = call.now.max(view.channel.clock);
        if !store::read_marker::set(tx, view.channel.key, view.caller.key, now)? {
            return Err(Error::conflict("The bearer has just left the channel"));
        }
        if view.is_member() {
            store::read_marker::tell(tx, &view.channel, view.caller.key);
        }
        Ok(Updated { channel_arn: self.channel_arn.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::list_channel_memberships_for_app_instance_user::ListChannelMembershipsForAppInstanceUser;
    use super::*;
    use crate::testing::*;

    fn read(channel: &ChannelArn, who: &IdentityArn) -> UpdateChannelReadMarker {
        UpdateChannelReadMarker { channel_arn: channel.clone(), chime_bearer: who.clone() }
    }

    fn marker(world: &mut World, by: &IdentityArn, whose: &IdentityArn) -> Option<Timestamp> {
        let list = ListChannelMembershipsForAppInstanceUser {
            app_instance_user_arn: Some(whose.clone()),
            max_results: None,
            next_token: None,
            chime_bearer: by.clone(),
        };
        let entries = world.call(&list).unwrap().channel_memberships;
        entries[0].app_instance_user_membership_summary.read_marker_timestamp
    }

    #[engine_test]
    fn a_marker_is_its_readers_alone_and_never_moves_back(world: &mut World) {
        let (ana, bob, root) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join_hidden(&channel, &ana, &bob);
        assert_eq!(marker(world, &bob, &bob), None);
        world.advance_ms(2_000);
        world.take_events();
        world.call(&read(&channel, &bob)).unwrap();
        assert!(world.take_events().is_empty());
        assert_eq!(marker(world, &bob, &bob), Some(START.plus_ms(2_000)));
        assert_eq!(marker(world, &root, &bob), None, "not even an administrator learns");
        assert_eq!(marker(world, &ana, &ana), None);
        world.advance_ms(-1_000);
        world.call(&read(&channel, &bob)).unwrap();
        assert_eq!(marker(world, &bob, &bob), Some(START.plus_ms(2_000)));
        assert_eq!(world.call(&read(&channel, &root)).unwrap_err().code, ErrorCode::Forbidden);
        world.leave(&channel, &bob);
        world.join(&channel, &ana, &bob);
        assert_eq!(marker(world, &bob, &bob), None, "it goes with the membership");
    }

    #[engine_test]
    fn an_elastic_channel_has_none(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        world.join(&channel, &ana, &bob);
        assert_eq!(world.call(&read(&channel, &bob)).unwrap_err().code, ErrorCode::BadRequest);
    }
}
