//! The service's own API: each question in its turn, asked again where it is to come later, and all pages of a list.
//!
//! The rates are those that the original publishes (`docs/guide/limits.md`), by the table of the service itself. A
//! refusal because of a rate is waited out all the same, since others may call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use carillon_model::channel_flow::Reason;
use carillon_service::front::rates::{Scope, published};
use carillon_targets::aws::{Aws, Call, Service};
use carillon_targets::wire::Refusal;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::turns::{Counted, Rate, Turns};
use crate::clock;
use crate::error::Error;
use crate::progress::grouped;

/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a call is tried that may go better later; at the end the wait is as long as [`WAIT_MAX`].
const ATTEMPTS_MAX: u32 = 12;
/// How long the first wait is, and the longest.
const WAIT_MIN: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(20);
/// How often the service's own word is taken for how long to wait, before waits grow: others may be quicker each time.
const TRUSTED_MAX: u32 = 3;
/// How many things a page has at most.
const PAGE_LEN: &str = "50";
/// The rate of a user, whatever it calls.
const BEARER_RATE: &str = "bearer_calls_per_second";
/// What a path and a query have as it stands.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A question: which service, which operation, and what it is about.
#[derive(Debug, Clone)]
pub(super) struct Question {
    service: Service,
    operation: &'static str,
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
    /// Of identity; `about` is the user, or the app instance, that it names.
    pub(super) fn identity(operation: &'static str, about: &str, path: String) -> Self {
        Self { service: Service::IDENTITY, operation, about: about.to_owned(), path, bearer: None }
    }

    /// Of messaging; `about` is the channel that it names.
    pub(super) fn messaging(operation: &'static str, about: &str, path: String) -> Self {
        Self { service: Service::MESSAGING, operation, about: about.to_owned(), path, bearer: None }
    }

    /// What is asked.
    pub(super) fn operation(&self) -> &'static str {
        self.operation
    }

    /// As this user.
    pub(super) fn by(self, bearer: &str) -> Self {
        Self { bearer: Some(bearer.to_owned()), ..self }
    }

    /// The rates that count it. There is one app instance, and one account.
    fn rates(&self) -> Vec<Rate> {
        let bearer = self.bearer.as_deref();
        let rates = published(self.operation, bearer.is_some()).into_iter().map(|one| {
            let whose = match one.scope {
                Scope::Account | Scope::AppInstance | Scope::Caller => "",
                Scope::Bearer | Scope::User => bearer.unwrap_or(self.about.as_str()),
                Scope::Channel | Scope::SubChannel => self.about.as_str(),
            };
            let of = [one.operation.unwrap_or_default(), whose].join(" ").trim().to_owned();
            Rate { key: one.key, of, per_second: one.per_second }
        });
        rates.collect()
    }
}

/// Asks.
pub(super) struct Api {
    aws: Aws,
    region: String,
    turns: Turns,
    calls: AtomicU64,
    /// How many of them came too early.
    throttled: AtomicU64,
}

impl Api {
    pub(super) fn new(aws: Aws, region: &str) -> Self {
        let (turns, calls, throttled) = (Turns::default(), AtomicU64::new(0), AtomicU64::new(0));
        Self { aws, region: region.to_owned(), turns, calls, throttled }
    }

    /// What has to run while anything is asked.
    pub(super) async fn run(&self) {
        self.turns.give().await;
    }

    /// What is answered.
    pub(super) async fn ask(&self, question: &Question, query: &[(&str, &str)]) -> Answered<Value> {
        let path = with_query(&question.path, query);
        let bearer = question.bearer.as_deref();
        let headers: Vec<_> = bearer.map(|bearer| ("x-amz-chime-bearer", bearer)).into_iter().collect();
        let rates = question.rates();
        let mut wait = WAIT_MIN;
        for attempt in 1.. {
            self.turns.wait(&rates).await;
            self.calls.fetch_add(1, Ordering::Relaxed);
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
                Err(refusal) if refusal.failure.reason == Reason::Throttled => {
                    self.throttled.fetch_add(1, Ordering::Relaxed);
                    let told = refusal.retry_after.filter(|_| attempt <= TRUSTED_MAX);
                    self.rest(&rates, &refusal, told.unwrap_or(wait).min(WAIT_MAX));
                }
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait = (2 * wait).min(WAIT_MAX);
        }
        unreachable!("the last attempt answers")
    }

    /// Lets the rate rest that is exhausted, for all who ask: the one that the refusal names, or else each that may be
    /// meant.
    fn rest(&self, rates: &[Rate], refusal: &Refusal, wait: Duration) {
        let named = |rate: &&Rate| refusal.message.contains(rate.key);
        let is_named = rates.iter().any(|rate| named(&rate));
        for rate in rates.iter().filter(|rate| !is_named || named(rate)) {
            self.turns.rest(rate, wait);
        }
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

    /// How many calls there were, and how much was used of the rate that held it up most, and of that of a user.
    pub(super) fn pace(&self) -> Vec<String> {
        let (counted, since) = self.turns.counted();
        let seconds = since.as_secs_f64().max(0.001);
        let throttled = grouped(self.throttled.load(Ordering::Relaxed));
        let calls = grouped(self.calls());
        let most = most(counted.iter(), seconds).map(|words| format!("the rate used most: {words}"));
        let users = counted.iter().filter(|one| one.rate.key == BEARER_RATE);
        let user = self::most(users, seconds).map(|words| format!("the user with most calls: {words}"));
        let all = format!("{calls} calls in {seconds:.1} s, {throttled} of them too early");
        [Some(all), most, user].into_iter().flatten().collect()
    }

    /// How many calls were made.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

/// The one of which most was used, for people.
fn most<'a>(counted: impl Iterator<Item = &'a Counted>, seconds: f64) -> Option<String> {
    let most = counted.max_by(|one, other| share(one, seconds).total_cmp(&share(other, seconds)))?;
    let Rate { key, of, per_second } = &most.rate;
    let (calls, share) = (grouped(most.calls), share(most, seconds));
    let of = if of.is_empty() { String::new() } else { format!(", of {of}") };
    Some(format!("{calls} calls, {share:.0} % of {per_second} a second ({key}{of})"))
}

/// How much of a rate was used, in hundredths.
fn share(counted: &Counted, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "it is for people")]
    let calls = counted.calls as f64;
    100.0 * calls / (f64::from(counted.rate.per_second) * seconds)
}

fn unanswered(question: &Question, refusal: &Refusal) -> Unanswered {
    let Refusal { code, message, failure, status, .. } = refusal;
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
