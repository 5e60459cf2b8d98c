//! The service's own API: each question at its rate, asked again where it is to come later, and all pages of a list.
//!
//! The rates are those that the original publishes (`docs/guide/limits.md`). They are kept evenly and not in bursts, so
//! that whoever else calls finds room; a refusal because of a rate is waited out all the same, since others may call.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use carillon_model::channel_flow::Reason;
use carillon_targets::aws::{Aws, Call, Service};
use carillon_targets::wire::Refusal;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::Instant;

use crate::clock;
use crate::error::Error;

/// How many calls a second one user may make of messaging.
pub(super) const BEARER_RATE: u32 = 10;
/// How many calls a second the account may make of identity.
const IDENTITY_RATE: u32 = 50;
/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a call is tried that may go better later; at the end the wait is as long as [`WAIT_MAX`].
const ATTEMPTS_MAX: u32 = 12;
/// How long the first wait is, and the longest.
const WAIT_MIN: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(20);
/// How many things a page has at most.
const PAGE_LEN: &str = "50";
/// What a path and a query have as it stands.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A question: which service, the rate that counts for it, and what it is about.
#[derive(Debug, Clone)]
pub(super) struct Question {
    service: Service,
    /// The operation, and how many of it a second there may be about one thing.
    operation: &'static str,
    rate: u32,
    about: String,
    path: String,
    bearer: Option<String>,
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// It may not be seen, or is not there.
    Refused(String),
    /// The service cannot be asked.
    Broken(Error),
}

/// An answer, or why there is none.
pub(super) type Answered<T> = Result<T, Unanswered>;

impl Question {
    pub(super) fn identity(operation: &'static str, rate: u32, about: &str, path: String) -> Self {
        let (service, about) = (Service::IDENTITY, about.to_owned());
        Self { service, operation, rate, about, path, bearer: None }
    }

    pub(super) fn messaging(operation: &'static str, rate: u32, about: &str, path: String) -> Self {
        let (service, about) = (Service::MESSAGING, about.to_owned());
        Self { service, operation, rate, about, path, bearer: None }
    }

    /// What is asked.
    pub(super) fn operation(&self) -> &'static str {
        self.operation
    }

    /// As this user.
    pub(super) fn by(self, bearer: &str) -> Self {
        Self { bearer: Some(bearer.to_owned()), ..self }
    }
}

/// Asks.
pub(super) struct Api {
    aws: Aws,
    region: String,
    /// By how many calls a second there may be.
    paces: HashMap<u32, DefaultKeyedRateLimiter<String>>,
    begun: Instant,
    calls: AtomicU64,
    by_bearer: Mutex<HashMap<String, u64>>,
}

impl Api {
    pub(super) fn new(aws: Aws, region: &str) -> Self {
        let (calls, by_bearer) = (AtomicU64::new(0), Mutex::default());
        let rates = [BEARER_RATE, 15, 20, 30, IDENTITY_RATE];
        let pace = |rate| {
            let per_second = NonZeroU32::new(rate).expect("rates are positive");
            let quota = Quota::per_second(per_second).allow_burst(NonZeroU32::MIN);
            (rate, RateLimiter::keyed(quota))
        };
        let paces = rates.map(pace).into();
        Self { aws, region: region.to_owned(), paces, begun: Instant::now(), calls, by_bearer }
    }

