//! Who signed a request: its head says whom it claims to come from, its body proves it.

use std::cell::RefCell;

use carillon_auth::{Expectation, Head, NoSecret, Refusal, Secret, SignedRequest};
use http::request::Parts;

use crate::{Access, Caller, When};

impl Access {
    /// Checks all of a signature that the head of a request tells: region and service of its scope, time, key.
    /// `late_ms` is allowed beyond a presigned request's end.
    pub fn check_head(
        &self,
        parts: &Parts,
        (region, services): (&str, &[&str]),
        late_ms: i64,
        when: When,
    ) -> Result<Claimed, Refusal> {
        let now_ms = when.real.ms();
        let expectation = Expectation { region, services, now_ms, late_allowance_ms: late_ms };
        let found = RefCell::new(None);
        let secret = |access_key_id: &str, session_token: Option<&str>| -> Result<Secret, NoSecret> {
            let (caller, secret) = self.find(access_key_id, session_token, when.now)?;
            found.replace(Some(caller));
            Ok(secret)
        };
        let head = as_signed(parts, b"", |signed| self.verifier.check_head(signed, &expectation, &secret))?;
        let caller = found.into_inner().ok_or(Refusal::UnrecognizedClient)?;
        Ok(Claimed { head, caller })
    }
}

/// Whom the head of a request claims to come from.
pub struct Claimed {
    head: Head,
    caller: Caller,
}

impl Claimed {
    /// Who signed the request, now that its body is there.
    pub fn verify(self, parts: &Parts, body: &[u8]) -> Result<Caller, Refusal> {
        as_signed(parts, body, |signed| self.head.verify(signed))?;
        Ok(self.caller)
    }
}

/// Looks at a request as a signature covers it.
fn as_signed<T>(parts: &Parts, body: &[u8], look: impl FnOnce(&SignedRequest) -> T) -> T {
    let mut headers = Vec::with_capacity(parts.headers.len());
    for (name, value) in &parts.headers {
        // What is not text was not signed by any client; it counts as absent.
        if let Ok(value) = value.to_str() {
            headers.push((name.as_str(), value));
        }
    }
    look(&SignedRequest {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &headers,
        body,
    })
}
