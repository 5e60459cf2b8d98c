//! `DeleteAppInstanceUser`: ends a user, for ever. What they sent stays, under their ARN and their last name.
//!
//! At once they can do nothing, have no role in the app instance and no endpoints, and their sockets are closed; they
//! leave their channels in steps.

use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(DELETE "/app-instance-users/{appInstanceUserArn}" => 204, NoContent)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
pub struct DeleteAppInstanceUser {
    /// Who.
    #[label]
    pub app_instance_user_arn: IdentityArn,
}

impl Write for DeleteAppInstanceUser {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        crate::call::only_user("AppInstanceUserArn", &self.app_instance_user_arn)?;
        let found = store::identity::find(tx, &self.app_instance_user_arn)?;
        let user = found.ok_or_else(|| Error::forbidden("The user does not exist"))?;
        crate::chat::person::delete(tx, &user, call.now)?;
        Ok(NoContent {})
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_app_instance_user::DescribeAppInstanceUser;
    use super::super::list_app_instance_admins::ListAppInstanceAdmins;
    use super::super::list_app_instance_users::ListAppInstanceUsers;
    use super::super::put_app_instance_user_expiration_settings::PutAppInstanceUserExpirationSettings;
    use super::super::update_app_instance_user::UpdateAppInstanceUser;
    use super::*;
    use crate::operations::messaging::create_channel_membership::CreateChannelMembership;
    use crate::operations::messaging::describe_channel::DescribeChannel;
    use crate::operations::messaging::describe_channel_moderator::DescribeChannelModerator;
    use crate::operations::messaging::list_channel_bans::ListChannelBans;
    use crate::operations::messaging::list_channel_moderators::ListChannelModerators;
    use crate::operations::tags::list_tags_for_resource::ListTagsForResource;
    use crate::operations::tags::tag_resource::TagResource;
    use crate::testing::*;

    fn delete(who: &IdentityArn) -> DeleteAppInstanceUser {
        DeleteAppInstanceUser { app_instance_user_arn: who.clone() }
    }

