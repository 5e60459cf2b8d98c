//! Verification: a request, an expectation and somebody who knows secrets in; who signed it, or a refusal,
//! out.
//!
//! It does not know what the caller may do, whether the request makes sense, or what time it is.

use subtle::ConstantTimeEq;

use super::canonical::{Canonical, HostReading, QueryReading};
use super::claim::Claim;
use super::credential::Credential;
use super::key::{Keys, SigningKey};
use super::limits::{HEADER_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};
use super::query::Query;
use super::{Credentials, Expectation, NoSecret, Refusal, SignedRequest, time};

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
        check_sizes(request)?;
        let query = Query::parse(request.query)?;
        let claim = Claim::read(request, &query)?;
        let credential = Credential::parse(&claim.credential)?;
        credential.check(&claim.signed_at, expectation)?;
        time::check(&claim.signed_at, claim.life, expectation)?;
        let secret = credentials.secret(credential.access_key_id, claim.session_token.as_deref());
        let kept = match &secret {
            Ok(secret) => self.keys.of(&credential, secret),
            Err(_) => self.keys.of_nobody(&credential),
        };
        // Compared even without a secret: how long a refusal takes must not tell which access keys exist.
        let is_genuine = is_genuine(request, &query, &claim, &credential, &kept.key)?;
        match (secret, is_genuine) {
            (Err(NoSecret::Unknown), _) => Err(Refusal::UnrecognizedClient),
            (Err(NoSecret::Expired), _) => Err(Refusal::ExpiredToken),
            (Ok(_), false) => Err(Refusal::mismatch()),
            (Ok(_), true) => Ok(Verified {
                access_key_id: credential.access_key_id.to_owned(),
                region: credential.region.to_owned(),
                service: credential.service.to_owned(),
                signed_at_ms: claim.signed_at.ms,
                session_token: claim.session_token.map(Into::into),
            }),
        }
    }
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

/// Tries the readings of the request that clients are known to sign, the usual one first.
fn is_genuine(
    request: &SignedRequest,
    query: &Query,
    claim: &Claim,
    credential: &Credential,
    key: &SigningKey,
) -> Result<bool, Refusal> {
    let queries: &[_] = if claim.is_presigned() {
        &[QueryReading::Recoded, QueryReading::Raw]
    } else {
        &[QueryReading::Recoded]
    };
    let host_has_capitals = request.values("host").any(|host| host.bytes().any(|b| b.is_ascii_uppercase()));
    let hosts: &[_] = if host_has_capitals {
        &[HostReading::AsSent, HostReading::LowerCase]
    } else {
        &[HostReading::AsSent]
    };
    let mut canonical = Canonical::new(request, query, &claim.signed_headers);
    for &query in queries {
        for &host in hosts {
            let hash = canonical.hash(query, host)?;
            let computed = key.sign(&claim.signed_at, credential.scope, &hash);
            if computed.ct_eq(&claim.signature).into() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
