//! `/connect`: from a request to a socket. The upgrade is accepted; who may not have the socket learns it from the
//! code that closes it, because a refused upgrade looks like a lost network to clients. Only whoever is to come back
//! later, as after that, is refused it.

use std::sync::Arc;

use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::Response;
use carillon_delivery::{Expiry, Opening};
use carillon_model::session::Close;
use carillon_service::error::ErrorCode;
use carillon_service::front::connect::Connection;
use carillon_service::front::request::{Answered, Signed};
use futures_util::{FutureExt as _, StreamExt};
use http::{HeaderValue, StatusCode, header};

use super::Front;
use crate::answer::Refusal;

/// What a socket reads at once. Clients send nothing but small frames, and every socket has this always: the
/// default costs 128 KiB.
const READ_BUFFER_BYTES: usize = 256;
/// What a socket may have waiting to be written: above the largest frame, `CHANNEL_DETAILS` with twenty messages
/// of control characters only, each of which takes seven bytes.
const WRITE_BUFFER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The largest message that is taken from a client, to be ignored.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// As what it is measured that somebody opens a socket.
const CONNECT: &str = "Connect";

const NO_UPGRADE: Refusal = Refusal {
    status: StatusCode::UPGRADE_REQUIRED,
    exception: "BadRequestException",
    code: "BadRequest",
    message: "This path opens WebSockets only",
};

const TOO_MANY_WAIT: Refusal = Refusal {
    status: StatusCode::TOO_MANY_REQUESTS,
    exception: "ThrottledClientException",
    code: "Throttled",
    message: "Too many connections of this user wait for their turn",
};

/// Opens a socket for whoever may have one.
pub(super) async fn open(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        let mut response = NO_UPGRADE.answer(&front.service.new_id());
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    };
    // Decided before the upgrade, so that the request does not live as long as the socket.
    let service = front.service.clone();
    let verdict = front.in_flight.run(async move { service.connect(&parts).await }).await;
    if verdict == Err(Close::TOO_MANY_WAIT) {
        let mut response = TOO_MANY_WAIT.answer(&front.service.new_id());
        let code = TOO_MANY_WAIT.code;
        response.extensions_mut().insert(Answered { operation: CONNECT, code });
        return response;
    }
    let is_signed = verdict.is_ok();
    let answered =
        Answered { operation: CONNECT, code: verdict.as_ref().map_or_else(code, |_| Answered::OK) };
    let mut response = with_limits(upgrade)
        .on_failed_upgrade(|error| tracing::debug!(%error, "a socket did not come about"))
        .on_upgrade(move |socket| run(front, socket, verdict));
    if is_signed {
        response.extensions_mut().insert(Signed);
    }
    response.extensions_mut().insert(answered);
    response
}

/// As what it is measured that somebody may not have a socket.
fn code(close: &Close) -> &'static str {
    match close.code {
        Close::TRY_LATER => ErrorCode::Throttled.as_str(),
        1011 => ErrorCode::ServiceFailure.as_str(),
        4003 => ErrorCode::Forbidden.as_str(),
        _ => ErrorCode::Unauthorized.as_str(),
    }
}

/// An upgrade to a socket that holds little memory.
pub fn with_limits(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
}

async fn run(front: Arc<Front>, socket: WebSocket, verdict: Result<Connection, Close>) {
    match verdict {
        Ok(connection) => {
            let opening = Opening {
                seated: front.service.clone().seated(connection.entrance.user).boxed(),
                frames: front.service.opening(&connection).map(StreamExt::boxed),
                resumes: connection.resume_from.map(|id| id.to_string()),
            };
            let expired = connection.expires_at.map(|time| {
                let clock = front.clock.clone();
                Box::pin(async move { clock.reached(time).await }) as Expiry
            });
            // Of the front, a socket keeps only what it needs.
            let hub = front.hub.clone();
            drop(front);
            hub.serve(socket, connection.entrance, opening, expired).await;
        }
        Err(refusal) => {
            drop(front);
            Box::pin(carillon_delivery::refuse(socket, refusal)).await;
        }
    }
}
