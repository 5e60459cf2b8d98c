//! JSON web tokens of others: who somebody is, as an identity provider says it and signed.
//!
//! A [`Token`] is taken apart first, so that its issuer and its key id can lead to the right keys, and believed only
//! after [`Token::verify`]. Which algorithm a signature has is decided by the key, never by the token alone: a key
//! of a set only ever verifies what is made with its private half, so a token cannot turn a public key into a shared
//! secret. The module knows neither where keys come from ([`KeySet`] is given) nor what time it is.

mod keys;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use keys::{KEYS_MAX, KeySet};

/// The most bytes of a token, as the original has it.
pub const TOKEN_BYTES_MAX: usize = 20_000;
/// How far the clock of a provider may be ahead: a token is often used in the second in which it was made. That a
/// token is over is never forgiven.
pub const AHEAD_MS_MAX: i64 = 30_000;

/// A token that was taken apart, and is not believed.
pub struct Token<'a> {
    header: Header,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: &'a str,
}

/// The part of the header that matters.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// What a token must be to be believed.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// For whom it may be made, any of these; none, and it may be made for anybody.
    pub audiences: &'a [String],
    /// Who must have made it; none, and whoever has the key.
    pub issuer: Option<&'a str>,
    /// The time, in Unix milliseconds.
    pub now_ms: i64,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no token, or larger than one may be.
    Malformed,
    /// It is signed in a way that is not accepted, or not at all.
    Algorithm,
    /// No key has the id that it names.
    UnknownKey,
    /// Its signature is not of the key.
    Signature,
    /// Its time is over, or it has none.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is made for somebody else.
    Audience,
    /// It is made by somebody else.
    Issuer,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the token is not a JSON web token",
            Self::Algorithm => "the token is not signed with an accepted algorithm",
            Self::UnknownKey => "the token is signed with an unknown key",
            Self::Signature => "the signature of the token is wrong",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::Audience => "the token is for another audience",
            Self::Issuer => "the token is of another issuer",
        })
    }
}

impl std::error::Error for Refusal {}

impl<'a> Token<'a> {
    /// Takes a token apart.
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        if TOKEN_BYTES_MAX < text.len() {
            return Err(Refusal::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header: Header = decode(header)?;
        if header.crit.is_some() {
            // It asks to be refused by who does not know an extension, and none is known here.
            return Err(Refusal::Malformed);
        }
        Ok(Self { header, claims: decode(claims)?, signed, signature })
    }

    /// The id of the key that it says it is signed with.
    pub fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Who it says has made it: good for finding the keys, and for nothing else.
    pub fn claimed_issuer(&self) -> Option<&str> {
        text(&self.claims, "iss")
    }

    /// Its claims, if it is signed by one of these keys and meant for us and now.
    pub fn verify(self, keys: &KeySet, expectation: &Expectation<'_>) -> Result<Claims, Refusal> {
        keys.verify(&self)?;
        let claims = Claims(self.claims);
        claims.check(expectation)?;
        Ok(claims)
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, {:?})", self.header.alg, self.header.kid)
    }
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::Malformed)
}

/// What a token says, believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// The value of a claim.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The value of a claim that is a text, and not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        text(&self.0, name)
    }

    /// For whom it was made. A token without an audience names in `client_id` for whom it was issued.
    pub fn audiences(&self) -> Vec<&str> {
        match self.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            Some(_) => Vec::new(),
            None => self.text("client_id").into_iter().collect(),
        }
    }

    fn check(&self, expectation: &Expectation<'_>) -> Result<(), Refusal> {
        let expires_ms = self.time("exp")?.ok_or(Refusal::Expired)?;
        if expires_ms <= expectation.now_ms {
            return Err(Refusal::Expired);
        }
        let begins_ms = self.time("nbf")?.unwrap_or(i64::MIN);
        if expectation.now_ms.saturating_add(AHEAD_MS_MAX) < begins_ms {
            return Err(Refusal::NotYetValid);
        }
        let expected = |audience: &&str| expectation.audiences.iter().any(|expected| expected == audience);
        if !expectation.audiences.is_empty() && !self.audiences().iter().any(expected) {
            return Err(Refusal::Audience);
        }
        match expectation.issuer {
            Some(issuer) if self.text("iss") != Some(issuer) => Err(Refusal::Issuer),
            _ => Ok(()),
        }
    }

    /// A time, in Unix milliseconds. It is a number of seconds, which may have a fraction.
    #[expect(clippy::cast_possible_truncation, reason = "a number out of range becomes the end of the range")]
    fn time(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let seconds = value.as_f64().ok_or(Refusal::Malformed)?;
        Ok(Some((seconds * 1000.0) as i64))
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str().filter(|text| !text.is_empty())
}
