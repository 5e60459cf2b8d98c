//! `GetMessagingStreamingConfigurations`: where the events of an app instance are streamed to.

use crate::prelude::*;

/// The request.
#[operation(GET "/app-instances/{appInstanceArn}/streaming-configurations" => 200, Got)]
#[errors(BadRequest, NotFound)]
pub struct GetMessagingStreamingConfigurations {
    /// Where.
    #[label]
    pub app_instance_arn: AppInstanceArn,
}

/// The answer.
#[shape]
pub struct Got {
    /// As they were put; empty where nothing was.
    pub streaming_configurations: Vec<StreamingConfiguration>,
}

impl Read for GetMessagingStreamingConfigurations {
    fn run(&self, tx: &mut Tx, _: &Call) -> Result<Got> {
        let missing = || Error::not_found("AppInstanceArn: the app instance does not exist");
        let instance = self.app_instance_arn.key().ok_or_else(missing)?;
        if !store::app_instance::exists(tx, instance)? {
            return Err(missing());
        }
        let streaming_configurations = store::streaming::list(tx, instance)?
            .into_iter()
            .map(|(data_type, resource_arn)| StreamingConfiguration { data_type, resource_arn })
            .collect();
        Ok(Got { streaming_configurations })
    }
}
