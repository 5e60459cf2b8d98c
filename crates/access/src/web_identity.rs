//! Whom an identity provider vouches for: its keys are fetched, and a token is believed or not.
//!
//! Fetching may wait for another server, so it happens before a transaction, never inside one. How it is done is
//! the affair of whoever stands behind [`KeySets`].

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use carillon_auth::jwt::{Claims, Expectation, KeySet, Refusal, Token};

/// Where the keys of a provider are published.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// At this address.
    Jwks(String),
    /// Where the provider with this issuer URL, scheme and all, says under `.well-known`.
    Issuer(String),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Jwks(url) | Self::Issuer(url)) = self;
        f.write_str(url)
    }
}

/// There are no keys of the provider: it cannot be reached, and none are known from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreachable;

/// What [`KeySets::find`] promises.
pub type Finding<'a> = Pin<Box<dyn Future<Output = Result<Arc<KeySet>, Unreachable>> + Send + 'a>>;

/// Knows the keys of identity providers.
pub trait KeySets: Send + Sync {
    /// The keys of a provider. A key id that is not among the known ones is a reason to look whether the provider
    /// has new ones.
    fn find<'a>(&'a self, source: &'a KeySource, key_id: Option<&'a str>) -> Finding<'a>;
}

/// Why nobody is vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disbelief {
    /// The token is not good.
    Refused(Refusal),
    /// The token may be good, but the keys of its provider cannot be had.
    Unreachable,
}

impl fmt::Display for Disbelief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unreachable => f.write_str("the keys of the identity provider cannot be had"),
        }
    }
}

/// The claims of a token that the provider has signed, and that is meant for us and now.
pub async fn verify(
    key_sets: &dyn KeySets,
    source: &KeySource,
    token: &str,
    expectation: &Expectation<'_>,
) -> Result<Claims, Disbelief> {
    let token = Token::parse(token).map_err(Disbelief::Refused)?;
    let keys = key_sets.find(source, token.key_id()).await.map_err(|Unreachable| Disbelief::Unreachable)?;
    token.verify(&keys, expectation).map_err(Disbelief::Refused)
}
