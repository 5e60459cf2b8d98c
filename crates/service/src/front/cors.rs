//! What a browser must be told so that a page of another origin may call: on every answer, errors too, because
//! without it the page sees only "network error".

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// The headers that the SDKs send, where a preflight does not name its own.
const ALLOWED_HEADERS: &str = "authorization, content-type, x-amz-date, x-amz-security-token, \
    x-amz-content-sha256, x-amz-user-agent, x-amz-chime-bearer, amz-sdk-invocation-id, amz-sdk-request";
/// The headers that the SDKs read: the exception's class, request ids, the clock, when to come back.
const EXPOSED_HEADERS: &str = "x-amzn-ErrorType, x-amzn-RequestId, x-amzn-request-id, x-amz-request-id, \
    x-amz-id-2, x-amz-cf-id, x-amzn-trace-id, Date, Retry-After, x-amz-retry-after";

/// Answers a preflight, which carries no signature. `*` would not cover `Authorization`, so the headers that
/// it asks for are allowed by name.
pub(crate) fn preflight(request: &HeaderMap) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let asked = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        asked.unwrap_or(HeaderValue::from_static(ALLOWED_HEADERS)),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS"),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    allow(headers);
    response
}

/// Lets any page read an answer: the signature is the authority, and no cookie is ever sent.
pub(crate) fn allow(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
}
