//! `POST /_carillon/creds`: an application's own token in, credentials of one user out, in the shape that sample
//! applications expect.
//!
//! Pages ask with `credentials: 'include'`, so an answer names their origin exactly. Nothing is read but the
//! `Authorization` header: there is no cookie that a page could misuse.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use carillon_access::web_identity::Disbelief;
use carillon_auth::jwt::TOKEN_BYTES_MAX;
use carillon_service::error::{Error, ErrorCode};
use carillon_service::front::exchange::{Exchanged, Requester};
use carillon_service::front::request::{Answered, ClientAddress};
use carillon_service::front::retry;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::Front;
use crate::answer::json as answer;
use crate::exchange::Exchange;

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_SECONDS: &str = "86400";

/// Why there are no credentials.
enum Failure {
    /// The token is not good, or the page may not ask.
    NotAuthorized,
    /// The address has asked too often; it may come back after so many milliseconds.
    TooMany(i64),
    /// Something that is not the client's fault.
    Unavailable,
}

/// Answers a preflight.
pub(super) async fn preflight(State(front): State<Arc<Front>>, request: Request) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
    allow(&front, request.headers(), headers);
    response
}

/// Answers with credentials, or why there are none.
pub(super) async fn creds(State(front): State<Arc<Front>>, request: Request) -> Response {
    let address = request.extensions().get::<ClientAddress>().map(|address| address.0);
    let from = Requester { request_id: front.service.new_id(), address };
    let exchanged = exchange(&front, request.headers(), &from).await;
    if let Err(Failure::NotAuthorized) = &exchanged {
        front.service.exchange_refused(&from.request_id, from.address, "NotAuthorized", 401);
    }
    let code = match &exchanged {
        Ok(_) => Answered::OK,
        Err(Failure::NotAuthorized) => "NotAuthorized",
        Err(Failure::TooMany(_)) => ErrorCode::Throttled.as_str(),
        Err(Failure::Unavailable) => ErrorCode::ServiceUnavailable.as_str(),
    };
    let mut response = match exchanged {
        Ok(exchanged) => answer(StatusCode::OK, &shown(&exchanged)),
        Err(Failure::NotAuthorized) => text(StatusCode::UNAUTHORIZED, "Not Authorized"),
        Err(Failure::Unavailable) => {
            let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
            if let Some(wait_ms) = retry::wait_ms(response.status(), &front.service.new_id()) {
                retry::say(response.headers_mut(), wait_ms);
            }
            response
        }
        Err(Failure::TooMany(wait_ms)) => {
            let mut response = text(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
            retry::say(response.headers_mut(), wait_ms.unsigned_abs());
            response
        }
    };
    response.extensions_mut().insert(Answered { operation: "ExchangeCredentials", code });
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    allow(&front, request.headers(), headers);
    response
}

async fn exchange(front: &Front, headers: &HeaderMap, from: &Requester) -> Result<Exchanged, Failure> {
    let exchange = front.exchange.as_ref().ok_or(Failure::NotAuthorized)?;
    if let Some(address) = from.address {
        exchange.buckets.take(address, exchange.now_ms()).map_err(Failure::TooMany)?;
    }
    if origin(headers).is_some_and(|origin| !is_admitted(exchange, origin)) {
        return Err(Failure::NotAuthorized);
    }
    let token = bearer(headers);
    let person = exchange.recognize(token.as_deref(), &front.service.new_id()).await;
    let person = person.map_err(|disbelief| {
        tracing::info!(%disbelief, address = ?from.address, "an exchange of credentials was refused");
        match disbelief {
            Disbelief::Refused(_) => Failure::NotAuthorized,
            Disbelief::Unreachable => Failure::Unavailable,
        }
    })?;
    let (service, exchange, from) = (front.service.clone(), exchange.clone(), from.clone());
    let exchanging = async move {
        let Some(instance) = exchange.app_instance(&service).await? else { return Ok(None) };
        service.exchange(&instance, &person, exchange.role(), &from).await.map(Some)
    };
    let exchanged = front.in_flight.run(exchanging).await;
    let exchanged = exchanged.map_err(|error| match (error.code, error.retry_after_ms) {
        (ErrorCode::Throttled, Some(wait_ms)) => Failure::TooMany(wait_ms.cast_signed()),
        _ => unavailable(&error),
    })?;
    exchanged.ok_or_else(|| {
        tracing::warn!("there is not exactly one app instance: set exchange.app_instance");
        Failure::Unavailable
    })
}

fn unavailable(error: &Error) -> Failure {
    let cause = error.source.as_ref().map(ToString::to_string);
    match error.code {
        ErrorCode::ServiceFailure => tracing::error!(%error, cause, "credentials could not be exchanged"),
        // The store has said so, once.
        ErrorCode::ServiceUnavailable => tracing::debug!(%error, cause, "credentials could not be exchanged"),
        _ => tracing::warn!(%error, cause, "credentials could not be exchanged"),
    }
    Failure::Unavailable
}

fn shown(exchanged: &Exchanged) -> serde_json::Value {
    let credentials = &exchanged.credentials;
    json!({
        "ChimeAppInstanceUserArn": exchanged.user,
        "ChimeUserId": exchanged.user.id(),
        "ChimeDisplayName": exchanged.name,
        "ChimeCredentials": {
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": *credentials.secret_access_key,
            "SessionToken": credentials.session_token,
            "Expiration": credentials.expires_at.to_string(),
        },
    })
}

fn text(status: StatusCode, words: &'static str) -> Response {
    let mut response = Response::new(Body::from(words));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(header::ORIGIN)
}

fn is_admitted(exchange: &Exchange, origin: &HeaderValue) -> bool {
    origin.to_str().is_ok_and(|origin| exchange.admits(origin))
}

/// Lets a page of an admitted origin read the answer.
fn allow(front: &Front, asked: &HeaderMap, headers: &mut HeaderMap) {
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    let exchange = front.exchange.as_ref();
    let admitted = origin(asked).filter(|origin| exchange.is_some_and(|it| is_admitted(it, origin)));
    let Some(origin) = admitted else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "OPTIONS, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The token of a request: as it is, or in base64, as pages send it. A token has dots, and base64 has none.
fn bearer(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || 2 * TOKEN_BYTES_MAX < token.len() {
        return None;
    }
    if token.contains('.') {
        return Some(Cow::Borrowed(token));
    }
    let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD];
    let decoded = engines.iter().find_map(|engine| engine.decode(token).ok())?;
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(value: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())]);
        bearer(&headers).map(Cow::into_owned)
    }

    #[test]
    fn a_token_is_read_as_it_is_or_in_base64() {
        for good in [
            "Bearer a.b.c",
            "bearer  a.b.c ",
            &format!("Bearer {}", STANDARD.encode("a.b.c")),
            &format!("Bearer {}", STANDARD_NO_PAD.encode("a.b.c")),
        ] {
            assert_eq!(token(good).as_deref(), Some("a.b.c"), "{good}");
        }
        for bad in
            ["", "Bearer", "Basic a.b.c", "Bearer !", &format!("Bearer {}", "a.".repeat(TOKEN_BYTES_MAX + 1))]
        {
            assert_eq!(token(bad), None, "{bad:.20}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
