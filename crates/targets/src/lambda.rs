//! A function behind Lambda, as the AWS SDK calls it: its credential chain, its `AWS_ENDPOINT_URL_LAMBDA`.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use carillon_model::channel_flow::{Failure, Reason};
use moka::sync::Cache;
use tokio::sync::OnceCell;

/// Regions whose client is kept; one more pushes the least used out, whose next call makes it anew.
const CLIENTS_MAX: u64 = 8;

pub(crate) struct Lambda {
    timeout: Duration,
    /// Read from the environment at the first call: who has no function there needs none of it.
    config: OnceCell<SdkConfig>,
    /// By region. A client is dear to make.
    clients: Cache<String, Client>,
}

impl Lambda {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, config: OnceCell::new(), clients: Cache::new(CLIENTS_MAX) }
    }

    /// Calls a function for its event, as messaging does: the answer is only that it was taken.
    pub(crate) async fn call(&self, function: &str, payload: &str) -> Result<(), Failure> {
        let client = self.client(function).await;
        let call = client
            .invoke()
            .function_name(function)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(payload));
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let failure = failure(&error);
                tracing::debug!(function, reason = %failure.reason, "a function could not be called");
                Err(failure)
            }
        }
    }

    async fn client(&self, function: &str) -> Client {
        let region = function.split(':').nth(3).unwrap_or_default().to_owned();
        let config = self.config.get_or_init(|| self.load()).await;
        let make = || {
            let config = aws_sdk_lambda::config::Builder::from(config).region(Region::new(region.clone()));
            Client::from_conf(config.build())
        };
        self.clients.get_with_by_ref(&region, make)
    }

    async fn load(&self) -> SdkConfig {
        // Whoever asks for the call decides whether it is made again.
        let timeouts = TimeoutConfig::builder().operation_timeout(self.timeout).build();
        aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .load()
            .await
    }
}

fn failure(error: &SdkError<InvokeError>) -> Failure {
    let transient = |reason| Failure { reason, permanent: false };
    let permanent = |reason| Failure { reason, permanent: true };
    match error {
        SdkError::TimeoutError(_) => transient(Reason::TimedOut),
        // The request could not even be signed: there are no credentials, or no region.
        SdkError::ConstructionFailure(_) => permanent(Reason::NotPermitted),
        SdkError::ServiceError(context) => match (context.err().code().unwrap_or_default(), context.raw()) {
            ("ResourceNotFoundException", _) => permanent(Reason::NotFound),
            ("TooManyRequestsException", _) => transient(Reason::Throttled),
            (_, raw) => match raw.status().as_u16() {
                401 | 403 => permanent(Reason::NotPermitted),
                404 => permanent(Reason::NotFound),
                429 => transient(Reason::Throttled),
                400..500 => permanent(Reason::Refused),
                _ => transient(Reason::Refused),
            },
        },
        _ => transient(Reason::NotReachable),
    }
}
