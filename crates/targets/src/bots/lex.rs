//! The runtime of Lex V2, at AWS or behind a URL: `RecognizeText` for a message, `PutSession` for a welcome.

use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carillon_model::Timestamp;
use carillon_model::bot::{Intent, Reply, Saying};
use flate2::read::GzDecoder;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Asked, Question, session};
use crate::aws::{Aws, Call, Service};
use crate::native::Native;
use crate::wire::{self, ANSWER_BYTES_MAX, Answer, Refusal};

/// Where the runtime is.
pub(super) enum At<'a> {
    Aws(&'a Aws),
    Http(&'a reqwest::Client, &'a Native),
}

/// Asks a bot of Lex.
pub(super) async fn ask(
    at: &At<'_>,
    question: &Question<'_>,
    timeout: Duration,
    now: Timestamp,
) -> Result<Reply, Refusal> {
    let session = session(question);
    let path = path(question, &session);
    let answer = match question.asked {
        Asked::Answer { text, message, sender, .. } => {
            let body = json!({
                "text": text,
                "requestAttributes": { "CHIME.channel.arn": question.channel, "CHIME.sender.arn": sender },
                "sessionState": { "originatingRequestId": message },
            });
            let answer = post(at, question.alias, &format!("{path}/text"), body, (timeout, now)).await?;
            read::<Recognized>(&answer.body)?
        }
        Asked::Welcome(intent) => {
            let body = json!({
                "requestAttributes": { "CHIME.channel.arn": question.channel },
                "sessionState": {
                    "dialogAction": { "type": "Delegate" },
                    "intent": { "name": intent, "state": "InProgress" },
                },
            });
            let answer = post(at, question.alias, &path, body, (timeout, now)).await?;
            Recognized::of_headers(&answer.headers)?
        }
    };
    Ok(answer.into_reply(session))
}

/// What an answer to a message says.
pub(crate) fn read_answer(body: &[u8]) -> Result<Reply, Refusal> {
    read::<Recognized>(body).map(|answer| answer.into_reply(String::new()))
}

/// What an answer to a welcome says.
pub(crate) fn read_welcome(headers: &HeaderMap) -> Result<Reply, Refusal> {
    Recognized::of_headers(headers).map(|answer| answer.into_reply(String::new()))
}

/// The path of a session. The two parts at the end of an alias' ARN are the bot's id and the alias' own.
fn path(question: &Question<'_>, session: &str) -> String {
    let mut ids = question.alias.rsplit('/');
    let (alias, bot) = (ids.next().unwrap_or_default(), ids.next().unwrap_or_default());
    format!("/bots/{bot}/botAliases/{alias}/botLocales/{}/sessions/{session}", question.locale)
}

async fn post(
    at: &At<'_>,
    alias: &str,
    path: &str,
    body: Value,
    (timeout, now): (Duration, Timestamp),
) -> Result<Answer, Refusal> {
    let (body, headers) = (body.to_string(), [("content-type", "application/json")]);
    match at {
        At::Aws(aws) => {
            let (service, region) = (Service::LEX, alias.split(':').nth(3));
            aws.call(Call { service, region, path, headers: &headers, body, timeout }, now).await
        }
        At::Http(http, native) => wire::send(native.post_to(http, path, body, now), timeout).await,
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Recognized {
    messages: Option<Vec<Saying>>,
    session_state: Option<SessionState>,
    session_id: Option<String>,
}

#[derive(Deserialize)]
struct SessionState {
    intent: Option<Intent>,
}

impl Recognized {
    fn of_headers(headers: &HeaderMap) -> Result<Self, Refusal> {
        Ok(Self {
            messages: header(headers, "x-amz-lex-messages")?,
            session_state: header(headers, "x-amz-lex-session-state")?,
            session_id: None,
        })
    }

    fn into_reply(self, session: String) -> Reply {
        Reply {
            messages: self.messages.unwrap_or_default(),
            intent: self.session_state.and_then(|state| state.intent),
            session: Some(self.session_id.unwrap_or(session)),
        }
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(json)
        .map_err(|error| Refusal::nonsense(&format!("the answer cannot be read: {error}")))
}

/// What a header says in JSON, by gzip and base64: `PutSession` answers so, and no SDK undoes it.
fn header<T: DeserializeOwned>(headers: &HeaderMap, name: &str) -> Result<Option<T>, Refusal> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let nonsense =
        |error: &dyn std::fmt::Display| Refusal::nonsense(&format!("{name} cannot be read: {error}"));
    let packed = STANDARD.decode(value).map_err(|error| nonsense(&error))?;
    let mut json = Vec::new();
    let most = ANSWER_BYTES_MAX as u64;
    GzDecoder::new(packed.as_slice()).take(most).read_to_end(&mut json).map_err(|error| nonsense(&error))?;
    read(&json).map(Some)
}
