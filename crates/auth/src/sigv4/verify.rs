//! Verification: a request, an expectation and somebody who knows secrets in; who signed it, or a refusal,
//! out.
//!
//! It goes in two steps. [`Verifier::check_head`] judges what stands in the head, so that a stranger's body need not be
//! read; [`Head::verify`] judges the signature, once the body is there. It does not know what the caller may do,
//! whether the request makes sense, or what time it is.

use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::canonical::{Canonical, HostReading, QueryReading};
use super::claim::Claim;
use super::credential::Credential;
use super::key::{Kept, Keys};
use super::limits::{HEADER_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};
use super::query::{Query, SIGNATURE};
use super::time::SignedAt;
use super::{
    ALGORITHM, Credentials, Expectation, NoSecret, Refusal, SignedRequest, header_form, presigned_form, time,
};

/// Verifies signatures; one serves the whole process, since it keeps derived keys.
pub struct Verifier {
    keys: Keys,
}

/// Who signed a request, for what, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The access key whose secret made the signature.
    pub access_key_id: String,
    /// The region of the scope, which is the expected one.
    pub region: String,
    /// The service of the scope, which is one of the expected.
    pub service: String,
    /// The session token that came with the request.
    pub session_token: Option<String>,
    /// The instant that the client signed at, by its own clock.
    pub signed_at_ms: i64,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Verifier {
    /// A verifier that has no keys yet.
    pub fn new() -> Self {
        Self { keys: Keys::new() }
    }

    /// Finds out who signed a request, or refuses it.
    pub fn verify(
        &self,
        request: &SignedRequest,
        expectation: &Expectation,
        credentials: &impl Credentials,
    ) -> Result<Verified, Refusal> {
        self.check_head(request, expectation, credentials)?.verify(request)
    }

    /// Refuses what its head alone proves wrong: the form of the claim, its scope, its time, a key or a session that
    /// nobody has, a signed header that did not come. The request's body is not looked at.
    pub fn check_head(
        &self,
        request: &SignedRequest,
        expectation: &Expectation,
        credentials: &impl Credentials,
    ) -> Result<Head, Refusal> {
        check_sizes(request)?;
        let query = Query::parse(request.query)?;
        let claim = read_claim(request, &query)?;
        let credential = Credential::parse(&claim.credential)?;
        credential.check(&claim.signed_at, expectation)?;
        time::check(&claim.signed_at, claim.life, expectation)?;
        check_presence(request, &claim.signed_headers)?;
        let secret = credentials.secret(credential.access_key_id, claim.session_token.as_deref());
        // The names of these two tell already which access keys exist, so the time they take may tell it too.
        let secret = secret.map_err(|none| match none {
            NoSecret::Unknown => Refusal::UnrecognizedClient,
            NoSecret::Expired => Refusal::ExpiredToken,
        })?;
        Ok(Head {
            key: self.keys.of(&credential, &secret),
            scope: credential.scope.to_owned(),
            is_presigned: claim.is_presigned(),
            signature: claim.signature,
            signed_at: claim.signed_at,
            verified: Verified {
                access_key_id: credential.access_key_id.to_owned(),
                region: credential.region.to_owned(),
                service: credential.service.to_owned(),
                signed_at_ms: claim.signed_at.ms,
                session_token: claim.session_token.as_deref().map(str::to_owned),
            },
            signed_headers: claim.signed_headers.into_owned(),
        })
    }
}

/// What the head of a request claims, as far as the head can be believed. Nobody has signed until
/// [`Head::verify`] says so.
pub struct Head {
    key: Arc<Kept>,
    scope: String,
    signed_headers: String,
    signature: [u8; 32],
    signed_at: SignedAt,
    is_presigned: bool,
    verified: Verified,
}

impl Head {
    /// Finds out whether the request, whose head this is and whose body is there now, was signed so.
    pub fn verify(self, request: &SignedRequest) -> Result<Verified, Refusal> {
        let query = Query::parse(request.query)?;
        if self.is_genuine(request, &query)? { Ok(self.verified) } else { Err(Refusal::mismatch()) }
    }

    /// Tries the readings of the request that clients are known to sign, the usual one first.
    fn is_genuine(&self, request: &SignedRequest, query: &Query) -> Result<bool, Refusal> {
        let queries: &[_] = if self.is_presigned {
            &[QueryReading::Recoded, QueryReading::Raw]
        } else {
            &[QueryReading::Recoded]
        };
        let host_has_capitals =
            request.values("host").any(|host| host.bytes().any(|byte| byte.is_ascii_uppercase()));
        let hosts: &[_] = if host_has_capitals {
            &[HostReading::AsSent, HostReading::LowerCase]
        } else {
            &[HostReading::AsSent]
        };
        let mut canonical = Canonical::new(request, query, &self.signed_headers);
        for &query in queries {
            for &host in hosts {
                let hash = canonical.hash(query, host)?;
                let computed = self.key.key.sign(&self.signed_at, &self.scope, &hash);
                if computed.ct_eq(&self.signature).into() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// What a request says about its signature, in whichever of the two forms.
fn read_claim<'a>(request: &SignedRequest<'a>, query: &Query) -> Result<Claim<'a>, Refusal> {
    let authorization = request.only_value("authorization")?;
    let presigned = query.has(presigned_form::ALGORITHM_PARAMETER) || query.has(SIGNATURE);
    let claim = match (authorization, presigned) {
        (None, false) => return Err(Refusal::MissingAuthenticationToken),
        (None, true) => presigned_form::read(query)?,
        (Some(authorization), false) => header_form::read(request, authorization)?,
        (Some(_), true) => {
            return Err(Refusal::incomplete(format!(
                "A request is signed either in 'Authorization' or in its query, not in both ({ALGORITHM})."
            )));
        }
    };
    claim.check_signed_headers()?;
    Ok(claim)
}

fn check_sizes(request: &SignedRequest) -> Result<(), Refusal> {
    if TARGET_BYTES_MAX < request.path.len() || TARGET_BYTES_MAX < request.query.len() {
        return Err(Refusal::incomplete(format!("Path and query may have {TARGET_BYTES_MAX} bytes each.")));
    }
    if HEADERS_MAX < request.headers.len() {
        return Err(Refusal::incomplete(format!("A request may have at most {HEADERS_MAX} headers.")));
    }
    if request.headers.iter().any(|(name, value)| HEADER_BYTES_MAX < name.len() + value.len()) {
        return Err(Refusal::incomplete(format!("A header may have at most {HEADER_BYTES_MAX} bytes.")));
    }
    Ok(())
}

fn check_presence(request: &SignedRequest, signed_headers: &str) -> Result<(), Refusal> {
    for name in signed_headers.split(';') {
        if request.values(name).next().is_none() {
            return Err(Refusal::not_received(name));
        }
    }
    Ok(())
}
