//! Firebase Cloud Messaging, version 1 of its interface, by a service account.

use std::sync::Arc;

use carillon_model::Timestamp;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::jwt::{Signer, seconds};
use super::outcome::{Answer, Cause, Undelivered, ask, base};
use super::{CALL_TIMEOUT, Notification};

const GOOGLE: &str = "https://fcm.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long the word by which we ask for a token holds.
const ASSERTION_SECONDS: i64 = 3_600;
/// A token is replaced so long before it ends,
const RENEW_BEFORE_MS: i64 = 5 * 60 * 1000;
/// and not sooner than this after it was given, whatever is said of it.
const TOKEN_MS_MIN: i64 = 30 * 1000;

/// What an operator says of a service account.
#[derive(Debug, Clone, Copy)]
pub struct FcmSettings<'a> {
    /// The project that sends.
    pub project: &'a str,
    /// The service account: the JSON that Google gives out for it.
    pub service_account: &'a [u8],
    /// Where messages are sent, if not at Google.
    pub url: Option<&'a str>,
    /// Where tokens are given out, if not where the service account says.
    pub token_url: Option<&'a str>,
}

/// A service account of a project.
pub struct Fcm {
    http: Client,
    signer: Signer,
    account: String,
    messages: Url,
    token_url: Url,
    /// Held while one is asked for, so that one is asked for at a time.
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    text: Arc<str>,
    given_at: Timestamp,
    renew_at: Timestamp,
}

/// The part of a service account that matters.
#[derive(Deserialize)]
struct Account {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: String,
}

/// What the giver of tokens answers.
#[derive(Deserialize)]
struct Given {
    access_token: String,
    expires_in: i64,
}

impl Fcm {
    /// Reads what an operator says.
    pub fn new(settings: &FcmSettings<'_>) -> Result<Self, String> {
        if settings.project.trim().is_empty() {
            return Err("project is empty".to_owned());
        }
        let account: Account = serde_json::from_slice(settings.service_account)
            .map_err(|error| format!("it is not the JSON of a service account: {error}"))?;
        let signer = Signer::rs256(account.private_key.as_bytes(), account.private_key_id.as_deref())
            .map_err(|error| format!("its private_key cannot be used: {error}"))?;
        if account.client_email.is_empty() {
            return Err("its client_email is empty".to_owned());
        }
        let http =
            Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(CALL_TIMEOUT).build();
        let mut messages = base(settings.url.unwrap_or(GOOGLE))?;
        if let Ok(mut path) = messages.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "projects", settings.project, "messages:send"]);
        }
        Ok(Self {
            http: http.map_err(|error| format!("no HTTP client: {error}"))?,
            signer,
            account: account.client_email,
            messages,
            token_url: base(settings.token_url.unwrap_or(&account.token_uri))?,
            token: Mutex::new(None),
        })
    }

    pub(super) async fn send(
        &self,
        device: &str,
        notification: &Notification<'_>,
        now: Timestamp,
    ) -> Result<(), Undelivered> {
        let body = message(device, notification).to_string();
        let mut token = self.token(now, None).await?;
        loop {
            let request = self.http.post(self.messages.clone()).bearer_auth(&token);
            let request = request.header("content-type", "application/json").body(body.clone());
            let answer = ask(request, now).await?;
            if answer.status == 200 {
                return Ok(());
            }
            let failed = failed(&answer);
            if answer.status == 401 && failed.cause == Cause::Credentials {
                let next = self.token(now, Some(&token)).await?;
                if next != token {
                    token = next;
                    continue;
                }
            }
            return Err(failed);
        }
    }

    /// A token; another one than that which was refused, unless it is new.
    async fn token(&self, now: Timestamp, refused: Option<&str>) -> Result<Arc<str>, Undelivered> {
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref() {
            let age_ms = now.ms() - token.given_at.ms();
            let is_refused = refused == Some(&*token.text) && TOKEN_MS_MIN <= age_ms;
            if 0 <= age_ms && now < token.renew_at && !is_refused {
                return Ok(token.text.clone());
            }
        }
        let token = self.ask_for_token(now).await?;
        Ok(kept.insert(token).text.clone())
    }

    async fn ask_for_token(&self, now: Timestamp) -> Result<Token, Undelivered> {
        let claims = json!({
            "iss": self.account, "scope": SCOPE, "aud": self.token_url.as_str(),
            "iat": seconds(now), "exp": seconds(now) + ASSERTION_SECONDS,
        });
        let credentials = |words: &str| Undelivered::new(Cause::Credentials, words);
        let assertion = self.signer.sign(&claims).ok_or_else(|| credentials("the key does not sign"))?;
        // Nothing in it needs to be encoded.
        let body =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let request = self.http.post(self.token_url.clone());
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let answer = ask(request, now).await?;
        if answer.status != 200 {
            let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let cause = matches!(answer.status, 400..=404).then_some(Cause::Credentials);
            return Err(answer.failed(cause, said["error"].as_str().unwrap_or_default()));
        }
        let given: Given = serde_json::from_slice(&answer.body)
            .map_err(|_| Undelivered::new(Cause::Outage, "what was to be a token is none"))?;
        let lasts_ms = given.expires_in.clamp(0, ASSERTION_SECONDS) * 1000;
        let renew_at = now.plus_ms((lasts_ms - RENEW_BEFORE_MS).max(TOKEN_MS_MIN));
        Ok(Token { text: given.access_token.into(), given_at: now, renew_at })
    }
}

