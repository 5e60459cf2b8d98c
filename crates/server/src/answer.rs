//! Answers that are Carillon's own: what lives under `/_carillon/`, and what is refused before it is a request
//! of the service. Errors have the one shape of all errors.

use axum::body::Body;
use axum::response::Response;
use carillon_service::front::request::Answered;
use carillon_service::front::retry;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// A refusal: what SDKs act on, and what a person reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    /// The status.
    pub(crate) status: StatusCode,
    /// The exception.
    pub(crate) exception: &'static str,
    /// The code.
    pub(crate) code: &'static str,
    /// What a person reads.
    pub(crate) message: &'static str,
}

impl Refusal {
    /// The refusal, as the answer to the request with this id.
    pub(crate) fn answer(self, request_id: &str) -> Response {
        let body = serde_json::json!({ "Code": self.code, "Message": self.message });
        let mut response = json(self.status, &body);
        let headers = response.headers_mut();
        headers.insert(ERROR_TYPE, HeaderValue::from_static(self.exception));
        headers.insert(REQUEST_ID, HeaderValue::from_str(request_id).expect("an id is plain text"));
        if let Some(wait_ms) = retry::wait_ms(self.status, request_id) {
            retry::say(headers, wait_ms);
        }
        response.extensions_mut().insert(Answered { operation: Answered::NONE, code: self.code });
        response
    }
}

/// An answer of JSON.
pub fn json(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The same answer, as the last on its connection.
pub(crate) fn last(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The answer where somebody would stay, and there is no place for them.
pub(crate) fn full() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
