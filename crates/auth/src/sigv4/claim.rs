//! What a request says about its own signature, whichever of the two forms it says it in.
//!
//! A claim is well-formed and nothing more: its time, its scope and its signature are still to be checked.

use std::borrow::Cow;

use super::Refusal;
use super::limits::SIGNED_HEADERS_MAX;
use super::time::{Life, SignedAt};

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

impl Claim<'_> {
    pub(super) fn is_presigned(&self) -> bool {
        matches!(self.life, Life::Expires(_))
    }

    /// Refuses headers that are not in order, or without the host.
    pub(super) fn check_signed_headers(&self) -> Result<(), Refusal> {
        let (mut previous, mut host) = ("", false);
        for (index, name) in self.signed_headers.split(';').enumerate() {
            if index == SIGNED_HEADERS_MAX {
                return Err(Refusal::incomplete(format!(
                    "At most {SIGNED_HEADERS_MAX} headers may be signed."
                )));
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
}

/// The 64 digits of a signature.
pub(super) fn parse_signature(text: &str) -> Result<[u8; 32], Refusal> {
    super::encoding::unhex(text)
        .ok_or_else(|| Refusal::incomplete("A signature is 64 hexadecimal digits in lower case."))
}
