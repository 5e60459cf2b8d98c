//! Apple's push service: HTTP/2 on one connection that is kept, and a token of ours that is renewed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use carillon_model::Timestamp;
use carillon_model::endpoint::Endpoint;
use carillon_model::text::EndpointType;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::json;

use super::Notification;
use super::jwt::{Signer, seconds};
use super::outcome::{Answer, Cause, Undelivered, ask};

const PRODUCTION: &str = "https://api.push.apple.com";
const SANDBOX: &str = "https://api.sandbox.push.apple.com";
/// How old a token may be before another takes its place: Apple wants one for 20 minutes at least, and 60 at most.
const TOKEN_MS_MAX: i64 = 40 * 60 * 1000;
/// How often one that Apple finds too old is replaced before that. A clock that is wrong makes every token too old.
const RENEWAL_MS_MIN: i64 = 20 * 60 * 1000;
/// How long an alert waits for a device that is off.
const ALERT_SECONDS: i64 = 24 * 60 * 60;
/// The most bytes of an alert, and of a call.
const ALERT_BYTES_MAX: usize = 4_096;
const CALL_BYTES_MAX: usize = 5_120;
/// How often a connection on which nothing happens is asked whether it is there,
const PING_EVERY: Duration = Duration::from_mins(1);
/// and how long it may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What an operator says of a key.
#[derive(Debug, Clone, Copy)]
pub struct ApnsSettings<'a> {
    /// The team that it is of.
    pub team_id: &'a str,
    /// Its id.
    pub key_id: &'a str,
    /// The key, in PEM.
    pub key: &'a [u8],
    /// The application: its bundle id.
    pub topic: &'a str,
    /// Where production is, if not at Apple.
    pub url: Option<&'a str>,
    /// Where the sandbox is, if not at Apple.
    pub sandbox_url: Option<&'a str>,
}

/// A key of a team.
pub struct Apns {
    http: Client,
    signer: Signer,
    team_id: String,
    topic: String,
    production: Url,
    sandbox: Url,
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    text: Arc<str>,
    made_at: Timestamp,
    /// When one was last replaced because Apple found it too old.
    renewed_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Said {
    reason: String,
}

impl Apns {
    /// Reads what an operator says.
    pub fn new(settings: &ApnsSettings<'_>) -> Result<Self, String> {
        for (name, value) in
            [("team_id", settings.team_id), ("key_id", settings.key_id), ("topic", settings.topic)]
        {
            if value.trim().is_empty() {
                return Err(format!("{name} is empty"));
            }
        }
        // HTTP/2 and nothing else: over TLS it is asked for, without TLS it is supposed.
        let http = Client::builder()
            .http2_prior_knowledge()
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(None)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .build()
            .map_err(|error| format!("no HTTP client: {error}"))?;
        let url = |url: Option<&str>, default: &str| super::outcome::base(url.unwrap_or(default));
        Ok(Self {
            http,
            signer: Signer::es256(settings.key, settings.key_id)?,
            team_id: settings.team_id.to_owned(),
            topic: settings.topic.to_owned(),
            production: url(settings.url, PRODUCTION)?,
            sandbox: url(settings.sandbox_url, SANDBOX)?,
            token: Mutex::new(None),
        })
    }

    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        notification: &Notification<'_>,
        now: Timestamp,
    ) -> Result<(), Undelivered> {
        let body = payload(notification);
        let most = if notification.voip { CALL_BYTES_MAX } else { ALERT_BYTES_MAX };
        if most < body.len() {
            return Err(Undelivered::new(Cause::TooLarge, "it has more bytes than Apple takes"));
        }
        let voip = endpoint.voip_device_token.as_ref().filter(|_| notification.voip);
        let device = voip.unwrap_or(&endpoint.device_token).as_str();
        let mut url = if endpoint.kind == EndpointType::ApnsSandbox {
            self.sandbox.clone()
        } else {
            self.production.clone()
        };
        // A token is a user's word: as one segment it leads nowhere else.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["3", "device", device]);
        }
        let mut token = self.token(now)?;
        loop {
            let (status, answer) = self.ask(url.clone(), &token, notification, &body, now).await?;
            let Some(reason) = status else { return Ok(()) };
            if reason == "ExpiredProviderToken"
                && let Some(renewed) = self.renew(&token, now)
            {
                token = renewed;
                continue;
            }
            return Err(answer.failed(cause(answer.status, &reason), &reason));
        }
    }

    /// The reason of a refusal, if it is one.
    async fn ask(
        &self,
        url: Url,
        token: &str,
        notification: &Notification<'_>,
        body: &str,
        now: Timestamp,
    ) -> Result<(Option<String>, Answer), Undelivered> {
        let voip = notification.voip;
        let topic = if voip { format!("{}.voip", self.topic) } else { self.topic.clone() };
        let expiration = if voip { 0 } else { seconds(now) + ALERT_SECONDS };
        let request = self
            .http
            .post(url)
            .header("authorization", format!("bearer {token}"))
            .header("content-type", "application/json")
            .header("apns-topic", topic)
            .header("apns-push-type", if voip { "voip" } else { "alert" })
            .header("apns-priority", "10")
            .header("apns-expiration", expiration)
            .body(body.to_owned());
        let answer = ask(request, now).await?;
        let said =
            || serde_json::from_slice::<Said>(&answer.body).map(|said| said.reason).unwrap_or_default();
        Ok(((answer.status != 200).then(said), answer))
    }

    /// The token, made anew when it is old.
    fn token(&self, now: Timestamp) -> Result<Arc<str>, Undelivered> {
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = kept.as_ref()
            && (0..TOKEN_MS_MAX).contains(&(now.ms() - token.made_at.ms()))
        {
            return Ok(token.text.clone());
        }
        let renewed_at = kept.as_ref().and_then(|token| token.renewed_at);
        let token = self.make(now, renewed_at);
        let token = token.ok_or_else(|| Undelivered::new(Cause::Credentials, "the key does not sign"))?;
        Ok(kept.insert(token).text.clone())
    }

    /// Another token in place of one that is too old: that which somebody else made already, or a new one, unless that
    /// was tried lately.
    fn renew(&self, old: &str, now: Timestamp) -> Option<Arc<str>> {
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let token = kept.as_ref()?;
        if *token.text != *old {
            return Some(token.text.clone());
        }
        if token.renewed_at.is_some_and(|renewed| now.ms() - renewed.ms() < RENEWAL_MS_MIN) {
            return None;
        }
        let token = self.make(now, Some(now))?;
        Some(kept.insert(token).text.clone())
    }

    fn make(&self, now: Timestamp, renewed_at: Option<Timestamp>) -> Option<Token> {
        let text = self.signer.sign(&json!({ "iss": self.team_id, "iat": seconds(now) }))?;
        Some(Token { text: text.into(), made_at: now, renewed_at })
    }
}

