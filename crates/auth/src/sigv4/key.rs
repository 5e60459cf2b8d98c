//! Signing keys: derived from a secret for one day, region and service, and kept as ready HMAC states.
//!
//! The kept keys are bounded and never outlive their secret: one that was replaced is noticed and derived
//! anew.

use std::sync::Arc;

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key, sign};
use moka::sync::Cache;
use zeroize::Zeroizing;

use super::credential::Credential;
use super::limits::KEYS_MAX;
use super::time::SignedAt;
use super::{ALGORITHM, Secret, TERMINATOR};

/// An HMAC-SHA256.
pub(super) type Tag = [u8; 32];

fn tag(key: &[u8], text: &str) -> Zeroizing<Tag> {
    Zeroizing::new(bytes(sign(&Key::new(HMAC_SHA256, key), text.as_bytes())))
}

fn bytes(tag: aws_lc_rs::hmac::Tag) -> Tag {
    tag.as_ref().try_into().expect("an HMAC-SHA256 has 32 bytes")
}

/// A key of one day, region and service, as the HMAC state that has already absorbed it.
#[derive(Clone)]
pub struct SigningKey(Key);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// Derives the key; `day` is `yyyyMMdd`.
    pub fn derive(secret: &Secret, day: &str, region: &str, service: &str) -> Self {
        let prefixed = Zeroizing::new(["AWS4", secret.expose()].concat());
        let of_day = tag(prefixed.as_bytes(), day);
        let of_region = tag(&*of_day, region);
        let of_service = tag(&*of_region, service);
        Self(Key::new(HMAC_SHA256, &*tag(&*of_service, TERMINATOR)))
    }

    /// Signs the string to sign, which is never put together anywhere.
    pub(super) fn sign(&self, signed_at: &SignedAt, scope: &str, request_hash: &[u8; 64]) -> Tag {
        let mut state = Context::with_key(&self.0);
        for part in [ALGORITHM, "\n", signed_at.text(), "\n", scope, "\n"] {
            state.update(part.as_bytes());
        }
        state.update(request_hash);
        bytes(state.sign())
    }
}

/// The keys in use.
pub(super) struct Keys {
    /// By the text of the credential, which names access key, day, region and service.
    kept: Cache<Box<str>, Arc<Kept>>,
}

/// A key with the secret that it was derived from, by which a replaced secret is noticed.
pub(super) struct Kept {
    secret: Secret,
    pub(super) key: SigningKey,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self { kept: Cache::new(KEYS_MAX) }
    }

    /// The key of a credential whose scope and time were already found good, which bounds what can be asked
    /// for.
    pub(super) fn of(&self, credential: &Credential, secret: &Secret) -> Arc<Kept> {
        if let Some(kept) = self.kept.get(credential.text)
            && kept.secret.is_same_as(secret)
        {
            return kept;
        }
        let key = SigningKey::derive(secret, credential.day, credential.region, credential.service);
        let kept = Arc::new(Kept { secret: secret.clone(), key });
        self.kept.insert(credential.text.into(), Arc::clone(&kept));
        kept
    }
}
