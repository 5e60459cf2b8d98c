//! A call over HTTP whose answer is read: in bounds of time and length, and where it is a refusal, for what it says.

use std::time::Duration;

use carillon_model::channel_flow::{Failure, Reason};
use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;

/// The most bytes of an answer that are read: what is longer is nothing that anybody whom we call has to say.
pub(crate) const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// The most characters of what was said of a refusal that are kept, for the operator.
const MESSAGE_LENGTH_MAX: usize = 500;

/// What was answered to a call that was taken.
#[derive(Debug)]
pub struct Answer {
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What to think of it.
    pub failure: Failure,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// What the failure is called, such as `ThrottlingException`; empty where it has no name.
    pub code: String,
    /// What was said of it, cut to a length that a log can take.
    pub message: String,
    /// After how long it may be tried again, where the answer says so.
    pub retry_after: Option<Duration>,
}

/// Sends a request, and reads the answer.
pub(crate) async fn send(request: RequestBuilder, timeout: Duration) -> Result<Answer, Refusal> {
    let unreachable = |error: reqwest::Error| {
        let reason = if error.is_timeout() { Reason::TimedOut } else { Reason::NotReachable };
        Refusal { message: cut(&chain(&error.without_url())), ..Refusal::transient(reason) }
    };
    let mut response = request.timeout(timeout).send().await.map_err(unreachable)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if ANSWER_BYTES_MAX < body.len() + chunk.len() {
            return Err(Refusal::nonsense(&format!("the answer has more than {ANSWER_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    let (status, headers) = (response.status(), response.headers().clone());
    if status.is_success() {
        return Ok(Answer { headers, body });
    }
    Err(Refusal::read(status.as_u16(), &headers, &body))
}

impl Refusal {
    pub(crate) fn transient(reason: Reason) -> Self {
        let failure = Failure { reason, permanent: false };
        Self { failure, status: None, code: String::new(), message: String::new(), retry_after: None }
    }

    /// The call could not even be signed: there are no credentials, or no region.
    pub(crate) fn unprepared(message: &str) -> Self {
        let failure = Failure { reason: Reason::NotPermitted, permanent: true };
        Self { failure, message: cut(message), ..Self::transient(Reason::NotPermitted) }
    }

    /// What was answered is nothing that can be understood.
    pub(crate) fn nonsense(message: &str) -> Self {
        Self { message: cut(message), ..Self::transient(Reason::Refused) }
    }

    /// Reads what a service says of its refusal, in any of the ways in which those that we call do.
    pub(crate) fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        let code =
            header.map(str::to_owned).or_else(|| text(&body["__type"])).or_else(|| text(&body["code"]));
        let code = code.or_else(|| text(&body["error"]["code"])).unwrap_or_default();
        // "namespace#Code:url" in its longest form.
        let code = code.split(':').next().unwrap_or_default().rsplit('#').next().unwrap_or_default();
        let message = text(&body["message"]).or_else(|| text(&body["Message"]));
        let message = message.or_else(|| text(&body["error"]["message"])).unwrap_or_default();
        let failure = failure(status, code);
        let (code, message) = (cut(code), cut(&message));
        Self { failure, status: Some(status), code, message, retry_after: retry_after(headers) }
    }
}

/// What the headers say of when to try again: milliseconds, as AWS says it, or seconds. A date, which the standard
/// allows as well, is nothing that a throttled call is answered with.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let milliseconds = number("x-amz-retry-after").map(Duration::from_millis);
    milliseconds.or_else(|| number("retry-after").map(Duration::from_secs))
}

/// What to think of a refusal. The code says more than the status: older services answer 400 to everything.
fn failure(status: u16, code: &str) -> Failure {
    let (reason, permanent) = match (code, status) {
        (code, _) if is_of_expired_credentials(code) => (Reason::NotPermitted, false),
        ("ResourceNotFoundException" | "NotFoundException", _) => (Reason::NotFound, true),
        (
            "TooManyRequestsException"
            | "ThrottlingException"
            | "Throttling"
            | "ProvisionedThroughputExceededException"
            | "LimitExceededException",
            _,
        )
        | (_, 429) => (Reason::Throttled, false),
        (
            "AccessDeniedException"
            | "AccessDenied"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "IncompleteSignatureException"
            | "MissingAuthenticationTokenException",
            _,
        )
        | (_, 401 | 403) => (Reason::NotPermitted, true),
        (_, 404 | 410) => (Reason::NotFound, true),
        (_, 408) => (Reason::TimedOut, false),
        (_, 300..500) => (Reason::Refused, true),
        _ => (Reason::Refused, false),
    };
    Failure { reason, permanent }
}

pub(crate) fn is_of_expired_credentials(code: &str) -> bool {
    matches!(code, "ExpiredTokenException" | "ExpiredToken")
}

/// An error with what caused it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn cut(text: &str) -> String {
    text.chars().take(MESSAGE_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn when_to_try_again_is_read_as_milliseconds_or_as_seconds() {
        let read = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| {
                (reqwest::header::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            Refusal::read(429, &headers.collect(), b"").retry_after
        };
        assert_eq!(read(&[("retry-after", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(
            read(&[("retry-after", "2"), ("x-amz-retry-after", "90")]),
            Some(Duration::from_millis(90))
        );
        assert_eq!(read(&[("retry-after", "Sun, 29 Nov 2026 07:00:00 GMT")]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn a_refusal_is_read_in_any_way_and_says_whether_it_may_pass() {
        let read = |status, errortype: Option<&'static str>, body: &str| {
            let mut headers = HeaderMap::new();
            if let Some(errortype) = errortype {
                headers.insert("x-amzn-errortype", HeaderValue::from_static(errortype));
            }
            Refusal::read(status, &headers, body.as_bytes())
        };
        let url = "ThrottlingException:http://internal.amazon.com/coral/";
        let rest = read(429, Some(url), r#"{"message":"slower"}"#);
        assert_eq!((rest.code.as_str(), rest.message.as_str()), ("ThrottlingException", "slower"));
        let json =
            read(400, None, r#"{"__type":"com.amazonaws.kinesis#ResourceNotFoundException","Message":"no"}"#);
        assert_eq!((json.code.as_str(), json.message.as_str()), ("ResourceNotFoundException", "no"));
        assert_eq!(json.failure, Failure { reason: Reason::NotFound, permanent: true });
        let chat = read(401, None, r#"{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}"#);
        assert_eq!((chat.code.as_str(), chat.message.as_str()), ("invalid_api_key", "Incorrect API key"));
        for (status, code, reason, permanent) in [
            (400, "ProvisionedThroughputExceededException", Reason::Throttled, false),
            (400, "UnrecognizedClientException", Reason::NotPermitted, true),
            (403, "", Reason::NotPermitted, true),
            (404, "", Reason::NotFound, true),
            (400, "ValidationException", Reason::Refused, true),
            (302, "", Reason::Refused, true),
            (429, "", Reason::Throttled, false),
            (500, "", Reason::Refused, false),
        ] {
            assert_eq!(failure(status, code), Failure { reason, permanent }, "{status} {code}");
        }
        assert_eq!(
            read(502, None, "<html>"),
            Refusal { status: Some(502), ..Refusal::transient(Reason::Refused) }
        );
    }
}
