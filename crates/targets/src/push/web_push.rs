//! Browsers, by the push service that each names: RFC 8030, encrypted for the one browser (RFC 8291), with a key of
//! ours by which the service knows us (RFC 8292).
//!
//! Where a notification goes is what a user says, so it is looked at before: HTTPS to a public address, unless the
//! configuration names the origin.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use carillon_model::Timestamp;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;
use web_push_native::p256::PublicKey;
use web_push_native::{Auth, encrypt};

use super::Notification;
use super::jwt::{Signer, seconds};
use super::outcome::{Cause, Undelivered, ask};
use crate::public::{PublicOnly, address_of, is_public};

/// How long an alert waits for a browser that is closed. A call does not wait.
const ALERT_SECONDS: i64 = 24 * 60 * 60;
/// How long the word by which a push service knows us holds; a day is the most.
const VAPID_SECONDS: i64 = 12 * 60 * 60;
/// The most bytes that become the 4,096 that every push service takes, once they are encrypted.
const PLAIN_BYTES_MAX: usize = 3_993;
/// Notifications that are encrypted at once.
const ENCRYPTIONS_MAX: usize = 1;
/// Whoever sees this setting in a refusal knows what would allow it.
const ORIGINS: &str = "web_push.origins";

/// The key by which push services know us: browsers subscribe with its public half, so it lasts as long as they do.
pub struct VapidKey {
    signer: Signer,
    public: String,
}

/// Notifies browsers.
pub struct WebPush {
    /// For the outside.
    outside: Client,
    /// For the origins that are named.
    named: Client,
    origins: BTreeSet<String>,
    subject: String,
    key: VapidKey,
    encryptions: Semaphore,
}

/// The part of a browser's `PushSubscription` that matters.
#[derive(Deserialize)]
struct Subscription {
    endpoint: String,
    keys: Keys,
}

#[derive(Deserialize)]
struct Keys {
    p256dh: String,
    auth: String,
}

/// Where a browser is reached, once it was looked at.
pub(super) struct Destination {
    url: Url,
    is_named: bool,
}

impl Destination {
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl VapidKey {
    /// A new one, as PKCS #8 has it.
    pub fn generate() -> Option<Vec<u8>> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        made.ok().map(|document| document.as_ref().to_vec())
    }

    /// Reads one.
    pub fn read(pkcs8: &[u8]) -> Result<Self, String> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
        let pair = pair.map_err(|_| "it is no key of P-256".to_owned())?;
        let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        Ok(Self { signer: Signer::es256_of(pkcs8)?, public })
    }
}

impl WebPush {
    /// Reads what an operator says: whom push services may write to about us, and the origins of such that are not
    /// public.
    pub fn new(subject: &str, origins: &[String], key: VapidKey) -> Result<Self, String> {
        let is_contact = subject.strip_prefix("mailto:").is_some_and(|to| to.contains('@'))
            || subject.parse::<Url>().is_ok_and(|url| url.scheme() == "https");
        if !is_contact {
            return Err(format!("subject is {subject:?}, which is neither mailto:… nor https://…"));
        }
        let client = || {
            let client = Client::builder().redirect(reqwest::redirect::Policy::none());
            // Past any proxy: the address that is dialled is looked at, and a proxy would dial another.
            client.no_proxy().timeout(super::CALL_TIMEOUT)
        };
        let fault = |error: reqwest::Error| format!("no HTTP client: {error}");
        let outside = client().https_only(true).dns_resolver(Arc::new(PublicOnly { unless: ORIGINS }));
        Ok(Self {
            outside: outside.build().map_err(fault)?,
            named: client().build().map_err(fault)?,
            origins: origins.iter().map(|text| origin(text)).collect::<Result<_, _>>()?,
            subject: subject.to_owned(),
            key,
            encryptions: Semaphore::new(ENCRYPTIONS_MAX),
        })
    }

    pub(super) fn public_key(&self) -> &str {
        &self.key.public
    }

