//! `PutChannelExpirationSettings`: says when a channel goes away by itself; without settings, it stays.

use crate::prelude::*;

/// The request.
#[operation(PUT "/channels/{channelArn}/expiration-settings" => 200, Put)]
#[errors(BadRequest, Conflict)]
pub struct PutChannelExpirationSettings {
    /// Which.
    #[label]
    pub channel_arn: ChannelArn,
    /// Who acts. The interface lets it be absent; the documentation does not.
    #[header("x-amz-chime-bearer")]
    pub chime_bearer: Option<IdentityArn>,
    /// When.
    pub expiration_settings: Option<ExpirationSettings>,
}

/// The answer.
#[shape]
pub struct Put {
    /// Which.
    pub channel_arn: ChannelArn,
    /// When.
    pub expiration_settings: Option<ExpirationSettings>,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator]);

impl Write for PutChannelExpirationSettings {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Put> {
        let mut channel = call.claim_channel(tx, &self.channel_arn, 1, RULE)?.channel;
        let settings = self.expiration_settings.as_ref();
        channel.expiration =
            settings.map(|settings| (settings.expiration_days, settings.expiration_criterion));
        crate::chat::channel::settle_expiration(tx, &mut channel)?;
        Ok(Put { channel_arn: channel.arn, expiration_settings: self.expiration_settings.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_channel::DescribeChannel;
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn settings_are_set_told_and_taken_away_again(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        world.take_events();
        let settings = Some(ExpirationSettings {
            expiration_days: 7.try_into().unwrap(),
            expiration_criterion: ExpirationCriterion::LastMessageTimestamp,
        });
        let put = PutChannelExpirationSettings {
            channel_arn: channel.clone(),
            chime_bearer: Some(ana.clone()),
            expiration_settings: settings.clone(),
        };
        let describe = DescribeChannel { channel_arn: channel.clone(), chime_bearer: bob.clone() };
        assert_eq!(world.call(&put).unwrap().expiration_settings, settings);
        assert_eq!(world.call(&describe).unwrap().channel.expiration_settings, settings);
        let event = world.take_full_events().remove(0);
        let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
        let expected =
            serde_json::json!({ "ExpirationDays": 7, "ExpirationCriterion": "LAST_MESSAGE_TIMESTAMP" });
        assert_eq!((event.kind.as_str(), &payload["ExpirationSettings"]), ("UPDATE_CHANNEL", &expected));
        let take = PutChannelExpirationSettings { expiration_settings: None, ..put.clone() };
        assert_eq!(world.call(&take).unwrap().expiration_settings, None);
        assert_eq!(world.call(&describe).unwrap().channel.expiration_settings, None);
        assert_eq!(world.told(), [["ana", "bob"]]);
        let by_bob = PutChannelExpirationSettings { chime_bearer: Some(bob), ..put.clone() };
        assert_eq!(world.call(&by_bob).unwrap_err().code, ErrorCode::Forbidden);
        let by_nobody = PutChannelExpirationSettings { chime_bearer: None, ..put };
        assert_eq!(world.call(&by_nobody).unwrap_err().code, ErrorCode::Unauthorized);
    }
}
