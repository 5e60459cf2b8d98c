//! What people do in a test, each in one line: join, send, moderate, leave.

use carillon_model::text::*;
use carillon_model::{AppInstanceArn, ChannelArn, IdentityArn};

use super::client::Refused;
use super::requests::{bot_request, channel_request, message_request, messages_of};
use super::{World, text};
use crate::operations::identity::create_app_instance::CreateAppInstance;
use crate::operations::identity::create_app_instance_admin::CreateAppInstanceAdmin;
use crate::operations::identity::create_app_instance_bot::CreateAppInstanceBot;
use crate::operations::identity::create_app_instance_user::CreateAppInstanceUser;
use crate::operations::messaging::create_channel::CreateChannel;
use crate::operations::messaging::create_channel_ban::CreateChannelBan;
use crate::operations::messaging::create_channel_membership::CreateChannelMembership;
use crate::operations::messaging::create_channel_moderator::CreateChannelModerator;
use crate::operations::messaging::delete_channel::DeleteChannel;
use crate::operations::messaging::delete_channel_membership::DeleteChannelMembership;
use crate::operations::messaging::list_channel_memberships::ListChannelMemberships;
use crate::operations::messaging::send_channel_message::SendChannelMessage;
use crate::operations::tags::tag_resource::TagResource;
use crate::shapes::{Tag, Target};

impl World {
    pub(crate) fn instance(&self) -> &AppInstanceArn {
        &self.instance
    }

    pub(crate) fn new_instance(&mut self) -> AppInstanceArn {
        let create = CreateAppInstance {
            name: text("Bells"),
            metadata: None,
            client_request_token: self.token(),
            tags: None,
        };
        self.call(&create).unwrap().app_instance_arn
    }

    /// Makes another app instance, and has what follows happen there.
    pub(crate) fn use_new_instance(&mut self) {
        self.instance = self.new_instance();
    }

    pub(crate) fn token(&mut self) -> ClientRequestToken {
        self.tokens += 1;
        text(&format!("world-{}", self.tokens))
    }

    /// A user with this id, whose name is the id with a capital.
    pub(crate) fn user(&mut self, id: &str) -> IdentityArn {
        self.user_of(self.instance.clone(), id)
    }

    /// A user of another app instance.
    pub(crate) fn stranger(&mut self, id: &str) -> IdentityArn {
        let instance = self.new_instance();
        self.user_of(instance, id)
    }

    fn user_of(&mut self, app_instance_arn: AppInstanceArn, id: &str) -> IdentityArn {
        let create = CreateAppInstanceUser {
            app_instance_arn,
            app_instance_user_id: text(id),
            name: text(&(id[..1].to_uppercase() + &id[1..])),
            metadata: None,
            client_request_token: self.token(),
            tags: None,
            expiration_settings: None,
        };
        self.call(&create).unwrap().app_instance_user_arn
    }

    /// A user who administers the app instance.
    pub(crate) fn admin(&mut self, id: &str) -> IdentityArn {
        let user = self.user(id);
        self.promote(&user);
        user
    }

    /// Makes someone an administrator.
    pub(crate) fn promote(&mut self, who: &IdentityArn) {
        let (app_instance_admin_arn, app_instance_arn) = (who.clone(), self.instance.clone());
        self.call(&CreateAppInstanceAdmin { app_instance_admin_arn, app_instance_arn }).unwrap();
    }

    /// A bot with this name.
    pub(crate) fn bot(&mut self, name: &str) -> IdentityArn {
        let create = CreateAppInstanceBot { client_request_token: self.token(), ..bot_request(self, name) };
        self.call(&create).unwrap().app_instance_bot_arn
    }

    /// A channel that this user created.
    pub(crate) fn channel_of(
        &mut self,
        who: &IdentityArn,
        mode: ChannelMode,
        privacy: ChannelPrivacy,
    ) -> ChannelArn {
        let create = CreateChannel {
            mode: Some(mode),
            privacy: Some(privacy),
            client_request_token: self.token(),
            ..channel_request(self, who)
        };
        self.call(&create).unwrap().channel_arn
    }

    /// Adds a member; answers where it went in an elastic channel.
    pub(crate) fn join(
        &mut self,
        channel: &ChannelArn,
        by: &IdentityArn,
        member: &IdentityArn,
    ) -> Option<SubChannelId> {
        self.join_as(channel, by, member, ChannelMembershipType::Default, None).unwrap()
    }

    /// Adds a member, if that may be.
    pub(crate) fn try_join(
        &mut self,
        channel: &ChannelArn,
        by: &IdentityArn,
        member: &IdentityArn,
        kind: ChannelMembershipType,
    ) -> Result<Option<SubChannelId>, Refused> {
        self.join_as(channel, by, member, kind, None)
    }

    pub(crate) fn join_hidden(&mut self, channel: &ChannelArn, by: &IdentityArn, member: &IdentityArn) {
        self.join_as(channel, by, member, ChannelMembershipType::Hidden, None).unwrap();
    }

    pub(crate) fn join_sub_channel(&mut self, channel: &ChannelArn, who: &IdentityArn, place: &SubChannelId) {
        self.join_as(channel, who, who, ChannelMembershipType::Default, Some(place.clone())).unwrap();
    }