    /// Where a subscription leads, if that is where notifications may go: the guard before what users say.
    pub(super) fn destination(&self, token: &str) -> Result<Destination, Undelivered> {
        let dead = |words: &str| Undelivered::new(Cause::DeadToken, words);
        let subscription: Subscription =
            serde_json::from_str(token).map_err(|_| dead("it is not the subscription of a browser"))?;
        let url: Url = subscription.endpoint.parse().map_err(|_| dead("its endpoint is no URL"))?;
        if self.origins.contains(&url.origin().ascii_serialization()) {
            return Ok(Destination { url, is_named: true });
        }
        let is_plain = url.username().is_empty() && url.password().is_none();
        if url.scheme() != "https" || !is_plain {
            return Err(dead("its endpoint is not of https"));
        }
        let is_local = url.host_str().is_none_or(|host| host == "localhost" || host.ends_with(".localhost"));
        if is_local || address_of(&url).is_some_and(|address| !is_public(address)) {
            return Err(dead("its endpoint is not public, and web_push.origins does not name it"));
        }
        Ok(Destination { url, is_named: false })
    }

    pub(super) async fn send(
        &self,
        token: &str,
        notification: &Notification<'_>,
        now: Timestamp,
    ) -> Result<(), Undelivered> {
        let destination = self.destination(token)?;
        let plain = payload(notification);
        if PLAIN_BYTES_MAX < plain.len() {
            return Err(Undelivered::new(Cause::TooLarge, "it has more bytes than push services take"));
        }
        let encrypted = self.encrypt(token, plain).await?;
        let audience = destination.origin();
        let claims = json!({ "aud": audience, "exp": seconds(now) + VAPID_SECONDS, "sub": self.subject });
        let unsigned = || Undelivered::new(Cause::Credentials, "the key does not sign");
        let word = self.key.signer.sign(&claims).ok_or_else(unsigned)?;
        let client = if destination.is_named { &self.named } else { &self.outside };
        let request = client
            .post(destination.url)
            .header("authorization", format!("vapid t={word}, k={}", self.key.public))
            .header("content-encoding", "aes128gcm")
            .header("content-type", "application/octet-stream")
            .header("ttl", if notification.voip { 0 } else { ALERT_SECONDS })
            .header("urgency", if notification.voip { "high" } else { "normal" })
            .body(encrypted);
        let answer = ask(request, now).await?;
        match answer.status {
            200..300 => Ok(()),
            404 | 410 => Err(answer.failed(Some(Cause::DeadToken), "")),
            _ => Err(answer.failed(None, "")),
        }
    }

    /// Encrypts where nobody waits for it: what takes the longest of a notification must not take all processors from
    /// those who send.
    async fn encrypt(&self, token: &str, plain: Vec<u8>) -> Result<Vec<u8>, Undelivered> {
        let unmade = || Undelivered::new(Cause::Outage, "it could not be encrypted");
        let _permit = self.encryptions.acquire().await.map_err(|_| unmade())?;
        let token = token.to_owned();
        let encrypting = tokio::task::spawn_blocking(move || encrypted(&token, plain));
        encrypting.await.unwrap_or_else(|_| Err(unmade()))
    }
}

/// Whether a device token is the JSON of a browser's subscription. Those of Android are no JSON.
pub(super) fn is_subscription(token: &str) -> bool {
    token.trim_start().starts_with('{')
}

fn origin(text: &str) -> Result<String, String> {
    let url = super::outcome::base(text)?;
    if url.path() != "/" || url.query().is_some() {
        return Err(format!("origins has {text}, which is more than scheme, host and port"));
    }
    Ok(url.origin().ascii_serialization())
}

/// What a service worker gets.
fn payload(notification: &Notification<'_>) -> Vec<u8> {
    let payload = json!({
        "title": notification.title,
        "body": notification.body,
        "type": if notification.voip { "VOIP" } else { "DEFAULT" },
        "data": notification.ids(),
    });
    payload.to_string().into_bytes()
}

