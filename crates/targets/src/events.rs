//! Where events for operators go: `EventBridge`, or a URL. They come in the envelope of the original, as JSON, and are
//! looked at before they are sent: what `EventBridge` would refuse says so here, where its imitations take it.

use std::sync::Arc;
use std::time::Duration;

use carillon_model::Timestamp;
use carillon_model::channel_flow::{Failure, Reason};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::aws::{Aws, Call, Service};
use crate::native::Native;
use crate::wire::{self, Refusal};

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most events of one call of `EventBridge`,
const ENTRIES_MAX: usize = 10;
/// and the most bytes of all of them, by its own count: time, source, detail type and detail.
const ENTRIES_BYTES_MAX: usize = 256 * 1024;
/// What its count takes for a time.
const TIME_BYTES: usize = 14;
/// The most bytes of a detail type.
const DETAIL_TYPE_BYTES_MAX: usize = 128;

/// Where events go.
#[derive(Debug, Clone)]
pub enum Sink {
    /// To a URL, as they are.
    Http(Native),
    /// To a bus of `EventBridge`.
    EventBridge {
        /// Its name, or its ARN.
        bus: String,
        /// Whose events they are: `aws.…` is refused from anybody else.
        source: String,
    },
}

/// Sends events.
pub struct Events {
    sink: Sink,
    http: reqwest::Client,
    aws: Arc<Aws>,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It was taken.
    Taken,
    /// It was not, and may be later.
    Later(Refusal),
    /// It is wrong in itself, and never will be.
    Never(Refusal),
}

/// An event: when, and in its envelope.
pub type Enveloped<'a> = (Timestamp, &'a str);

impl Events {
    /// Sends events there.
    pub fn new(sink: Sink, http: reqwest::Client, aws: Arc<Aws>) -> Self {
        Self { sink, http, aws }
    }

    /// How many events one call takes.
    pub fn len_max(&self) -> usize {
        match self.sink {
            Sink::Http(_) => 1,
            Sink::EventBridge { .. } => ENTRIES_MAX,
        }
    }

    /// Sends events; answers for each what became of it. `now` is the real time.
    pub async fn send(&self, events: &[Enveloped<'_>], now: Timestamp) -> Vec<Sent> {
        match &self.sink {
            Sink::Http(native) => {
                let mut sent = Vec::with_capacity(events.len());
                for (_, envelope) in events {
                    let request = native.post_to(&self.http, "", (*envelope).to_owned(), now);
                    let posted = wire::send(request, TIMEOUT).await;
                    sent.push(posted.map_or_else(Sent::Later, |_| Sent::Taken));
                }
                sent
            }
            Sink::EventBridge { bus, source } => self.put_all(events, (bus, source), now).await,
        }
    }

    /// Puts events on a bus, in as few calls as it lets.
    async fn put_all(
        &self,
        events: &[Enveloped<'_>],
        (bus, source): (&str, &str),
        now: Timestamp,
    ) -> Vec<Sent> {
        let mut sent = Vec::with_capacity(events.len());
        let entries: Vec<_> = events.iter().map(|event| entry(*event, bus, source)).collect();
        let mut entries = entries.into_iter().peekable();
        while let Some(first) = entries.next() {
            let first = match first {
                Ok(first) => first,
                Err(refusal) => {
                    sent.push(Sent::Never(refusal));
                    continue;
                }
            };
            let mut room = ENTRIES_BYTES_MAX - first.length();
            let mut batch = vec![first];
            let fits =
                |next: &Result<Entry<'_>, _>, room| next.as_ref().is_ok_and(|next| next.length() <= room);
            while batch.len() < ENTRIES_MAX
                && let Some(Ok(next)) = entries.next_if(|next| fits(next, room))
            {
                room -= next.length();
                batch.push(next);
            }
            sent.extend(self.put(&batch, bus, now).await);
        }
        sent
    }

    /// Puts entries on the bus, which takes or refuses each by itself.
    async fn put(&self, entries: &[Entry<'_>], bus: &str, now: Timestamp) -> Vec<Sent> {
        let body = serde_json::json!({ "Entries": entries }).to_string();
        let call = Call {
            service: Service::EVENTBRIDGE,
            region: bus.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2)),
            path: "/",
            headers: &[
                ("content-type", "application/x-amz-json-1.1"),
                ("x-amz-target", "AWSEvents.PutEvents"),
            ],
            body,
            timeout: TIMEOUT,
        };
        let put = self.aws.call(call, now).await.and_then(|answer| {
            let put = serde_json::from_slice::<Put>(&answer.body);
            let put =
                put.map_err(|error| Refusal::nonsense(&format!("the answer cannot be read: {error}")))?;
            if put.entries.len() == entries.len() {
                Ok(put)
            } else {
                Err(Refusal::nonsense("not of all entries"))
            }
        });
        match put {
            Ok(put) => put.entries.into_iter().map(Outcome::sent).collect(),
            Err(refusal) => vec![Sent::Later(refusal); entries.len()],
        }
    }
}

/// The standard envelope, as far as an entry needs it.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "detail-type", borrow)]
    detail_type: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    detail: &'a RawValue,
}

/// An event as `PutEvents` takes it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    time: i64,
    source: &'a str,
    detail_type: String,
    detail: &'a str,
    event_bus_name: &'a str,
}

impl Entry<'_> {
    fn length(&self) -> usize {
        TIME_BYTES + self.source.len() + self.detail_type.len() + self.detail.len()
    }
}

fn entry<'a>((at, envelope): Enveloped<'a>, bus: &'a str, source: &'a str) -> Result<Entry<'a>, Refusal> {
    let read = serde_json::from_str::<Envelope<'a>>(envelope);
    let Envelope { detail_type, detail } =
        read.map_err(|error| wrong(&format!("the event is not in its envelope: {error}")))?;
    let (detail_type, detail) = (detail_type.into_owned(), detail.get());
    if !detail.starts_with('{') {
        return Err(wrong("the detail is no JSON object"));
    }
    if detail_type.is_empty() || DETAIL_TYPE_BYTES_MAX < detail_type.len() {
        return Err(wrong("the detail type is too long, or empty"));
    }
    let entry = Entry { time: at.ms().div_euclid(1000), source, detail_type, detail, event_bus_name: bus };
    if ENTRIES_BYTES_MAX < entry.length() {
        return Err(wrong(&format!("the event has more than {ENTRIES_BYTES_MAX} bytes")));
    }
    Ok(entry)
}

/// What would be refused however often it is sent.
fn wrong(message: &str) -> Refusal {
    let failure = Failure { reason: Reason::Refused, permanent: true };
    Refusal { failure, ..Refusal::nonsense(message) }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    entries: Vec<Outcome>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    error_code: Option<String>,
    error_message: Option<String>,
}

impl Outcome {
    fn sent(self) -> Sent {
        let Some(code) = self.error_code else { return Sent::Taken };
        let message = self.error_message.unwrap_or_default();
        let refusal = |reason, permanent| {
            let failure = Failure { reason, permanent };
            Refusal {
                failure,
                status: None,
                message: format!("{code}: {message}"),
                code: code.clone(),
                retry_after: None,
            }
        };
        match code.as_str() {
            "InternalFailure" | "InternalException" => Sent::Later(refusal(Reason::Refused, false)),
            "ThrottlingException" => Sent::Later(refusal(Reason::Throttled, false)),
            _ => Sent::Never(refusal(Reason::Refused, true)),
        }
    }
}

#[cfg(test)]
mod tests;
