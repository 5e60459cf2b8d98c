//! `PutAppInstanceRetentionSettings`: says for how many days messages are kept. Older ones are unseen at once,
//! and destroyed after a grace, within which a longer period shows them again.

use carillon_store::app_instance::Retention;

use crate::chat::retention::GRACE_MS;
use crate::prelude::*;

/// The request.
#[operation(PUT "/app-instances/{appInstanceArn}/retention-settings" => 200, Put)]
#[errors(BadRequest)]
pub struct PutAppInstanceRetentionSettings {
    /// Where.
    #[label]
    pub app_instance_arn: AppInstanceArn,
    /// For how long; without days, for ever.
    pub app_instance_retention_settings: AppInstanceRetentionSettings,
}

/// The answer.
#[shape]
pub struct Put {
    /// For how long.
    pub app_instance_retention_settings: AppInstanceRetentionSettings,
    /// When destruction begins, while that is to come.
    pub initiate_deletion_timestamp: Option<Timestamp>,
}

/// How long an app instance keeps what is in it.
#[shape]
pub struct AppInstanceRetentionSettings {
    /// How long it keeps messages.
    pub channel_retention_settings: Option<ChannelRetentionSettings>,
}

/// How long messages are kept.
#[shape]
pub struct ChannelRetentionSettings {
    /// For how many days; absent, for ever.
    pub retention_days: Option<RetentionDays>,
}

impl Write for PutAppInstanceRetentionSettings {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Put> {
        let key = call.app_instance(tx, &self.app_instance_arn)?;
        let channels = self.app_instance_retention_settings.channel_retention_settings.as_ref();
        let days = channels.and_then(|settings| settings.retention_days);
        let former = store::app_instance::find_retention(tx, key)?;
        let retention = days.map(|days| match former {
            // What the former period left is all that the new one hides: nothing needs a new grace.
            Some(former) if former.days <= days => Retention { days, ..former },
            _ => Retention { days, destroys_at: call.now.plus_ms(GRACE_MS) },
        });
        // Two puts at once do not both stand on the same former period: the second runs again.
        store::app_instance::set_retention(tx, key, former, retention)?;
        Ok(Put {
            app_instance_retention_settings: self.app_instance_retention_settings.clone(),
            initiate_deletion_timestamp: crate::chat::retention::initiates_at(retention, call.now),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::get_app_instance_retention_settings::GetAppInstanceRetentionSettings;
    use super::*;
    use crate::chat::retention::DAY_MS;
    use crate::testing::*;

    fn keep(world: &World, days: Option<&str>) -> PutAppInstanceRetentionSettings {
        let retention_days = days.map(text);
        PutAppInstanceRetentionSettings {
            app_instance_arn: world.instance().clone(),
            app_instance_retention_settings: AppInstanceRetentionSettings {
                channel_retention_settings: Some(ChannelRetentionSettings { retention_days }),
            },
        }
    }

    #[engine_test]
    fn shortening_begins_a_grace_and_extending_keeps_it(world: &mut World) {
        let get = GetAppInstanceRetentionSettings { app_instance_arn: world.instance().clone() };
        let never = world.call(&get).unwrap();
        assert_eq!(never.app_instance_retention_settings.channel_retention_settings, None);
        assert_eq!(never.initiate_deletion_timestamp, None);
        let ends = START.plus_ms(GRACE_MS);
        let put = world.call(&keep(world, Some("10"))).unwrap();
        assert_eq!(put.initiate_deletion_timestamp, Some(ends));
        world.advance_ms(DAY_MS);
        let put = world.call(&keep(world, Some("20"))).unwrap();
        assert_eq!(put.initiate_deletion_timestamp, Some(ends));
        let put = world.call(&keep(world, Some("5"))).unwrap();
        assert_eq!(put.initiate_deletion_timestamp, Some(ends.plus_ms(DAY_MS)));
        let got = world.call(&get).unwrap();
        assert_eq!(got.app_instance_retention_settings, put.app_instance_retention_settings);
        assert_eq!(got.initiate_deletion_timestamp, put.initiate_deletion_timestamp);
        world.advance_ms(GRACE_MS);
        assert_eq!(world.call(&get).unwrap().initiate_deletion_timestamp, None);
        world.call(&keep(world, None)).unwrap();
        let got = world.call(&get).unwrap().app_instance_retention_settings;
        assert_eq!(got.channel_retention_settings, None);
    }

    #[engine_test]
    fn older_messages_are_unseen_at_once_and_seen_again_under_a_longer_period(world: &mut World) {
        use crate::operations::messaging::get_channel_message::GetChannelMessage;
        use crate::operations::messaging::get_channel_message_status::GetChannelMessageStatus;
        let ana = world.user("ana");
        let channel_arn = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let message_id = world.send(&channel_arn, &ana, "old");
        world.advance_ms(2 * DAY_MS);
        world.send(&channel_arn, &ana, "new");
        world.call(&keep(world, Some("1"))).unwrap();
        assert_eq!(world.contents(&channel_arn, &ana), ["new"]);
        let get = GetChannelMessage {
            channel_arn: channel_arn.clone(),
            message_id,
            chime_bearer: ana.clone(),
            sub_channel_id: None,
        };
        assert_eq!(world.call(&get).unwrap_err().code, ErrorCode::NotFound);
        let status = GetChannelMessageStatus {
            channel_arn: channel_arn.clone(),
            message_id: get.message_id.clone(),
            chime_bearer: ana.clone(),
            sub_channel_id: None,
        };
        assert_eq!(world.call(&status).unwrap_err().code, ErrorCode::Forbidden, "purged has no status");
        world.call(&keep(world, Some("3"))).unwrap();
        assert_eq!(world.contents(&channel_arn, &ana), ["new", "old"]);
        assert!(world.call(&get).is_ok());
    }

    #[engine_test]
    fn what_the_grace_has_passed_is_destroyed_and_stays_so(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.send(&channel, &ana, "old");
        world.call(&keep(world, Some("1"))).unwrap();
        world.advance_ms(2 * DAY_MS);
        world.destroy_old_messages();
        world.call(&keep(world, Some("100"))).unwrap();
        assert_eq!(world.contents(&channel, &ana), ["old"], "the grace still ran");
        world.advance_ms(98 * DAY_MS);
        world.send(&channel, &ana, "new");
        world.advance_ms(DAY_MS);
        world.destroy_old_messages();
        world.call(&keep(world, None)).unwrap();
        assert_eq!(world.contents(&channel, &ana), ["new"]);
    }
}
