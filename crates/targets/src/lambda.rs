//! A function behind Lambda, called as messaging calls it: for its event, so that the answer is only that it was taken.

use std::time::Duration;

use carillon_model::Timestamp;
use carillon_model::channel_flow::Failure;

use crate::aws::{Aws, Call, Service};

/// Calls a function.
pub(crate) async fn invoke(
    aws: &Aws,
    function: &str,
    payload: &str,
    timeout: Duration,
    now: Timestamp,
) -> Result<(), Failure> {
    let path = format!("/2015-03-31/functions/{}/invocations", function.replace(':', "%3A"));
    let call = Call {
        service: Service::LAMBDA,
        region: function.split(':').nth(3),
        path: &path,
        headers: &[("content-type", "application/json"), ("x-amz-invocation-type", "Event")],
        body: payload.to_owned(),
        timeout,
    };
    aws.call(call, now).await.map(drop).map_err(|refusal| refusal.failure)
}
