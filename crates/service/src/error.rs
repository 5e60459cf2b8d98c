//! The one error that reaches the wire.

use std::borrow::Cow;
use std::fmt;

/// A result of the service.
pub type Result<T> = std::result::Result<T, Error>;

/// The exceptions of the two interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// `AccessDenied`: the policies of the credentials do not let them.
    AccessDenied,
    /// `BadRequest`: the request breaks a constraint.
    BadRequest,
    /// `Conflict`: it is there already, or it changed meanwhile.
    Conflict,
    /// `Forbidden`: the role of who acts does not let them, or the resource is missing or invisible.
    Forbidden,
    /// `NotFound`: the child of something visible is absent.
    NotFound,
    /// `ResourceLimitExceeded`: a quota is full.
    ResourceLimitExceeded,
    /// `ServiceFailure`: our fault.
    ServiceFailure,
    /// `ServiceUnavailable`: too much at once, or shutting down.
    ServiceUnavailable,
    /// `Throttled`: a rate is exceeded.
    Throttled,
    /// `Unauthorized`: no usable bearer.
    Unauthorized,
}

impl ErrorCode {
    /// What every operation may answer, by the model. Beside them, as with every service of AWS, stands
    /// [`Self::AccessDenied`], which no model declares.
    pub const EVERYONES: [Self; 5] = [
        Self::Forbidden,
        Self::ServiceFailure,
        Self::ServiceUnavailable,
        Self::Throttled,
        Self::Unauthorized,
    ];

    /// The code in the body. That of a refusal by policy is the exception: SDKs that read the code here know it by no
    /// other name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => self.exception(),
            Self::BadRequest => "BadRequest",
            Self::Conflict => "Conflict",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::ResourceLimitExceeded => "ResourceLimitExceeded",
            Self::ServiceFailure => "ServiceFailure",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Throttled => "Throttled",
            Self::Unauthorized => "Unauthorized",
        }
    }

    /// The exception in the header.
    pub fn exception(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::BadRequest => "BadRequestException",
            Self::Conflict => "ConflictException",
            Self::Forbidden => "ForbiddenException",
            Self::NotFound => "NotFoundException",
            Self::ResourceLimitExceeded => "ResourceLimitExceededException",
            Self::ServiceFailure => "ServiceFailureException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
            Self::Throttled => "ThrottledClientException",
            Self::Unauthorized => "UnauthorizedClientException",
        }
    }

    /// The status.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::ResourceLimitExceeded => 400,
            Self::Unauthorized => 401,
            Self::AccessDenied | Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Throttled => 429,
            Self::ServiceFailure => 500,
            Self::ServiceUnavailable => 503,
        }
    }
}

/// What refuses a caller. The message says it in words: a sentence of each of these forms, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedBy {
    /// A policy, or that none allows it: the action and the resource.
    Policy,
    /// The role that the bearer has in the chat: the operation, and whom it is for.
    Role,
    /// A quota, by its name, which is full.
    Quota(&'static str),
    /// A rate, which is exhausted.
    Rate,
    /// What it is about: it is not there, or not as it would have to be.
    State,
}

/// An error of the service. The message is for the client, the source for the log only.
#[derive(Debug)]
pub struct Error {
    /// What the client acts on.
    pub code: ErrorCode,
    /// What a person reads: the member and the rule it broke, or the gate that refused.
    pub message: Cow<'static, str>,
    /// What caused it.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// After how many milliseconds it may be tried again, where that is known.
    pub retry_after_ms: Option<u64>,
    /// What refuses the caller, where something does.
    pub refused_by: Option<RefusedBy>,
}

impl Error {
    /// `AccessDenied`.
    pub fn access_denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::AccessDenied, message).by(RefusedBy::Policy)
    }

    /// `Forbidden`, because the bearer's role does not allow the operation: `why` says whom it is for.
    pub fn not_admitted(operation: &str, why: impl fmt::Display) -> Self {
        let message = format!("The role of the bearer does not allow chime:{operation} here: {why}");
        Self::new(ErrorCode::Forbidden, message).by(RefusedBy::Role)
    }

    fn by(self, refused_by: RefusedBy) -> Self {
        Self { refused_by: Some(refused_by), ..self }
    }

    /// An error with a message for the client.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), source: None, retry_after_ms: None, refused_by: None }
    }

    /// `BadRequest`.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// `Conflict`.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Conflict, message)
    }

    /// `Forbidden`, because of what it is about, which `message` names.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Forbidden, message).by(RefusedBy::State)
    }

    /// `NotFound`.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// `ResourceLimitExceeded`, of the quota named.
    pub fn limit_exceeded(quota: &'static str, limit: i64) -> Self {
        Self::new(ErrorCode::ResourceLimitExceeded, format!("The quota is full: {quota}, {limit}"))
            .by(RefusedBy::Quota(quota))
    }

    /// `Throttled`, by the rate named, for so many milliseconds.
    pub fn throttled(message: impl Into<Cow<'static, str>>, wait_ms: u64) -> Self {
        Self { retry_after_ms: Some(wait_ms), ..Self::new(ErrorCode::Throttled, message) }.by(RefusedBy::Rate)
    }

    /// `Unauthorized`, of the bearer.
    pub fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Unauthorized, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

impl From<carillon_access::Denied> for Error {
    fn from(denied: carillon_access::Denied) -> Self {
        Self::access_denied(denied.0)
    }
}

impl From<carillon_store::Error> for Error {
    fn from(source: carillon_store::Error) -> Self {
        let (code, message) = match source {
            carillon_store::Error::Busy | carillon_store::Error::Retry => {
                (ErrorCode::ServiceUnavailable, "The service has too much to do at once. Try again.")
            }
            carillon_store::Error::Unreachable(_) => {
                (ErrorCode::ServiceUnavailable, "The service cannot reach its store. Try again.")
            }
            carillon_store::Error::Newer(_) | carillon_store::Error::Broken(_) => (
                ErrorCode::ServiceFailure,
                "The service failed. The request id leads to the reason in its log.",
            ),
        };
        Self { source: Some(Box::new(source)), ..Self::new(code, message) }
    }
}
