//! The tokens that push services know us by: what we say, signed with a key of ours.

use carillon_model::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::Value;

/// What signs.
pub(super) struct Signer {
    header: Header,
    key: EncodingKey,
}

impl Signer {
    /// A key of an elliptic curve, from a file that holds it in PEM (PKCS #8), as Apple gives it.
    pub(super) fn es256(pem: &[u8], key_id: &str) -> Result<Self, String> {
        let key = EncodingKey::from_ec_pem(pem);
        Self::checked(
            Algorithm::ES256,
            Some(key_id),
            key,
            "a private key of the curve P-256 in PEM (PKCS #8)",
        )
    }

    /// An RSA key in PEM, as it stands in a service account of Google's.
    pub(super) fn rs256(pem: &[u8], key_id: Option<&str>) -> Result<Self, String> {
        Self::checked(Algorithm::RS256, key_id, EncodingKey::from_rsa_pem(pem), "a private RSA key in PEM")
    }

    /// A key of an elliptic curve as PKCS #8 has it.
    pub(super) fn es256_of(pkcs8: &[u8]) -> Result<Self, String> {
        Self::checked(Algorithm::ES256, None, Ok(EncodingKey::from_ec_der(pkcs8)), "a private key of P-256")
    }

    /// A key that does sign: what only looks like one is found here, and not at the first notification.
    fn checked(
        algorithm: Algorithm,
        key_id: Option<&str>,
        key: jsonwebtoken::errors::Result<EncodingKey>,
        what: &str,
    ) -> Result<Self, String> {
        let mut header = Header::new(algorithm);
        header.kid = key_id.map(str::to_owned);
        let signer = key.ok().map(|key| Self { header, key });
        signer.filter(|signer| signer.sign(&Value::Null).is_some()).ok_or_else(|| format!("it is not {what}"))
    }

    pub(super) fn sign(&self, claims: &Value) -> Option<String> {
        encode(&self.header, claims, &self.key).ok()
    }
}

/// A time, as tokens have it.
pub(super) fn seconds(time: Timestamp) -> i64 {
    time.ms().div_euclid(1000)
}
