//! Why a request was refused, in the names and sentences on which SDKs act.
//!
//! It never carries a canonical request, a string to sign or a computed signature. Every refusal is HTTP 403;
//! the dispatcher puts it on the wire.

use std::borrow::Cow;
use std::fmt;

/// A request that was not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `MissingAuthenticationTokenException`: the request carries no signature at all.
    MissingAuthenticationToken,
    /// `InvalidSignatureException`: the signature's parts are absent, malformed or contradictory.
    IncompleteSignature(Cow<'static, str>),
    /// `InvalidSignatureException`: well-formed, but of another scope or another secret.
    InvalidSignature(Cow<'static, str>),
    /// `InvalidSignatureException`: of another time, so that a clock is wrong or the request is old.
    Untimely(Cow<'static, str>),
    /// `UnrecognizedClientException`: nobody here has this access key or session token.
    UnrecognizedClient,
    /// `ExpiredTokenException`: the session token was ours, and SDKs fetch a new one on this name.
    ExpiredToken,
}

impl Refusal {
    /// The name of the exception on the wire.
    pub fn exception(&self) -> &'static str {
        match self {
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::IncompleteSignature(_) | Self::InvalidSignature(_) | Self::Untimely(_) => {
                "InvalidSignatureException"
            }
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::ExpiredToken => "ExpiredTokenException",
        }
    }

    pub(super) fn incomplete(message: impl Into<Cow<'static, str>>) -> Self {
        Self::IncompleteSignature(message.into())
    }

    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidSignature(message.into())
    }

    /// A header is said to be signed, and did not come.
    pub(super) fn not_received(name: &str) -> Self {
        // The name is the client's own and may be long; it helps its author, so it is told up to a bound.
        let told: String = name.chars().take(64).collect();
        Self::incomplete(format!("'{told}' is a 'SignedHeader' but was not received."))
    }

    pub(super) fn untimely(message: String) -> Self {
        Self::Untimely(message.into())
    }

    /// The signature is not the one we compute; the sentence is AWS's, and people search for it.
    pub(super) fn mismatch() -> Self {
        Self::invalid(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details.",
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingAuthenticationToken => "Missing Authentication Token",
            Self::IncompleteSignature(message)
            | Self::InvalidSignature(message)
            | Self::Untimely(message) => message,
            Self::UnrecognizedClient => "The security token included in the request is invalid.",
            Self::ExpiredToken => "The security token included in the request is expired",
        })
    }
}

impl std::error::Error for Refusal {}
