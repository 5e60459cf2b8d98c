//! Signature Version 4 as every service but S3 uses it: the path is encoded a second time, the body is always
//! hashed.
//!
//! One request goes `query` → `header_form` or `presigned_form` (a [`claim`]) → `credential` and `time` (is
//! it ours, is it now) → `key`, and once its body is there → `canonical` → comparison, all in `verify`. `sign`
//! runs the same `canonical` the other way. Nothing here knows what an operation is or what a principal may do.

mod canonical;
mod claim;
mod credential;
mod encoding;
mod header_form;
mod key;
mod limits;
mod presigned_form;
mod query;
mod refusal;
mod secret;
mod sign;
mod time;
mod verify;

#[cfg(test)]
mod tests;

pub use encoding::parse_query;
pub use key::SigningKey;
pub use limits::*;
pub use refusal::Refusal;
pub use secret::{Credentials, NoSecret, Secret};
pub use sign::{Signer, presign, sign, sign_with};
pub use verify::{Head, Verified, Verifier};

/// The only algorithm: the value of `X-Amz-Algorithm`, the scheme of `Authorization`, the first line to sign.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The last part of every credential scope.
const TERMINATOR: &str = "aws4_request";

/// The parts of a request that a signature covers, as they stood on the wire.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method, in capitals as sent.
    pub method: &'a str,
    /// The path as sent: still percent-encoded, without the query.
    pub path: &'a str,
    /// The query text as sent, without `?`; empty when absent.
    pub query: &'a str,
    /// Header names in lower case, values as sent; several of one name appear several times, in order.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body as sent.
    pub body: &'a [u8],
}

impl<'a> SignedRequest<'a> {
    /// The values of one header, in order.
    fn values<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'a str> + 'b {
        self.headers.iter().filter(move |header| header.0 == name).map(|header| header.1)
    }

    /// The value of a header that may stand at most once, because two values would let a client mean two
    /// things.
    fn only_value(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Refusal::incomplete(format!("Header '{name}' may be given only once.")));
        }
        Ok(first)
    }
}

/// What the front door demands of a scope and of time.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// The region that a credential must be scoped to.
    pub region: &'a str,
    /// The services that a credential may be scoped to, as `chime`.
    pub services: &'a [&'a str],
    /// The real time, in Unix milliseconds.
    pub now_ms: i64,
    /// How long after `X-Amz-Date` + `X-Amz-Expires` a presigned request is still admitted.
    pub late_allowance_ms: i64,
}
