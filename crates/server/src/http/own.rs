//! What Carillon adds of its own, under `/_carillon/`: health, metrics, and the clock of tests.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use carillon_service::Clock as _;
use carillon_service::front::request::ClientAddress;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::json;

use super::body::Unread;
use super::{Front, local};
use crate::answer::{Refusal, json as answer};
use crate::{clock, metrics};

/// How long the store may take to answer before the server counts as not ready.
const READY_TIMEOUT: Duration = Duration::from_secs(2);
/// The furthest that the clock may be moved at once: a hundred years.
const ADVANCE_SECONDS_MAX: f64 = 100.0 * 366.0 * 86_400.0;

/// The most bytes of a step of the clock.
const STEP_BYTES_MAX: usize = 1024;

pub(super) const MISSING: Refusal = Refusal {
    status: StatusCode::NOT_FOUND,
    exception: "UnknownOperationException",
    code: "UnknownOperationException",
    message: "There is nothing here",
};
const NOT_A_STEP: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    exception: "BadRequestException",
    code: "BadRequest",
    message: "The body must be {\"advance_seconds\": N}, with N from 0 to a hundred years",
};
pub(super) const NOT_JSON: Refusal = Refusal {
    status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
    exception: "BadRequestException",
    code: "BadRequest",
    message: "The content type must be application/json",
};
const NOT_FOR_STRANGERS: Refusal = Refusal {
    status: StatusCode::FORBIDDEN,
    exception: "ForbiddenException",
    code: "Forbidden",
    message: "Metrics are for this machine, unless [metrics] of the configuration has a listener or a token for them",
};
const NO_TOKEN: Refusal = Refusal {
    status: StatusCode::UNAUTHORIZED,
    exception: "UnauthorizedClientException",
    code: "UnauthorizedClient",
    message: "Whoever asks for metrics must bear the token of [metrics]",
};
const NO_WEB_PUSH: Refusal = Refusal {
    status: StatusCode::NOT_FOUND,
    exception: "NotFoundException",
    code: "NotFound",
    message: "resource-arn: names no push application with web_push in the configuration",
};
const NOT_MEASURED: Refusal = Refusal {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    exception: "ServiceFailureException",
    code: "ServiceFailure",
    message: "What is measured could not be written",
};
const NOT_MOVED: Refusal = Refusal {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    exception: "ServiceFailureException",
    code: "ServiceFailure",
    message: "The clock could not be moved, or what became due could not be run",
};

/// The process is alive.
pub(super) async fn live() -> Response {
    answer(StatusCode::OK, &json!({ "status": "live" }))
}

/// Whether the server is to be sent requests and sockets; where not, for which reasons. A new reason is a line here.
pub(super) async fn ready(State(front): State<Arc<Front>>) -> Response {
    let checks = [
        ("store", store_answers(&front).await),
        ("bus", front.hub.is_reachable()),
        ("draining", !front.stopping.load(Ordering::Relaxed)),
    ];
    let reasons: Vec<&str> = checks.iter().filter(|(_, is_well)| !is_well).map(|(name, _)| *name).collect();
    if reasons.is_empty() {
        return answer(StatusCode::OK, &json!({ "status": "ready" }));
    }
    answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "unready", "reasons": reasons }))
}

async fn store_answers(front: &Front) -> bool {
    let read = front.service.store().read(clock::find_ahead_ms);
    matches!(tokio::time::timeout(READY_TIMEOUT, read).await, Ok(Ok(_)))
}

/// What is measured, for whoever may see it: who bears the token, or is on this machine. Where there is a listener for
/// it, it is not here.
pub(super) async fn metrics(State(front): State<Arc<Front>>, request: Request) -> Response {
    if front.measuring.listen.is_some() {
        return MISSING.answer(&front.service.new_id());
    }
    let address = request.extensions().get::<ClientAddress>().map(|address| address.0);
    let is_here = address.is_some_and(|address| address.to_canonical().is_loopback())
        && local::is_unforwarded(request.headers());
    if front.measuring.token.is_none() && !is_here {
        return NOT_FOR_STRANGERS.answer(&front.service.new_id());
    }
    metrics_apart(State(front), request).await
}