    fn join_as(
        &mut self,
        channel: &ChannelArn,
        by: &IdentityArn,
        member: &IdentityArn,
        kind: ChannelMembershipType,
        sub_channel_id: Option<SubChannelId>,
    ) -> Result<Option<SubChannelId>, Refused> {
        let create = CreateChannelMembership {
            channel_arn: channel.clone(),
            member_arn: member.clone(),
            kind,
            chime_bearer: by.clone(),
            sub_channel_id,
        };
        self.call(&create).map(|created| created.sub_channel_id)
    }

    /// Sets a tag.
    pub(crate) fn tag(&mut self, resource: &str, key: &str, value: &str) {
        let tags = vec![Tag { key: text(key), value: text(value) }];
        self.call(&TagResource { resource_arn: text(resource), tags }).unwrap();
    }

    /// Makes someone a moderator.
    pub(crate) fn moderate(&mut self, channel: &ChannelArn, by: &IdentityArn, who: &IdentityArn) {
        self.try_moderate(channel, by, who).unwrap();
    }

    /// Makes someone a moderator, if that may be.
    pub(crate) fn try_moderate(
        &mut self,
        channel: &ChannelArn,
        by: &IdentityArn,
        who: &IdentityArn,
    ) -> Result<(), Refused> {
        let create = CreateChannelModerator {
            channel_arn: channel.clone(),
            channel_moderator_arn: who.clone(),
            chime_bearer: by.clone(),
        };
        self.call(&create).map(|_| ())
    }

    /// Bans someone.
    pub(crate) fn ban(&mut self, channel: &ChannelArn, by: &IdentityArn, who: &IdentityArn) {
        self.try_ban(channel, by, who).unwrap();
    }

    /// Bans someone, if that may be.
    pub(crate) fn try_ban(
        &mut self,
        channel: &ChannelArn,
        by: &IdentityArn,
        who: &IdentityArn,
    ) -> Result<(), Refused> {
        let create = CreateChannelBan {
            channel_arn: channel.clone(),
            member_arn: who.clone(),
            chime_bearer: by.clone(),
        };
        self.call(&create).map(|_| ())
    }

    /// Deletes a channel.
    pub(crate) fn end(&mut self, channel: &ChannelArn, by: &IdentityArn) {
        self.try_end(channel, by).unwrap();
    }

    /// Deletes a channel, if it is there.
    pub(crate) fn try_end(&mut self, channel: &ChannelArn, by: &IdentityArn) -> Result<(), Refused> {
        let delete = DeleteChannel { channel_arn: channel.clone(), chime_bearer: by.clone() };
        self.call(&delete).map(|_| ())
    }

    /// Takes a member of a channel out.
    pub(crate) fn leave(&mut self, channel: &ChannelArn, who: &IdentityArn) {
        self.try_leave(channel, who).unwrap();
    }

    /// Takes someone out of a channel, if they belong to it.
    pub(crate) fn try_leave(&mut self, channel: &ChannelArn, who: &IdentityArn) -> Result<(), Refused> {
        let delete = DeleteChannelMembership {
            channel_arn: channel.clone(),
            member_arn: who.clone(),
            chime_bearer: who.clone(),
            sub_channel_id: None,
        };
        self.call(&delete).map(|_| ())
    }

    /// Sets how many days the messages of an app instance are kept.
    pub(crate) fn keep_messages(&mut self, instance: &AppInstanceArn, days: Option<&str>) {
        let days: serde_json::Map<_, _> = days
            .map(|days| ("RetentionDays".to_owned(), days.parse::<i64>().unwrap().into()))
            .into_iter()
            .collect();
        let body = serde_json::json!({
            "AppInstanceRetentionSettings": { "ChannelRetentionSettings": days }
        });
        let target = format!(
            "/app-instances/{}/retention-settings",
            instance.as_str().replace(':', "%3A").replace('/', "%2F")
        );
        assert_eq!(self.raw("PUT", &target, body.to_string().as_bytes()).0, 200);
    }

    /// Sends a message, with a token of its own.
    pub(crate) fn send(&mut self, channel: &ChannelArn, who: &IdentityArn, content: &str) -> MessageId {
        let client_request_token = self.token();
        let send = SendChannelMessage { client_request_token, ..message_request(channel, who, content) };
        self.call(&send).unwrap().message_id
    }

    /// Sends a message that only the target sees.
    pub(crate) fn send_to(
        &mut self,
        channel: &ChannelArn,
        who: &IdentityArn,
        content: &str,
        target: &IdentityArn,
    ) -> MessageId {
        let client_request_token = self.token();
        let target = Some(vec![Target { member_arn: Some(target.clone()) }]);
        let send =
            SendChannelMessage { client_request_token, target, ..message_request(channel, who, content) };
        self.call(&send).unwrap().message_id
    }

    /// The ids of the members that someone sees, in order.
    pub(crate) fn members(&mut self, channel: &ChannelArn, who: &IdentityArn) -> Vec<String> {
        let list = ListChannelMemberships {
            channel_arn: channel.clone(),
            kind: None,
            max_results: None,
            next_token: None,
            chime_bearer: who.clone(),
            sub_channel_id: None,
        };
        let listed = self.call(&list).unwrap().channel_memberships;
        let mut ids: Vec<_> = listed.iter().map(|entry| entry.member.arn.id().to_owned()).collect();
        ids.sort();
        ids
    }

    /// The contents that someone sees, newest first.
    pub(crate) fn contents(&mut self, channel: &ChannelArn, who: &IdentityArn) -> Vec<String> {
        let listed = self.call(&messages_of(channel, who)).unwrap().channel_messages;
        listed.into_iter().map(|message| message.content.unwrap().into_string()).collect()
    }
}
