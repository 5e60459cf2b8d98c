//! `GetAppInstanceRetentionSettings`: for how many days messages are kept.

use super::put_app_instance_retention_settings::{AppInstanceRetentionSettings, ChannelRetentionSettings};
use crate::prelude::*;

/// The request.
#[operation(GET "/app-instances/{appInstanceArn}/retention-settings" => 200, Got)]
#[errors(BadRequest)]
pub struct GetAppInstanceRetentionSettings {
    /// Where.
    #[label]
    pub app_instance_arn: AppInstanceArn,
}

/// The answer.
#[shape]
pub struct Got {
    /// For how long; never set, it is empty.
    pub app_instance_retention_settings: AppInstanceRetentionSettings,
    /// When destruction begins, while that is to come.
    pub initiate_deletion_timestamp: Option<Timestamp>,
}

impl Read for GetAppInstanceRetentionSettings {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Got> {
        let key = call.app_instance(tx, &self.app_instance_arn)?;
        let retention = store::app_instance::find_retention(tx, key)?;
        let channels =
            retention.map(|retention| ChannelRetentionSettings { retention_days: Some(retention.days) });
        Ok(Got {
            app_instance_retention_settings: AppInstanceRetentionSettings {
                channel_retention_settings: channels,
            },
            initiate_deletion_timestamp: crate::chat::retention::initiates_at(retention, call.now),
        })
    }
}
