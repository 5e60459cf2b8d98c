//! The presigned form: the signature and all about it stand in `X-Amz-…` parameters of the query.
//!
//! It reads the claim out of the query and judges nothing but the range of `X-Amz-Expires`.

use std::borrow::Cow;

use super::claim::{Claim, parse_signature};
use super::limits::EXPIRES_S_MAX;
use super::query::{Query, SIGNATURE};
use super::time::{Life, SignedAt};
use super::{ALGORITHM, Refusal};

/// Its presence tells a presigned request.
pub(super) const ALGORITHM_PARAMETER: &str = "X-Amz-Algorithm";

pub(super) fn read<'a>(query: &Query) -> Result<Claim<'a>, Refusal> {
    let required = |name: &str| -> Result<String, Refusal> {
        query.find(name)?.ok_or_else(|| {
            Refusal::incomplete(format!("A presigned request requires '{name}' in its query."))
        })
    };
    if required(ALGORITHM_PARAMETER)? != ALGORITHM {
        return Err(Refusal::incomplete(format!("'{ALGORITHM_PARAMETER}' must be '{ALGORITHM}'.")));
    }
    let signed_at = SignedAt::parse_basic(&required("X-Amz-Date")?)
        .ok_or_else(|| Refusal::incomplete("'X-Amz-Date' must be a date of the form 'yyyyMMddTHHmmssZ'."))?;
    Ok(Claim {
        credential: Cow::Owned(required("X-Amz-Credential")?),
        signed_headers: Cow::Owned(required("X-Amz-SignedHeaders")?),
        signature: parse_signature(&required(SIGNATURE)?)?,
        session_token: query.find("X-Amz-Security-Token")?.map(Cow::Owned),
        signed_at,
        life: Life::Expires(expires_ms(&required("X-Amz-Expires")?)?),
    })
}

fn expires_ms(text: &str) -> Result<i64, Refusal> {
    match text.parse::<u32>() {
        Ok(seconds @ 1..=EXPIRES_S_MAX) if !text.starts_with('+') => Ok(i64::from(seconds) * 1000),
        _ => Err(Refusal::incomplete(format!("'X-Amz-Expires' must be from 1 to {EXPIRES_S_MAX} seconds."))),
    }
}
