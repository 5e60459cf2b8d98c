//! What is to be known of a request beside what it says: where it came from, and what became of its body.

use std::fmt;
use std::net::IpAddr;

use carillon_access::Surrounding;
use http::header;
use http::request::Parts;

use crate::error::ErrorCode;

/// The most bytes of a body. The largest request of the interface is some 20 KiB.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Where a request came from: an extension of the request that whoever takes it off a socket adds.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

/// Whether a request came over TLS, to us or to a proxy that is trusted to say so: an extension of the request, as
/// [`ClientAddress`] is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecureTransport(pub bool);

/// An extension of answers to requests whose signature was accepted, whatever became of them then.
#[derive(Debug, Clone, Copy)]
pub struct Signed;

/// What a request asked for, and how it was answered: an extension of the response, for what is measured and traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Answered {
    /// The name of the operation or the action; [`Self::NONE`] where none was found out.
    pub operation: &'static str,
    /// `OK`, or the code of the error.
    pub code: &'static str,
}

impl Answered {
    /// What stands for an operation where the request was refused before it was known, or asks for none.
    pub const NONE: &'static str = "none";
    /// The code of a success.
    pub const OK: &'static str = "OK";
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoBody {
    /// It has more bytes than it may have, which are these.
    TooLarge(usize),
    /// It did not come whole, or not in time.
    Incomplete,
    /// Too many bodies are being read.
    Overloaded,
}

impl NoBody {
    /// The status that tells it.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::TooLarge(_) => 413,
            Self::Incomplete => 408,
            Self::Overloaded => 503,
        }
    }

    /// The code that tells it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::TooLarge(_) | Self::Incomplete => "BadRequest",
            Self::Overloaded => ErrorCode::ServiceUnavailable.as_str(),
        }
    }

    pub(crate) fn exception(self) -> &'static str {
        match self {
            Self::TooLarge(_) | Self::Incomplete => "BadRequestException",
            Self::Overloaded => ErrorCode::ServiceUnavailable.exception(),
        }
    }
}

impl fmt::Display for NoBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(most) => write!(f, "The body must have at most {most} bytes"),
            Self::Incomplete => f.write_str("The body did not arrive"),
            Self::Overloaded => f.write_str("Too many bodies are being read: try again"),
        }
    }
}

/// What conditions may read of where a request came from.
pub(crate) fn surrounding(parts: &Parts) -> Surrounding {
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Surrounding {
        address: parts.extensions.get::<ClientAddress>().map(|address| address.0),
        user_agent: text(header::USER_AGENT),
        referer: text(header::REFERER),
        is_secure: parts.extensions.get::<SecureTransport>().map(|secure| secure.0),
    }
}
