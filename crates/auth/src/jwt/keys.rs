//! The keys that tokens are verified with: the published set of a provider, or a shared secret.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::Value;

use super::{Refusal, Token};

/// The most keys of a set: providers publish two or three, large ones about ten.
pub const KEYS_MAX: usize = 64;

/// The keys of a provider.
pub struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithms: &'static [Algorithm],
    /// The one algorithm that the set declares for it.
    declared: Option<Algorithm>,
    decoding: DecodingKey,
}

/// A set as it is published. What is no usable key in it is passed over: others may use it.
#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

const OF_RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

impl KeySet {
    /// Reads a published set. Only public keys for signatures count: a shared secret in it is nobody's.
    pub fn parse(json: &[u8]) -> Result<Self, &'static str> {
        let published: Published =
            serde_json::from_slice(json).map_err(|_| "it is not a JSON object with keys")?;
        if KEYS_MAX < published.keys.len() {
            return Err("it has more than 64 keys");
        }
        let keys: Vec<Key> = published.keys.into_iter().filter_map(Key::of_jwk).collect();
        if keys.is_empty() { Err("it has no key that verifies signatures") } else { Ok(Self(keys)) }
    }

    /// The key of an application that signs its tokens with a shared secret, by HS256.
    pub fn of_secret(secret: &[u8]) -> Self {
        let decoding = DecodingKey::from_secret(secret);
        Self(vec![Key { id: None, algorithms: &[Algorithm::HS256], declared: None, decoding }])
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a token with this key id could be verified; without one, any key may be meant.
    pub fn has(&self, key_id: Option<&str>) -> bool {
        self.0.iter().any(|key| key.is_meant_by(key_id))
    }

    pub(super) fn verify(&self, token: &Token<'_>) -> Result<(), Refusal> {
        let algorithm: Algorithm = known(&token.header.alg).parse().map_err(|_| Refusal::Algorithm)?;
        let meant: Vec<&Key> = self.0.iter().filter(|key| key.is_meant_by(token.key_id())).collect();
        if meant.is_empty() {
            return Err(Refusal::UnknownKey);
        }
        let mut fitting = meant.into_iter().filter(|key| key.fits(algorithm)).peekable();
        if fitting.peek().is_none() {
            return Err(Refusal::Algorithm);
        }
        let (signature, signed) = (token.signature, token.signed.as_bytes());
        let genuine =
            |key: &Key| crypto::verify(signature, signed, &key.decoding, algorithm).unwrap_or(false);
        if fitting.any(genuine) { Ok(()) } else { Err(Refusal::Signature) }
    }
}

/// An algorithm by the name that the library knows: RFC 9864 names that of Ed25519 after its curve, the only one of
/// those called `EdDSA` of which keys are taken here.
fn known(algorithm: &str) -> &str {
    if algorithm == "Ed25519" { "EdDSA" } else { algorithm }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeySet({} keys)", self.0.len())
    }
}

impl Key {
    fn of_jwk(mut published: Value) -> Option<Self> {
        if let Some(Value::String(named)) = published.get_mut("alg") {
            *named = known(named).to_owned();
        }
        let jwk: Jwk = serde_json::from_value(published).ok()?;
        let algorithms: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => OF_RSA,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                &[Algorithm::ES256]
            }
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
                &[Algorithm::ES384]
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            _ => return None,
        };
        let common = &jwk.common;
        let signs = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
        let operations = common.key_operations.as_ref();
        let verifies = operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let declared = match common.key_algorithm {
            Some(named) => Some(named.to_string().parse().ok().filter(|named| algorithms.contains(named))?),
            None => None,
        };
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        (signs && verifies).then(|| Self { id: jwk.common.key_id, algorithms, declared, decoding })
    }

    /// Whether a token that names this key id may mean this key. A key without an id belongs to a secret or to a
    /// provider that has never had two.
    fn is_meant_by(&self, key_id: Option<&str>) -> bool {
        match (&self.id, key_id) {
            (Some(id), Some(wanted)) => id == wanted,
            _ => true,
        }
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        match self.declared {
            Some(declared) => declared == algorithm,
            None => self.algorithms.contains(&algorithm),
        }
    }
}
