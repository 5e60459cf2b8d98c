//! `PutChannelMembershipPreferences`: says what one wants to be notified of in a channel, in place of what
//! one said before.

use carillon_model::channel::Preferences;
use carillon_model::filter;

use super::preferences::view_own;
use crate::prelude::*;

/// The request.
#[operation(PUT "/channels/{channelArn}/memberships/{memberArn}/preferences" => 200, Put)]
#[errors(BadRequest, Conflict)]
#[bearer]
pub struct PutChannelMembershipPreferences {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Whose; only one's own.
    #[label]
    pub member_arn: IdentityArn,
    /// What they want; without anything about notifications, everything again.
    pub preferences: ChannelMembershipPreferences,
}

/// The answer.
#[shape]
pub struct Put {
    /// Where.
    pub channel_arn: ChannelArn,
    /// Whose.
    pub member: Identity,
    /// What they want; as it was said.
    pub preferences: Option<ChannelMembershipPreferences>,
}

impl Write for PutChannelMembershipPreferences {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Put> {
        let preferences = self.checked()?;
        let view = view_own(tx, call, &self.channel_arn, &self.member_arn)?;
        let (channel, member) = (view.channel.key, view.caller.key);
        if !store::preferences::set(tx, channel, member, preferences.as_ref())? {
            return Err(Error::conflict("The bearer has just left the channel"));
        }
        Ok(Put {
            channel_arn: self.channel_arn.clone(),
            member: Identity::from(&view.caller),
            preferences: Some(self.preferences.clone()),
        })
    }
}

impl PutChannelMembershipPreferences {
    /// A rule is checked even where nothing is filtered by it yet, so that none that is stored is wrong.
    fn checked(&self) -> Result<Option<Preferences>> {
        let Some(push) = &self.preferences.push_notifications else { return Ok(None) };
        if push.allow_notifications == AllowNotifications::Filtered && push.filter_rule.is_none() {
            return Err(Error::bad_request("FilterRule: is required for FILTERED"));
        }
        if let Some(rule) = &push.filter_rule {
            let wrong = |violation| Error::bad_request(format!("FilterRule: {violation}"));
            filter::Rule::read(rule).map_err(wrong)?;
        }
        let allow_notifications = push.allow_notifications;
        Ok(Some(Preferences { allow_notifications, filter_rule: push.filter_rule.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::get_channel_membership_preferences::GetChannelMembershipPreferences;
    use super::*;
    use crate::testing::*;

    fn put(
        channel: &ChannelArn,
        who: &IdentityArn,
        allow_notifications: AllowNotifications,
        rule: Option<&str>,
    ) -> PutChannelMembershipPreferences {
        let filter_rule = rule.map(text);
        let push_notifications = Some(PushNotificationPreferences { allow_notifications, filter_rule });
        PutChannelMembershipPreferences {
            channel_arn: channel.clone(),
            member_arn: who.clone(),
            chime_bearer: who.clone(),
            preferences: ChannelMembershipPreferences { push_notifications },
        }
    }

    fn stored(
        world: &mut World,
        channel: &ChannelArn,
        who: &IdentityArn,
    ) -> Option<ChannelMembershipPreferences> {
        let get = GetChannelMembershipPreferences {
            channel_arn: channel.clone(),
            member_arn: who.clone(),
            chime_bearer: who.clone(),
        };
        world.call(&get).unwrap().preferences
    }

    #[engine_test]
    fn what_is_said_replaces_what_was_said_and_a_wrong_rule_nothing(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join_hidden(&channel, &ana, &bob);
        let filtered = put(&channel, &bob, AllowNotifications::Filtered, Some(r#"{"mention":["@Bob"]}"#));
        world.call(&filtered).unwrap();
        assert_eq!(stored(world, &channel, &bob), Some(filtered.preferences.clone()));
        for wrong in [
            put(&channel, &bob, AllowNotifications::Filtered, None),
            put(&channel, &bob, AllowNotifications::Filtered, Some("{}")),
            put(&channel, &bob, AllowNotifications::None, Some("mention")),
        ] {
            assert_eq!(world.call(&wrong).unwrap_err().code, ErrorCode::BadRequest);
        }
        assert_eq!(stored(world, &channel, &bob), Some(filtered.preferences));
        assert_eq!(stored(world, &channel, &ana), None);
        let none = put(&channel, &bob, AllowNotifications::None, None);
        assert_eq!(world.call(&none).unwrap().preferences, Some(none.preferences.clone()));
        assert_eq!(stored(world, &channel, &bob), Some(none.preferences.clone()));
        let preferences = ChannelMembershipPreferences { push_notifications: None };
        world.call(&PutChannelMembershipPreferences { preferences, ..none.clone() }).unwrap();
        assert_eq!(stored(world, &channel, &bob), None);
        world.call(&none).unwrap();
        world.leave(&channel, &bob);
        world.join(&channel, &ana, &bob);
        assert_eq!(stored(world, &channel, &bob), None, "they go with the membership");
    }

    #[engine_test]
    fn nobody_says_it_for_another_and_not_in_an_elastic_channel(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        let own = put(&channel, &bob, AllowNotifications::All, None);
        let others = PutChannelMembershipPreferences { chime_bearer: ana.clone(), ..own };
        assert_eq!(world.call(&others).unwrap_err().code, ErrorCode::Forbidden);
        let elastic = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        world.join(&elastic, &ana, &bob);
        let refused = world.call(&put(&elastic, &bob, AllowNotifications::All, None)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::BadRequest);
        let refused = world.call(&put(&elastic, &ana, AllowNotifications::All, None)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden, "a moderator who is no member");
    }
}
