//! Sessions: credentials for a while, whose token holds all that is to be known of them.
//!
//! The token is sealed, so only this server, and others with the same keys, can make or read one; nothing is looked
//! up to verify it. An opened token is kept, by its digest, because clients send the same one with each request.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_auth::seal::NONCE_BYTES;
use carillon_auth::{Sealer, Secret};
use carillon_model::Timestamp;
use carillon_store::iam::Tag;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::document::Held;
use crate::random::Random;

/// Tokens that are kept opened; one more pushes the least used out, which costs its next request some microseconds.
const SESSIONS_MAX: u64 = 10_000;
/// The most bytes of a token. It travels in a header and in a query, whose limits are twice as wide.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Nothing binds a token further: it is valid wherever it can be opened.
const CONTEXT: &[u8] = b"";

/// What a token holds. The names are short because it travels with each request.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The access key id that it belongs to.
    #[serde(rename = "k")]
    pub(crate) access_key_id: String,
    /// The secret access key.
    #[serde(rename = "s")]
    pub(crate) secret: String,
    /// The id of the user or role that acts; nothing for root.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) principal: Option<String>,
    /// The name of a role's session.
    #[serde(rename = "n", default, skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    /// The session's tags.
    #[serde(rename = "t", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<Tag>,
    /// The keys of the tags that a session made with this one inherits.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) transitive: Vec<String>,
    /// Policies that narrow what the principal may do: where there are any, one of them must allow too.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) policies: Vec<String>,
    /// What an identity provider said, by the keys of conditions.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) provided: Vec<(String, Vec<String>)>,
    /// Who stands behind it, if that was said.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub(crate) source_identity: Option<String>,
    /// The key of the only user that it may be, if it was exchanged: its ARN can become another's.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// When it was issued, in milliseconds by the service's clock.
    #[serde(rename = "i")]
    pub(crate) issued_ms: i64,
    /// When it is over, in milliseconds by the service's clock.
    #[serde(rename = "e")]
    pub(crate) expires_ms: i64,
}

impl Claims {
    /// Those of a new session of these many seconds, which may still do nothing.
    pub(crate) fn new(random: &Random, now: Timestamp, seconds: i64) -> Self {
        Self {
            access_key_id: random.id("ASIA"),
            secret: random.secret(),
            expires_ms: now.plus_ms(seconds * 1000).ms(),
            ..Self::supposed(now)
        }
    }

    /// Those of a session that nobody can sign with.
    pub(crate) fn supposed(now: Timestamp) -> Self {
        Self {
            access_key_id: String::new(),
            secret: String::new(),
            principal: None,
            name: String::new(),
            tags: Vec::new(),
            transitive: Vec::new(),
            policies: Vec::new(),
            provided: Vec::new(),
            source_identity: None,
            user: None,
            issued_ms: now.ms(),
            expires_ms: now.ms(),
        }
    }
}

/// A token that was opened.
pub(crate) struct Session {
    /// What it holds, but for the secret.
    pub(crate) claims: Claims,
    pub(super) secret: Secret,
    /// The policies that narrow it, compiled.
    pub(super) policies: Vec<Held>,
}

impl Session {
    /// The session of these claims.
    pub(crate) fn new(claims: Claims, secret: Secret) -> Self {
        let policies = (1..).zip(&claims.policies);
        let policies = policies.map(|(at, text)| Held::alone(format!("session policy {at}"), text)).collect();
        Self { claims, secret, policies }
    }

    /// When it was issued.
    pub(crate) fn issued_at(&self) -> Timestamp {
        Timestamp::from_ms(self.claims.issued_ms)
    }

    /// When it is over.
    pub(crate) fn expires_at(&self) -> Timestamp {
        Timestamp::from_ms(self.claims.expires_ms)
    }
}

/// Makes and opens tokens.
pub(crate) struct Sessions {
    sealer: Sealer,
    opened: Cache<[u8; 32], Arc<Session>>,
}

impl Sessions {
    pub(super) fn new(sealer: Sealer) -> Self {
        Self { sealer, opened: Cache::new(SESSIONS_MAX) }
    }

    /// A token.
    pub(crate) fn seal(&self, claims: &Claims, nonce: [u8; NONCE_BYTES]) -> String {
        let text = Zeroizing::new(serde_json::to_vec(claims).expect("texts always serialize"));
        URL_SAFE_NO_PAD.encode(self.sealer.seal(nonce, CONTEXT, &text))
    }

    /// What a token holds, whoever sends it and whether or not its time is over.
    pub(super) fn open(&self, token: &str) -> Option<Arc<Session>> {
        if TOKEN_BYTES_MAX < token.len() {
            return None;
        }
        let digest: [u8; 32] = digest(&SHA256, token.as_bytes()).as_ref().try_into().ok()?;
        if let Some(session) = self.opened.get(&digest) {
            return Some(session);
        }
        let text = self.sealer.open(CONTEXT, &URL_SAFE_NO_PAD.decode(token).ok()?)?;
        let mut claims: Claims = serde_json::from_slice(&text).ok()?;
        let secret = Secret::new(claims.secret.clone());
        claims.secret.zeroize();
        let session = Arc::new(Session::new(claims, secret));
        self.opened.insert(digest, session.clone());
        Some(session)
    }
}
