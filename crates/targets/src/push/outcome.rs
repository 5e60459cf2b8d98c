//! What became of a notification that a push service did not take.

use std::error::Error as _;
use std::time::Duration;

use carillon_model::Timestamp;
use carillon_model::channel_flow::{Failure, Reason};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode, Url};

use crate::public::NotPublic;

/// The most bytes of an answer that are looked at. What a push service says is a few hundred.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// The longest that a service may ask to be left alone for; nothing is tried for longer.
const RETRY_AFTER_SECONDS_MAX: u64 = 3_600;
/// The most characters of what a service says of a failure that are kept.
const WORDS_LENGTH_MAX: usize = 200;

/// Why a push service did not take a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The device is not there any more, or never was.
    DeadToken,
    /// The push application is not there any more.
    DeadApplication,
    /// There is nothing configured that would reach it.
    Unmapped,
    /// It does not accept our keys.
    Credentials,
    /// It is too large.
    TooLarge,
    /// It does not want it, for another reason that will not pass.
    Refused,
    /// It wants fewer.
    Throttled,
    /// It cannot be reached, or is not well.
    Outage,
}

/// A notification that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// Why.
    pub cause: Cause,
    /// The same in words, for operators.
    pub words: String,
    /// How long the service wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Undelivered {
    pub(super) fn new(cause: Cause, words: &str) -> Self {
        Self { cause, words: words.chars().take(WORDS_LENGTH_MAX).collect(), retry_after: None }
    }

    pub(super) fn unmapped(words: &str) -> Self {
        Self::new(Cause::Unmapped, words)
    }

    pub(super) fn timed_out() -> Self {
        Self::new(Cause::Outage, "it did not answer in time")
    }

    /// Whether it may be taken later.
    pub fn may_pass(&self) -> bool {
        matches!(self.cause, Cause::Throttled | Cause::Outage)
    }

    /// What it says of the target, for its gate.
    pub fn failure(&self) -> Failure {
        let reason = match self.cause {
            Cause::DeadToken | Cause::DeadApplication | Cause::Unmapped => Reason::NotFound,
            Cause::Credentials => Reason::NotPermitted,
            Cause::TooLarge | Cause::Refused => Reason::Refused,
            Cause::Throttled => Reason::Throttled,
            Cause::Outage => Reason::NotReachable,
        };
        Failure { reason, permanent: !self.may_pass() }
    }
}

/// What a service answered, as far as it matters.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// A failure that the status alone tells of, as all of these services have it.
    pub(super) fn failed(&self, cause: Option<Cause>, said: &str) -> Undelivered {
        let cause = cause.unwrap_or(match self.status {
            401 | 403 => Cause::Credentials,
            413 => Cause::TooLarge,
            429 => Cause::Throttled,
            300..500 => Cause::Refused,
            _ => Cause::Outage,
        });
        let words = if said.is_empty() {
            format!("it answers with status {}", self.status)
        } else {
            format!("it answers with status {}: {said}", self.status)
        };
        Undelivered { retry_after: self.retry_after, ..Undelivered::new(cause, &words) }
    }
}

/// Makes a call. What it answers is read up to a bound, and where it took the notification not at all.
pub(super) async fn ask(request: RequestBuilder, now: Timestamp) -> Result<Answer, Undelivered> {
    let mut response = request.send().await.map_err(|error| unreached(&error))?;
    let status = response.status();
    let retry_after = retry_after(response.headers(), now);
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = ANSWER_BYTES_MAX - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
            // The status is what counts, unless it promises what is missing.
            Err(error) if status == StatusCode::OK => return Err(unreached(&error)),
            Ok(None) | Err(_) => break,
        }
    }
    Ok(Answer { status: status.as_u16(), retry_after, body })
}

fn unreached(error: &reqwest::Error) -> Undelivered {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(not_public) = cause.downcast_ref::<NotPublic>() {
            return Undelivered::new(Cause::Refused, &not_public.to_string());
        }
        source = cause.source();
    }
    if error.is_timeout() {
        return Undelivered::timed_out();
    }
    let words = if error.is_connect() { "it cannot be reached" } else { "the connection broke" };
    Undelivered::new(Cause::Outage, words)
}

/// Where a service is, as an operator wrote it.
pub(super) fn base(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{text} is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{url} is neither http nor https"));
    }
    Ok(url)
}

/// How long a service wants to be left alone: seconds, or an instant.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let said = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = said.parse::<u64>().ok().or_else(|| {
        let at = jiff::fmt::rfc2822::parse(said).ok()?.timestamp().as_second();
        u64::try_from(at - now.ms().div_euclid(1000)).ok()
    })?;
    Some(Duration::from_secs(seconds.min(RETRY_AFTER_SECONDS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_says_how_long_it_wants_to_be_left_alone_in_two_ways() {
        let after = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, Timestamp::from_ms(1_768_478_400_500)).map(|after| after.as_secs())
        };
        assert_eq!(after("30"), Some(30));
        assert_eq!(after("Thu, 15 Jan 2026 12:01:00 GMT"), Some(60));
        assert_eq!(after("Thu, 15 Jan 2026 11:00:00 GMT"), None);
        assert_eq!(after("999999"), Some(RETRY_AFTER_SECONDS_MAX));
        assert_eq!(after("soon"), None);
    }
}