/// What the device gets. The place where existing applications look for the ids is not documented, so they stand in
/// both that are known.
fn payload(notification: &Notification<'_>) -> String {
    let ids = notification.ids();
    let alert = json!({ "title": notification.title, "body": notification.body });
    json!({
        "aps": { "alert": alert, "sound": "default", "mutable-content": 1 },
        "data": {
            "pinpoint": { "campaign": { "campaign_id": "_DIRECT" }, "jsonBody": ids },
            "jsonBody": ids,
        },
    })
    .to_string()
}

fn cause(status: u16, reason: &str) -> Option<Cause> {
    match (status, reason) {
        (410, _) | (400, "BadDeviceToken" | "DeviceTokenNotForTopic") => Some(Cause::DeadToken),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{EC_KEY, NOTIFICATION};
    use super::*;

    fn apns(key: &[u8], topic: &str) -> Result<Apns, String> {
        let (url, sandbox_url) = (None, None);
        Apns::new(&ApnsSettings { team_id: "TEAM", key_id: "KEY", key, topic, url, sandbox_url })
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_ms(1_768_478_400_000 + minutes * 60_000)
    }

    #[test]
    fn a_token_serves_for_a_while_and_is_made_anew_before_it_is_too_old() {
        let apns = apns(EC_KEY.as_bytes(), "com.example.chat").unwrap();
        let first = apns.token(at(0)).unwrap();
        assert_eq!(apns.token(at(20)).unwrap(), first);
        let second = apns.token(at(41)).unwrap();
        assert_ne!(second, first);
        assert_ne!(apns.token(at(-60)).unwrap(), second, "a clock that was put back");
    }

    #[test]
    fn a_token_that_apple_finds_too_old_is_replaced_once_in_a_while() {
        let apns = apns(EC_KEY.as_bytes(), "com.example.chat").unwrap();
        let first = apns.token(at(0)).unwrap();
        let second = apns.renew(&first, at(1)).unwrap();
        assert_eq!(apns.renew(&first, at(1)).as_ref(), Some(&second), "another has replaced it already");
        assert_eq!(apns.renew(&second, at(20)), None);
        assert!(apns.renew(&second, at(21)).is_some());
    }

    #[test]
    fn what_does_not_sign_or_names_no_application_is_refused() {
        for wrong in ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            let error = apns(wrong.as_bytes(), "com.example.chat").err().unwrap();
            assert!(error.contains("P-256"), "{error}");
        }
        assert_eq!(apns(EC_KEY.as_bytes(), " ").err().unwrap(), "topic is empty");
    }

    #[test]
    fn the_payload_is_that_of_the_original() {
        let ids = json!({ "chime.message_id": "0a6f", "chime.channel_arn": "arn:lobby" });
        let due = json!({
            "aps": { "alert": { "title": "Lobby", "body": "Hi" }, "sound": "default", "mutable-content": 1 },
            "data": {
                "pinpoint": { "campaign": { "campaign_id": "_DIRECT" }, "jsonBody": ids },
                "jsonBody": ids,
            },
        });
        assert_eq!(payload(&NOTIFICATION).parse::<serde_json::Value>().unwrap(), due);
    }
}
