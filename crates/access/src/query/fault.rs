//! What is wrong with a request of the Query protocol, by the codes that clients act on.

use std::borrow::Cow;

use carillon_auth::Refusal;
use carillon_store::Error as StoreError;

use crate::gate::Denied;

/// The code of a refusal by policy.
const DENIED: &str = "AccessDenied";

/// A result of an action.
pub type Result<T> = std::result::Result<T, Fault>;

/// An error of the protocol.
#[derive(Debug)]
pub struct Fault {
    /// The status.
    pub status: u16,
    /// What clients act on.
    pub code: &'static str,
    /// What a person reads.
    pub message: Cow<'static, str>,
    /// What caused it, for the log.
    pub source: Option<StoreError>,
    /// After how many milliseconds it may be tried again, where that is known.
    pub retry_after_ms: Option<u64>,
}

impl Fault {
    /// An error of the protocol.
    pub fn new(status: u16, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), source: None, retry_after_ms: None }
    }

    /// A parameter is missing or illegal.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "ValidationError", message)
    }

    /// A parameter is legal and makes no sense.
    pub fn input(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "InvalidInput", message)
    }

    /// A document is not a policy.
    pub fn malformed_policy(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "MalformedPolicyDocument", message)
    }

    /// Policy denies.
    pub fn denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(403, DENIED, message)
    }

    /// There is no such thing.
    pub fn missing(what: &str, name: &str) -> Self {
        Self::new(404, "NoSuchEntity", format!("The {what} {name} cannot be found"))
    }

    /// There is one already.
    pub fn exists(what: &str, name: &str) -> Self {
        Self::new(409, "EntityAlreadyExists", format!("The {what} {name} exists already"))
    }

    /// Something hangs on it.
    pub fn in_use(message: &'static str) -> Self {
        Self::new(409, "DeleteConflict", message)
    }

    /// A quota is full.
    pub fn limit(what: &str, most: i64) -> Self {
        Self::new(409, "LimitExceeded", format!("The quota is full: {what}, {most}"))
    }

    /// Whether policy denies.
    pub fn is_denial(&self) -> bool {
        self.code == DENIED
    }

    /// Whose fault it is.
    pub fn kind(&self) -> &'static str {
        if self.status < 500 { "Sender" } else { "Receiver" }
    }
}

impl From<StoreError> for Fault {
    fn from(source: StoreError) -> Self {
        let fault = match source {
            StoreError::Busy | StoreError::Retry => {
                Self::new(503, "ServiceUnavailable", "The service has too much to do at once. Try again.")
            }
            StoreError::Unreachable(_) => {
                Self::new(503, "ServiceUnavailable", "The service cannot reach its store. Try again.")
            }
            StoreError::Newer(_) | StoreError::Broken(_) => Self::new(
                500,
                "ServiceFailure",
                "The service failed. The request id leads to the reason in its log.",
            ),
        };
        Self { source: Some(source), ..fault }
    }
}

impl From<Denied> for Fault {
    fn from(denied: Denied) -> Self {
        Self::denied(denied.0)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::MissingAuthenticationToken => (403, "MissingAuthenticationToken"),
            Refusal::IncompleteSignature(_) => (400, "IncompleteSignature"),
            Refusal::InvalidSignature(_) | Refusal::Untimely(_) => (403, "SignatureDoesNotMatch"),
            Refusal::UnrecognizedClient => (403, "InvalidClientTokenId"),
            Refusal::ExpiredToken => (403, "ExpiredToken"),
        };
        Self::new(status, code, refusal.to_string())
    }
}