fn encrypted(token: &str, plain: Vec<u8>) -> Result<Vec<u8>, Undelivered> {
    let dead = || Undelivered::new(Cause::DeadToken, "its keys are not those of a browser");
    let Subscription { keys, .. } = serde_json::from_str(token).map_err(|_| dead())?;
    let bytes = |text: &str| {
        let decoded = URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text));
        decoded.map_err(|_| dead())
    };
    let public = PublicKey::from_sec1_bytes(&bytes(&keys.p256dh)?).map_err(|_| dead())?;
    let auth: [u8; 16] = bytes(&keys.auth)?.try_into().map_err(|_| dead())?;
    encrypt(plain, &public, &Auth::from(auth)).map_err(|_| dead())
}

#[cfg(test)]
mod tests {
    use super::super::tests::NOTIFICATION;
    use super::*;

    const P256DH: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    fn web_push(origins: &[&str]) -> Result<WebPush, String> {
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        WebPush::new("mailto:ops@example.com", &origins, VapidKey::read(&VapidKey::generate().unwrap())?)
    }

    fn subscription(endpoint: &str) -> String {
        json!({ "endpoint": endpoint, "expirationTime": null, "keys": { "p256dh": P256DH, "auth": AUTH } })
            .to_string()
    }

    #[test]
    fn a_subscription_leads_to_public_push_services_only() {
        let web_push = web_push(&["http://127.0.0.1:9000"]).unwrap();
        let origin =
            |endpoint: &str| web_push.destination(&subscription(endpoint)).ok().map(|to| to.origin());
        for good in ["https://fcm.googleapis.com/fcm/send/1f", "https://1.1.1.1/x", "http://127.0.0.1:9000/x"]
        {
            assert!(origin(good).is_some(), "{good}");
        }
        for bad in [
            "http://push.example.com/x",
            "https://localhost/x",
            "https://a.localhost/x",
            "https://127.0.0.1/x",
            "https://127.0.0.1:9000/x",
            "http://127.0.0.1:9001/x",
            "http://user@127.0.0.1/x",
            "https://user:word@push.example.com/x",
            "https://2130706433/x",
            "https://0x7f.1/x",
            "https://10.0.0.1/x",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "file:///etc/hostname",
            "push",
        ] {
            assert_eq!(
                web_push.destination(&subscription(bad)).err().unwrap().cause,
                Cause::DeadToken,
                "{bad}"
            );
        }
        assert_eq!(web_push.destination("{}").err().unwrap().cause, Cause::DeadToken);
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_dialled() {
        // Whatever this machine is called, its name is public in form, and its address is not. Without a name of its
        // own there is none to ask for, so the resolver itself is asked.
        use reqwest::dns::Resolve as _;
        let name = "localhost".parse().unwrap();
        let error = PublicOnly { unless: ORIGINS }.resolve(name).await.err().unwrap();
        assert!(error.to_string().contains("leads to no public address"), "{error}");
    }

    #[test]
    fn a_message_is_as_large_as_push_services_take() {
        let encrypted =
            |bytes: usize| encrypted(&subscription("https://push.example.com/x"), vec![b'x'; bytes]);
        assert_eq!(encrypted(PLAIN_BYTES_MAX).unwrap().len(), 4_096);
        let token = subscription("x").replace(AUTH, "BTBZ");
        assert_eq!(super::encrypted(&token, vec![]).unwrap_err().cause, Cause::DeadToken);
        let token = subscription("x").replace(P256DH, &P256DH.replace("BCVx", "BAAA"));
        assert_eq!(super::encrypted(&token, vec![]).unwrap_err().cause, Cause::DeadToken);
        assert!(payload(&NOTIFICATION).len() < PLAIN_BYTES_MAX);
    }

    #[test]
    fn what_an_operator_wrote_wrongly_is_refused() {
        for wrong in ["127.0.0.1:9000", "ftp://127.0.0.1", "http://127.0.0.1:9000/push"] {
            assert!(web_push(&[wrong]).is_err(), "{wrong}");
        }
        let key = || VapidKey::read(&VapidKey::generate().unwrap()).unwrap();
        for wrong in ["", "ops@example.com", "mailto:", "http://example.com"] {
            assert!(WebPush::new(wrong, &[], key()).err().unwrap().contains("subject"), "{wrong}");
        }
        assert!(VapidKey::read(b"no key").is_err());
        assert_eq!(key().public.len(), 87);
    }
}
