//! Signing, for the test `World` and the load generator: the same canonical request, written to be sent.
//!
//! It adds no headers and reads no clock; whoever sends the request puts `host` and `x-amz-date` into it
//! first.

use super::canonical::{Canonical, HostReading, QueryReading};
use super::encoding::{hex, push_encoded};
use super::key::SigningKey;
use super::query::{Query, SIGNATURE};
use super::time::SignedAt;
use super::{ALGORITHM, Refusal, Secret, SignedRequest, TERMINATOR};

/// Headers that proxies change or that are the signature itself.
const UNSIGNED: [&str; 6] =
    ["authorization", "connection", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"];

/// Who signs, and for which scope.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// The access key.
    pub access_key_id: &'a str,
    /// Its secret.
    pub secret: &'a Secret,
    /// The token of a session. [`presign`] puts it into the query; for [`sign`] it is a header that the
    /// caller set.
    pub session_token: Option<&'a str>,
    /// The region of the scope.
    pub region: &'a str,
    /// The service of the scope.
    pub service: &'a str,
}

impl Signer<'_> {
    fn scope(&self, signed_at: &SignedAt) -> String {
        format!("{}/{}/{}/{TERMINATOR}", signed_at.day(), self.region, self.service)
    }

    /// The key of the day on which this instant is.
    pub fn key(&self, date_ms: i64) -> SigningKey {
        self.key_at(&SignedAt::from_ms(date_ms))
    }

    fn key_at(&self, signed_at: &SignedAt) -> SigningKey {
        SigningKey::derive(self.secret, signed_at.day(), self.region, self.service)
    }

    fn signature(
        &self,
        request: &SignedRequest,
        signed_headers: &str,
        signed_at: &SignedAt,
        key: &SigningKey,
    ) -> Result<String, Refusal> {
        let query = Query::parse(request.query)?;
        let mut canonical = Canonical::new(request, &query, signed_headers);
        let hash = canonical.hash(QueryReading::Recoded, HostReading::AsSent)?;
        Ok(text(hex(&key.sign(signed_at, &self.scope(signed_at), &hash)).to_vec()))
    }
}

/// The value of `Authorization` for a request that already has `host`, `x-amz-date` (of the same instant)
/// and, in a session, `x-amz-security-token`. Refused is only what is over a limit or lacks every header.
pub fn sign(request: &SignedRequest, signer: &Signer, date_ms: i64) -> Result<String, Refusal> {
    sign_with(&signer.key(date_ms), request, signer, date_ms)
}

/// The same with a key of that day that was derived before, for whoever signs many.
pub fn sign_with(
    key: &SigningKey,
    request: &SignedRequest,
    signer: &Signer,
    date_ms: i64,
) -> Result<String, Refusal> {
    let signed_at = SignedAt::from_ms(date_ms);
    let signed_headers = signed_headers(request);
    let signature = signer.signature(request, &signed_headers, &signed_at, key)?;
    let (access_key_id, scope) = (signer.access_key_id, signer.scope(&signed_at));
    Ok(format!(
        "{ALGORITHM} Credential={access_key_id}/{scope}, SignedHeaders={signed_headers}, Signature={signature}"
    ))
}

/// The whole query text of a presigned request: the request's own query, the `X-Amz-…` parameters, the
/// signature.
pub fn presign(
    request: &SignedRequest,
    signer: &Signer,
    date_ms: i64,
    expires_s: u32,
) -> Result<String, Refusal> {
    let signed_at = SignedAt::from_ms(date_ms);
    let signed_headers = signed_headers(request);
    let credential = format!("{}/{}", signer.access_key_id, signer.scope(&signed_at));
    let expires = expires_s.to_string();
    let parameters = [
        ("X-Amz-Algorithm", Some(ALGORITHM)),
        ("X-Amz-Credential", Some(credential.as_str())),
        ("X-Amz-Date", Some(signed_at.text())),
        ("X-Amz-Expires", Some(expires.as_str())),
        ("X-Amz-Security-Token", signer.session_token),
        ("X-Amz-SignedHeaders", Some(signed_headers.as_str())),
    ];
    let mut query = request.query.as_bytes().to_vec();
    for (name, value) in parameters.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        if !query.is_empty() {
            query.push(b'&');
        }
        query.extend_from_slice(name.as_bytes());
        query.push(b'=');
        push_encoded(value, &mut query);
    }
    let query = text(query);
    let request = SignedRequest { query: &query, ..*request };
    let signature = signer.signature(&request, &signed_headers, &signed_at, &signer.key_at(&signed_at))?;
    Ok(format!("{query}&{SIGNATURE}={signature}"))
}

fn signed_headers(request: &SignedRequest) -> String {
    let mut names: Vec<_> =
        request.headers.iter().map(|header| header.0).filter(|name| !UNSIGNED.contains(name)).collect();
    names.sort_unstable();
    names.dedup();
    names.join(";")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("only whole texts and ASCII were put together")
}
