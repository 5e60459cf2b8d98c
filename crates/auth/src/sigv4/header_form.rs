//! The header form: `Authorization: AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.
//!
//! It reads the claim out of the headers and judges nothing.

use std::borrow::Cow;

use super::claim::{Claim, parse_signature};
use super::time::{Life, SignedAt};
use super::{ALGORITHM, Refusal, SignedRequest};

/// The three parameters, in the order in which their absence is reported.
const NAMES: [&str; 3] = ["Credential", "SignedHeaders", "Signature"];

pub(super) fn read<'a>(request: &SignedRequest<'a>, authorization: &'a str) -> Result<Claim<'a>, Refusal> {
    let [credential, signed_headers, signature] = parameters(authorization)?;
    let session_token = request.only_value("x-amz-security-token")?;
    Ok(Claim {
        credential: Cow::Borrowed(credential),
        signed_headers: Cow::Borrowed(signed_headers),
        signature: parse_signature(signature)?,
        session_token: session_token.map(|token| Cow::Borrowed(token.trim_matches([' ', '\t']))),
        signed_at: signed_at(request)?,
        life: Life::Skew,
    })
}

fn parameters(authorization: &str) -> Result<[&str; 3], Refusal> {
    let text = authorization.trim_matches([' ', '\t']);
    let Some((ALGORITHM, rest)) = text.split_once([' ', '\t']) else {
        return Err(Refusal::incomplete(format!(
            "Authorization header requires the algorithm '{ALGORITHM}'."
        )));
    };
    let mut found = [None; 3];
    for parameter in rest.split(',') {
        let place = parameter
            .trim_matches([' ', '\t'])
            .split_once('=')
            .and_then(|(name, value)| Some((NAMES.iter().position(|known| *known == name)?, value)));
        match place {
            Some((index, value)) if found[index].is_none() => found[index] = Some(value),
            _ => {
                return Err(Refusal::incomplete(
                    "Authorization header has an unknown or repeated parameter.",
                ));
            }
        }
    }
    let mut values = [""; 3];
    for ((name, value), found) in NAMES.iter().zip(&mut values).zip(found) {
        *value = found.ok_or_else(|| {
            Refusal::incomplete(format!("Authorization header requires '{name}' parameter."))
        })?;
    }
    Ok(values)
}

/// `X-Amz-Date` wins over `Date`, which browsers and proxies set by themselves.
fn signed_at(request: &SignedRequest) -> Result<SignedAt, Refusal> {
    let (name, read) = if let Some(date) = request.only_value("x-amz-date")? {
        ("X-Amz-Date", SignedAt::parse_basic(date.trim_matches([' ', '\t'])))
    } else if let Some(date) = request.only_value("date")? {
        ("Date", SignedAt::parse_date(date.trim_matches([' ', '\t'])))
    } else {
        return Err(Refusal::incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
        ));
    };
    read.ok_or_else(|| {
        Refusal::incomplete(format!(
            "'{name}' must be a date of the form 'yyyyMMddTHHmmssZ', or of RFC 7231."
        ))
    })
}
