//! `/connect`: from a request to a socket. The upgrade is accepted; who may not have the socket learns it from the
//! code that closes it, because a refused upgrade looks like a lost network to clients. Only whoever is to come back
//! later, as after that, is refused it.

use std::sync::Arc;

use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::Response;
use carillon_delivery::{Close, Entrance, Expiry, Opening, Shown};
use carillon_service::front::connect::{self as service, Connection};
use carillon_service::front::dispatch::Signed;
use carillon_service::front::resume;
use futures_util::{StreamExt as _, TryStreamExt as _};
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
    if verdict == Err(service::Close::TOO_MANY_WAIT) {
        return TOO_MANY_WAIT.answer(&front.service.new_id());
    }
    let is_signed = verdict.is_ok();
    let mut response = with_limits(upgrade)
        .on_failed_upgrade(|error| tracing::debug!(%error, "a socket did not come about"))
        .on_upgrade(move |socket| run(front, socket, verdict));
    if is_signed {
        response.extensions_mut().insert(Signed);
    }
    response
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

async fn run(front: Arc<Front>, socket: WebSocket, verdict: Result<Connection, service::Close>) {
    match verdict {
        Ok(connection) => {
            let frames = front.service.opening(&connection);
            let Connection { user, session_id: client, sessions_max, begins_in, frames_max, .. } = connection;
            let Connection { expires_at, resume_from, .. } = connection;
            let opening = frames.map(|frames| Opening {
                frames: frames.map_ok(shown).map_err(close).boxed(),
                resumes: resume_from.map(|id| id.to_string()),
            });
            // Of the front, a socket keeps only what it needs.
            let (hub, store) = (front.hub.clone(), front.service.store().clone());
            let expired = expires_at.map(|time| {
                let clock = front.clock.clone();
                Box::pin(async move { clock.reached(time).await }) as Expiry
            });
            drop(front);
            let entrance = Entrance { user, client, sessions_max, begins_in, frames_max };
            hub.serve(socket, store, entrance, opening, expired).await;
        }
        Err(refusal) => {
            drop(front);
            Box::pin(carillon_delivery::refuse(socket, close(refusal))).await;
        }
    }
}

/// The service says what, the delivery when.
fn shown(resume::Shown { frame, event }: resume::Shown) -> Shown {
    Shown { frame, event }
}

/// The service says why, the delivery how.
fn close(service::Close { code, reason }: service::Close) -> Close {
    Close { code, reason }
}
