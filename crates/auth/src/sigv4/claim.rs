//! What a request says about its own signature, whichever of the two forms it says it in.
//!
//! A claim is well-formed and nothing more: its time, its scope and its signature are still to be checked.

use std::borrow::Cow;

use super::limits::SIGNED_HEADERS_MAX;
use super::query::{Query, SIGNATURE};
use super::time::{Life, SignedAt};
use super::{ALGORITHM, Refusal, SignedRequest, header_form, presigned_form};

/// A signature and what it claims to cover.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    pub(super) credential: Cow<'a, str>,
    /// Lower case, ascending, each once, `host` among them.
    pub(super) signed_headers: Cow<'a, str>,
    pub(super) signature: [u8; 32],
    pub(super) session_token: Option<Cow<'a, str>>,
    pub(super) signed_at: SignedAt,
    pub(super) life: Life,
}

impl<'a> Claim<'a> {
    pub(super) fn read(request: &SignedRequest<'a>, query: &Query) -> Result<Self, Refusal> {
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
        check_signed_headers(&claim.signed_headers)?;
        Ok(claim)
    }

    pub(super) fn is_presigned(&self) -> bool {
        matches!(self.life, Life::Expires(_))
    }
}

fn check_signed_headers(names: &str) -> Result<(), Refusal> {
    let (mut previous, mut host) = ("", false);
    for (index, name) in names.split(';').enumerate() {
        if index == SIGNED_HEADERS_MAX {
            return Err(Refusal::incomplete(format!("At most {SIGNED_HEADERS_MAX} headers may be signed.")));
        }
        // Clients sort the names; requiring it means that none can be covered twice or in two orders.
        if name <= previous || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(Refusal::incomplete(
                "SignedHeaders must be in lower case, in order, each name once.",
            ));
        }
        host |= name == "host";
        previous = name;
    }
    if !host {
        return Err(Refusal::incomplete("'Host' must be a 'SignedHeader'."));
    }
    Ok(())
}

/// The 64 digits of a signature.
pub(super) fn parse_signature(text: &str) -> Result<[u8; 32], Refusal> {
    super::encoding::unhex(text)
        .ok_or_else(|| Refusal::incomplete("A signature is 64 hexadecimal digits in lower case."))
}
