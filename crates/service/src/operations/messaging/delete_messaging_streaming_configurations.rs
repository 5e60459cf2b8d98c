//! `DeleteMessagingStreamingConfigurations`: from here on nothing of an app instance is streamed.

use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(DELETE "/app-instances/{appInstanceArn}/streaming-configurations" => 204, NoContent)]
#[errors(BadRequest)]
pub struct DeleteMessagingStreamingConfigurations {
    /// Where.
    #[label]
    pub app_instance_arn: AppInstanceArn,
}

impl Write for DeleteMessagingStreamingConfigurations {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        let instance = call.app_instance(tx, &self.app_instance_arn)?;
        store::streaming::replace(tx, instance, &[])?;
        Ok(NoContent {})
    }
}
