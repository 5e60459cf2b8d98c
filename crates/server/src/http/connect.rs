//! `/connect`: from a request to a socket. The upgrade is always accepted; who may not have the socket learns
//! it from the code that closes it, because a refused upgrade looks like a lost network to clients.

use std::sync::Arc;

use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::Response;
use carillon_delivery::Expiry;
use carillon_service::connect::{Close, Connection};
use http::{HeaderValue, StatusCode, header};

use super::Front;
use crate::answer::Refusal;

/// What a socket reads at once. Clients send nothing but small frames; the default costs 128 KiB a socket.
const READ_BUFFER_BYTES: usize = 2_048;
/// What a socket may have waiting to be written: several times the largest event.
const WRITE_BUFFER_BYTES_MAX: usize = 1024 * 1024;
/// The largest message that is taken from a client, to be ignored.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

const NO_UPGRADE: Refusal = Refusal {
    status: StatusCode::UPGRADE_REQUIRED,
    exception: "BadRequestException",
    code: "BadRequest",
    message: "This path opens WebSockets only",
};

/// Opens a socket for whoever may have one.
pub(super) async fn open(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        let mut response = NO_UPGRADE.answer(&front.service.new_id());
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    };
    super::note_client(&mut parts);
    // Decided before the upgrade, so that the request does not live as long as the socket.
    let verdict = front.service.connect(&parts).await;
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_failed_upgrade(|error| tracing::debug!(%error, "a socket did not come about"))
        .on_upgrade(move |socket| run(front, socket, verdict))
}

async fn run(front: Arc<Front>, socket: WebSocket, verdict: Result<Connection, Close>) {
    match verdict {
        Ok(Connection { user, session_id, expires_at, .. }) => {
            // Of the front, a socket keeps only what it needs.
            let (hub, store) = (front.hub.clone(), front.service.store().clone());
            let expired = expires_at.map(|time| {
                let clock = front.clock.clone();
                Box::pin(async move { clock.reached(time).await }) as Expiry
            });
            drop(front);
            hub.serve(socket, store, (user, session_id), expired).await;
        }
        Err(Close { code, reason }) => carillon_delivery::refuse(socket, code, reason).await,
    }
}