/// What is measured, for whoever reaches a listener that has nothing else, and bears the token where there is one.
pub(super) async fn metrics_apart(State(front): State<Arc<Front>>, request: Request) -> Response {
    if let Some(token) = &front.measuring.token
        && !bears(request.headers(), token)
    {
        let mut response = NO_TOKEN.answer(&front.service.new_id());
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    let Ok(text) = front.metrics.text() else { return NOT_MEASURED.answer(&front.service.new_id()) };
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    response
}

/// The public key that browsers subscribe with, of the push application that a page names. It is no secret, so a page
/// of any origin may read it.
pub(super) async fn web_push_key(State(front): State<Arc<Front>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let named = query.split('&').find_map(|part| part.strip_prefix("resource-arn="));
    let named = percent_decode_str(named.unwrap_or_default()).decode_utf8_lossy();
    let mut response = match front.push.web_push_key(&named) {
        Some(key) => answer(StatusCode::OK, &json!({ "PublicKey": key })),
        None => NO_WEB_PUSH.answer(&front.service.new_id()),
    };
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn bears(headers: &HeaderMap, token: &str) -> bool {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let borne = value
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    borne.is_some_and(|(_, borne)| verify_slices_are_equal(borne.trim().as_bytes(), token.as_bytes()).is_ok())
}

/// What proves a name to a certificate authority (RFC 8555, 8.3).
pub(super) async fn proof(State(front): State<Arc<Front>>, Path(token): Path<String>) -> Response {
    let Some(answer) = front.proofs.as_ref().and_then(|proofs| proofs.answer(&token)) else {
        return MISSING.answer(&front.service.new_id());
    };
    let mut response = Response::new(Body::from(answer));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Nothing else.
pub(super) async fn missing(State(front): State<Arc<Front>>) -> Response {
    MISSING.answer(&front.service.new_id())
}

/// Moves the service's clock forward, and runs what became due.
pub(super) async fn advance(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        return NOT_JSON.answer(&front.service.new_id());
    }
    let mut unread = Unread::new(&parts.headers, body);
    let body = unread.read(&front.intake, STEP_BYTES_MAX).await.unwrap_or_default();
    let Some(step_ms) = Step::parse(&body) else {
        return NOT_A_STEP.answer(&front.service.new_id());
    };
    let _moving = front.moving.lock().await;
    if let Err(error) = front.clock.advance(front.service.store(), step_ms).await {
        tracing::error!(%error, "the clock could not be moved");
        return NOT_MOVED.answer(&front.service.new_id());
    }
    let now = front.clock.now();
    if let Err(error) = front.jobs.run_due().await {
        tracing::error!(%error, "what became due could not be run");
        return NOT_MOVED.answer(&front.service.new_id());
    }
    answer(StatusCode::OK, &json!({ "now": now.to_string(), "epoch_seconds": now }))
}

/// Whether a body says that it is JSON. A page cannot say so to another's server without asking first.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// How far to move.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    advance_seconds: f64,
}

impl Step {
    /// Reads a step, in milliseconds.
    #[expect(clippy::cast_possible_truncation, reason = "a hundred years have 42 bits of milliseconds")]
    fn parse(body: &[u8]) -> Option<i64> {
        let Self { advance_seconds } = serde_json::from_slice(body).ok()?;
        let legal = (0.0..=ADVANCE_SECONDS_MAX).contains(&advance_seconds);
        legal.then(|| (advance_seconds * 1000.0).round() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_goes_forward_and_not_too_far() {
        assert_eq!(Step::parse(br#"{"advance_seconds": 86400}"#), Some(86_400_000));
        assert_eq!(Step::parse(br#"{"advance_seconds": 0.25}"#), Some(250));
        for wrong in [
            r#"{"advance_seconds": -1}"#,
            r#"{"advance_seconds": 1e300}"#,
            r#"{"advance_seconds": "1"}"#,
            r#"{"advance_seconds": 1, "back": true}"#,
            "{}",
            "",
        ] {
            assert_eq!(Step::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