    /// What is answered.
    pub(super) async fn ask(&self, question: &Question, query: &[(&str, &str)]) -> Answered<Value> {
        let path = with_query(&question.path, query);
        let bearer = question.bearer.as_deref();
        let headers: Vec<_> = bearer.map(|bearer| ("x-amz-chime-bearer", bearer)).into_iter().collect();
        let mut wait = WAIT_MIN;
        for attempt in 1.. {
            self.wait_for_turn(question).await;
            let (service, region, body) = (question.service, Some(self.region.as_str()), String::new());
            let call = Call { service, region, path: &path, headers: &headers, body, timeout: CALL_TIMEOUT };
            match self.aws.get(call, clock::real()).await {
                Ok(answer) => {
                    return serde_json::from_slice(&answer.body).map_err(|error| {
                        Unanswered::Broken(Error::failure(format!("{}: {error}", question.operation)))
                    });
                }
                Err(refusal) if refusal.failure.permanent || attempt == ATTEMPTS_MAX => {
                    return Err(unanswered(question, &refusal));
                }
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait = (2 * wait).min(WAIT_MAX);
        }
        unreachable!("the last attempt answers")
    }

    /// All that a list has, in its order.
    pub(super) async fn list(
        &self,
        question: &Question,
        name: &str,
        query: &[(&str, &str)],
    ) -> Answered<Vec<Value>> {
        let (mut all, mut next) = (Vec::new(), Some(String::new()));
        while let Some(token) = next {
            let (items, rest) = self.page(question, name, query, &token).await?;
            all.extend(items);
            next = rest;
        }
        Ok(all)
    }

    /// A page of a list, and what leads to the next one.
    pub(super) async fn page(
        &self,
        question: &Question,
        name: &str,
        query: &[(&str, &str)],
        token: &str,
    ) -> Answered<(Vec<Value>, Option<String>)> {
        let mut query = query.to_vec();
        query.push(("max-results", PAGE_LEN));
        if !token.is_empty() {
            query.push(("next-token", token));
        }
        let mut answer = self.ask(question, &query).await?;
        let items = match answer[name].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        Ok((items, answer["NextToken"].as_str().map(str::to_owned)))
    }

    /// How many calls there were a second, and of the user who made the most, by what they may.
    pub(super) fn pace(&self) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let calls = self.calls.load(Ordering::Relaxed);
        let most = self.by_bearer.lock().unwrap_or_else(PoisonError::into_inner).values().max().copied();
        #[expect(clippy::cast_precision_loss, reason = "it is for people")]
        let busiest = most.unwrap_or_default() as f64 / seconds;
        format!(
            "{calls} calls in {seconds:.1} s; the user with the most: {busiest:.1} a second, of {BEARER_RATE}"
        )
    }

    async fn wait_for_turn(&self, question: &Question) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let of_all = match &question.bearer {
            Some(bearer) => {
                let mut counts = self.by_bearer.lock().unwrap_or_else(PoisonError::into_inner);
                *counts.entry(bearer.clone()).or_default() += 1;
                Some((BEARER_RATE, bearer.clone()))
            }
            None if question.service == Service::IDENTITY => Some((IDENTITY_RATE, String::new())),
            None => None,
        };
        let own = (question.rate, format!("{} {}", question.operation, question.about));
        for (rate, key) in of_all.into_iter().chain([own]) {
            let pace = &self.paces[&rate];
            while let Err(not_yet) = pace.check_key(&key) {
                tokio::time::sleep(not_yet.wait_time_from(DefaultClock::default().now())).await;
            }
        }
    }
}

fn unanswered(question: &Question, refusal: &Refusal) -> Unanswered {
    let Refusal { code, message, failure, status } = refusal;
    let is_of_access = matches!(code.as_str(), "ForbiddenException" | "NotFoundException");
    if is_of_access || matches!(failure.reason, Reason::NotFound) {
        return Unanswered::Refused(code.clone());
    }
    let status = status.map_or(String::new(), |status| format!(" ({status})"));
    let sentence = format!("{}: {code}{status} {message} ({})", question.operation, failure.reason);
    Unanswered::Broken(Error::failure(sentence).hint(
        "The credentials are found as AWS's own tools find them. Repeated, it goes on with what is new.",
    ))
}

fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let mut text = path.to_owned();
    for (name, value) in query {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.extend([name, "=", &encoded(value)]);
    }
    text
}

/// As one segment of a path, or a value of a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}