    #[engine_test]
    fn a_deleted_user_can_do_nothing_and_is_shown_nowhere(world: &mut World) {
        let (ana, bob) = (world.admin("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &bob);
        world.take_events();
        world.call(&delete(&ana)).unwrap();
        assert_eq!(world.take_events(), ["DELETE_APP_INSTANCE_USER"], "sockets end before channels are left");
        let app_instance_user_arn = ana.clone();
        let describe = DescribeAppInstanceUser { app_instance_user_arn };
        assert_eq!(world.refusal(&describe), ErrorCode::Forbidden);
        assert_eq!(world.refusal(&delete(&ana)), ErrorCode::Forbidden);
        let (app_instance_user_arn, name, metadata) = (ana.clone(), text("Anna"), text(""));
        let update = UpdateAppInstanceUser { app_instance_user_arn, name, metadata };
        assert_eq!(world.refusal(&update), ErrorCode::Forbidden);
        let app_instance_user_arn = ana.clone();
        let put = PutAppInstanceUserExpirationSettings { app_instance_user_arn, expiration_settings: None };
        assert_eq!(world.refusal(&put), ErrorCode::Forbidden);
        let look =
            |who: &IdentityArn| DescribeChannel { channel_arn: channel.clone(), chime_bearer: who.clone() };
        assert_eq!(world.refusal(&look(&ana)), ErrorCode::Unauthorized);
        let (app_instance_arn, max_results, next_token) = (world.instance().clone(), None, None);
        let users =
            ListAppInstanceUsers { app_instance_arn: app_instance_arn.clone(), max_results, next_token };
        assert_eq!(world.call(&users).unwrap().app_instance_users.len(), 1);
        let admins = ListAppInstanceAdmins { app_instance_arn, max_results, next_token: None };
        assert!(world.call(&admins).unwrap().app_instance_admins.is_empty());
        let shown = world.call(&look(&bob)).unwrap().channel;
        assert_eq!(shown.created_by.unwrap().name.as_str(), "Ana", "the last known name");
        let add = CreateChannelMembership {
            channel_arn: channel.clone(),
            member_arn: ana,
            kind: ChannelMembershipType::Default,
            chime_bearer: bob,
            sub_channel_id: None,
        };
        assert_eq!(world.refusal(&add), ErrorCode::Forbidden);
    }

    #[engine_test]
    fn they_leave_every_channel_in_steps_and_the_others_are_told(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let joined: Vec<ChannelArn> = (0..3)
            .map(|_| {
                let channel = world.channel_of(&bob, ChannelMode::Restricted, ChannelPrivacy::Private);
                world.join(&channel, &bob, &ana);
                channel
            })
            .collect();
        world.moderate(&joined[0], &bob, &ana);
        world.join_hidden(&joined[2], &bob, &cy);
        let banned = world.channel_of(&bob, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.ban(&banned, &bob, &ana);
        let ended = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.end(&ended, &ana);
        world.send(&joined[1], &ana, "still here?");
        world.told();
        world.call(&delete(&ana)).unwrap();
        assert_eq!(world.told(), [Vec::<String>::new()], "nobody reads the end of a user");
        world.run_jobs();
        assert_eq!(world.told(), [["ana", "bob"]; 3]);
        for channel in &joined {
            assert!(!world.members(channel, &bob).contains(&"ana".to_owned()));
        }
        assert_eq!(world.contents(&joined[1], &bob), ["still here?"]);
        let (channel_arn, chime_bearer) = (joined[0].clone(), bob.clone());
        let (max_results, next_token) = (None, None);
        let list = ListChannelModerators { channel_arn, max_results, next_token, chime_bearer };
        assert_eq!(world.call(&list).unwrap().channel_moderators.len(), 1);
        let (max_results, next_token) = (None, None);
        let list = ListChannelBans { channel_arn: banned, max_results, next_token, chime_bearer: bob };
        assert!(world.call(&list).unwrap().channel_bans.is_empty());
        world.run_jobs();
        assert!(world.take_events().is_empty());
    }

    #[engine_test]
    fn their_id_may_be_created_anew_without_what_they_had(world: &mut World) {
        let (ana, bob) = (world.admin("ana"), world.user("bob"));
        let channel = world.channel_of(&bob, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &bob, &ana);
        world.moderate(&channel, &bob, &ana);
        world.send(&channel, &ana, "Before");
        let tags = vec![Tag { key: text("k"), value: text("v") }];
        world.call(&TagResource { resource_arn: text(ana.as_str()), tags }).unwrap();
        world.call(&delete(&ana)).unwrap();
        let again = world.user("ana"); // Before the first one left her channels.
        assert_eq!(again, ana);
        let listed = world.call(&ListTagsForResource { resource_arn: text(ana.as_str()) }).unwrap();
        assert!(listed.tags.is_empty());
        let look = DescribeChannelModerator {
            channel_arn: channel.clone(),
            channel_moderator_arn: again.clone(),
            chime_bearer: bob.clone(),
        };
        assert_eq!(world.call(&look).unwrap_err().code, ErrorCode::NotFound);
        world.join(&channel, &bob, &again);
        world.run_jobs();
        assert_eq!(world.members(&channel, &bob), ["ana", "bob"]);
        assert_eq!(world.contents(&channel, &again), ["Before"]);
    }

    #[engine_test]
    fn a_member_of_an_elastic_channel_makes_room_by_going(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let [b, c, d] = ["b", "c", "d"].map(|name| world.user(name));
        let place = world.join(&channel, &ana, &b);
        world.join(&channel, &ana, &c);
        world.call(&delete(&b)).unwrap();
        world.run_jobs();
        assert_eq!(world.join(&channel, &ana, &d), place);
    }
}
