//! A subject of NATS that `JetStream` keeps: each record is acknowledged when it is stored.

use std::fmt;
use std::time::Duration;

use async_nats::{ConnectOptions, HeaderMap, jetstream};
use bytes::Bytes;
use carillon_model::channel_flow::{Failure, Reason};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::{Put, Record, TIMEOUT};
use crate::trace;
use crate::wire::Refusal;

/// How long it may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a subject is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JetStreamSettings {
    /// `nats://` or `tls://`, perhaps with a user and a password.
    pub url: String,
    /// The subject.
    pub subject: String,
}

/// A subject that is published to.
pub struct JetStream {
    settings: JetStreamSettings,
    /// Connected at the first use: what is down at the start may be up later.
    context: OnceCell<jetstream::Context>,
}

impl fmt::Debug for JetStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStream").field("subject", &self.settings.subject).finish_non_exhaustive()
    }
}

impl JetStream {
    /// A subject; nothing is connected yet.
    pub fn new(settings: JetStreamSettings) -> Result<Self, String> {
        let JetStreamSettings { url, subject } = &settings;
        if !url.starts_with("nats://") && !url.starts_with("tls://") {
            return Err("the url is neither nats:// nor tls://".to_owned());
        }
        let is_word = |word: &str| !word.is_empty() && !word.contains(['*', '>', ' ', '\t', '\r', '\n']);
        if !subject.split('.').all(is_word) {
            return Err(format!("{subject} is no subject that can be published to"));
        }
        Ok(Self { settings, context: OnceCell::new() })
    }

    /// Whether a stream of `JetStream` keeps the subject, and why not; fails where nobody can be reached there.
    pub async fn check(&self) -> Result<Result<(), String>, String> {
        let (context, subject) = (self.context().await?, &self.settings.subject);
        let found = timeout(TIMEOUT, context.stream_by_subject(subject.clone())).await;
        Ok(match found {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("no stream of JetStream keeps the subject {subject}: {error}")),
            Err(_) => Err(format!("nothing keeps the subject {subject}: JetStream does not answer")),
        })
    }

    async fn context(&self) -> Result<&jetstream::Context, String> {
        let connect = || async {
            let options = ConnectOptions::new().name("carillon streams").connection_timeout(CONNECT_TIMEOUT);
            let client = options.connect(&self.settings.url).await;
            let mut context = jetstream::new(client.map_err(|error| error.to_string())?);
            context.set_timeout(TIMEOUT);
            Ok(context)
        };
        self.context.get_or_try_init(connect).await
    }

    /// Publishes a record, and waits until it is stored.
    pub(super) async fn publish(&self, record: Record<'_>, key_header: &'static str) -> Put {
        let failed = |reason: Reason, message: String| Refusal {
            message,
            failure: Failure { reason, permanent: false },
            ..Refusal::transient(reason)
        };
        let context = self.context().await.map_err(|words| failed(Reason::NotReachable, words))?;
        let mut headers = HeaderMap::new();
        headers.insert(key_header, record.key);
        if let Some(parent) = trace::parent() {
            headers.insert(trace::HEADER.as_str(), parent);
        }
        let body = Bytes::copy_from_slice(record.body.as_bytes());
        let stored =
            async { context.publish_with_headers(self.settings.subject.clone(), headers, body).await?.await };
        match timeout(TIMEOUT, stored).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed(Reason::Refused, error.to_string())),
            Err(_) => Err(failed(Reason::TimedOut, "JetStream did not acknowledge a record".to_owned())),
        }
    }
}