/// What the device gets: data for the application, whose names are those that Pinpoint gave it.
fn message(device: &str, notification: &Notification<'_>) -> Value {
    json!({ "message": {
        "token": device,
        "android": { "priority": "HIGH" },
        "data": {
            "pinpoint.openApp": "true",
            "pinpoint.notification.title": notification.title,
            "pinpoint.notification.body": notification.body,
            "pinpoint.campaign.campaign_id": "_DIRECT",
            "pinpoint.notification.silentPush": "0",
            "pinpoint.jsonBody": notification.ids().to_string(),
        },
    } })
}

/// What a refusal means: FCM's own code says it, or that of all of Google's interfaces.
fn failed(answer: &Answer) -> Undelivered {
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error = &said["error"];
    let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
    let code = details.iter().find_map(|detail| detail["errorCode"].as_str());
    let code = code.or_else(|| error["status"].as_str()).unwrap_or_default();
    let is_of_token = || {
        let violations = details.iter().filter_map(|detail| detail["fieldViolations"].as_array()).flatten();
        let mut fields = violations.filter_map(|violation| violation["field"].as_str());
        let message = error["message"].as_str().unwrap_or_default();
        fields.any(|field| field == "message.token") || message.contains("registration token")
    };
    let cause = match code {
        "UNREGISTERED" | "SENDER_ID_MISMATCH" => Some(Cause::DeadToken),
        "INVALID_ARGUMENT" if is_of_token() => Some(Cause::DeadToken),
        "THIRD_PARTY_AUTH_ERROR" | "UNAUTHENTICATED" | "PERMISSION_DENIED" => Some(Cause::Credentials),
        "QUOTA_EXCEEDED" | "RESOURCE_EXHAUSTED" => Some(Cause::Throttled),
        "UNAVAILABLE" | "INTERNAL" => Some(Cause::Outage),
        _ => None,
    };
    answer.failed(cause, code)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOTIFICATION, RSA_KEY};
    use super::*;

    fn fcm(project: &str, account: &Value) -> Result<Fcm, String> {
        let service_account = account.to_string();
        let service_account = service_account.as_bytes();
        Fcm::new(&FcmSettings { project, service_account, url: None, token_url: None })
    }

    fn account() -> Value {
        json!({
            "client_email": "push@example.iam.gserviceaccount.com", "private_key": RSA_KEY.as_str(),
            "private_key_id": "1f", "token_uri": "https://oauth2.googleapis.com/token",
        })
    }

    #[test]
    fn a_service_account_has_what_is_needed_or_is_refused() {
        let whole = fcm("chat", &account()).unwrap();
        assert_eq!(whole.messages.as_str(), "https://fcm.googleapis.com/v1/projects/chat/messages:send");
        for member in ["client_email", "private_key", "token_uri"] {
            let mut account = account();
            account.as_object_mut().unwrap().remove(member);
            let error = fcm("chat", &account).err().unwrap();
            assert!(error.contains(member), "{error}");
        }
        let mut other = account();
        other["private_key"] = json!("hunter2");
        let error = fcm("chat", &other).err().unwrap();
        assert!(error.contains("private_key") && !error.contains("hunter2"), "{error}");
        assert_eq!(fcm("", &account()).err().unwrap(), "project is empty");
    }

    #[test]
    fn the_data_has_the_names_of_the_original() {
        let data = &message("DEVICE", &NOTIFICATION)["message"]["data"];
        let names: Vec<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
        let due = [
            "pinpoint.campaign.campaign_id",
            "pinpoint.jsonBody",
            "pinpoint.notification.body",
            "pinpoint.notification.silentPush",
            "pinpoint.notification.title",
            "pinpoint.openApp",
        ];
        assert_eq!(names, due);
        assert!(data.as_object().unwrap().values().all(Value::is_string));
    }

    #[test]
    fn what_a_refusal_means_stands_in_its_details() {
        let cause = |status: u16, error: Value| {
            let body = json!({ "error": error }).to_string().into_bytes();
            failed(&Answer { status, retry_after: None, body }).cause
        };
        let own = |code: &str| json!({ "status": "NOT_FOUND", "details": [{ "errorCode": code }] });
        let field = |field: &str| {
            let violations = json!([{ "field": field }]);
            json!({ "status": "INVALID_ARGUMENT", "details": [{ "fieldViolations": violations }] })
        };
        for (status, error, due) in [
            (404, own("UNREGISTERED"), Cause::DeadToken),
            (403, own("SENDER_ID_MISMATCH"), Cause::DeadToken),
            (400, field("message.token"), Cause::DeadToken),
            (400, field("message.data"), Cause::Refused),
            (404, json!({ "status": "NOT_FOUND" }), Cause::Refused),
            (401, own("THIRD_PARTY_AUTH_ERROR"), Cause::Credentials),
            (403, json!({ "status": "PERMISSION_DENIED" }), Cause::Credentials),
            (429, own("QUOTA_EXCEEDED"), Cause::Throttled),
            (500, json!({ "status": "INTERNAL" }), Cause::Outage),
            (503, Value::Null, Cause::Outage),
        ] {
            assert_eq!(cause(status, error.clone()), due, "{status} {error}");
        }
    }
}
