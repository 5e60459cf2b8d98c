//! `/connect`: from a request to a socket. The upgrade is accepted; who may not have the socket learns it from the
//! code that closes it, because a refused upgrade looks like a lost network to clients. Only whoever is to come back
//! later, as after that, is refused it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use carillon_delivery::{Expiry, Opening, Serving, WebSocket};
use carillon_model::session::Close;
use carillon_service::error::ErrorCode;
use carillon_service::front::connect::Connection;
use carillon_service::front::request::{Answered, Signed};
use futures_util::{FutureExt as _, StreamExt};
use http::{HeaderValue, StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Front;
use super::upgrade::Upgrade;
use crate::answer::Refusal;

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

/// How many are admitted at once, and how many are seated.
const ENTERING_MAX: usize = 16;

/// Where those wait who come in. When thousands come back at once, as after a lost network, whoever calls meanwhile
/// waits behind a few of them instead of behind all. Nobody waits for a client here: what takes a turn is the
/// server's own work.
pub(super) struct Entering {
    admission: Arc<Semaphore>,
    seats: Arc<Semaphore>,
}

impl Entering {
    pub(super) fn new() -> Self {
        let few = || Arc::new(Semaphore::new(ENTERING_MAX));
        Self { admission: few(), seats: few() }
    }
}

async fn turn(few: Arc<Semaphore>) -> OwnedSemaphorePermit {
    few.acquire_owned().await.expect("it is never closed")
}

/// Opens a socket for whoever may have one.
pub(super) async fn open(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let Some(upgrade) = Upgrade::of(&mut parts) else {
        let mut response = NO_UPGRADE.answer(&front.service.new_id());
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    };
    // Decided before the upgrade, so that the request does not live as long as the socket.
    let service = front.service.clone();
    // Whoever waits for it takes no place from those who call.
    let turn_of_admission = turn(front.entering.admission.clone()).await;
    let admitted = async move {
        let verdict = service.connect(&parts).await;
        drop(turn_of_admission);
        verdict
    };
    let verdict = front.in_flight.run(admitted).await;
    if verdict == Err(Close::TOO_MANY_WAIT) {
        let mut response = TOO_MANY_WAIT.answer(&front.service.new_id());
        let code = TOO_MANY_WAIT.code;
        response.extensions_mut().insert(Answered { operation: CONNECT, code });
        return response;
    }
    let is_signed = verdict.is_ok();
    let answered =
        Answered { operation: CONNECT, code: verdict.as_ref().map_or_else(code, |_| Answered::OK) };
    let (mut response, upgraded) = upgrade.accept();
    // What only the beginning needs is not kept for as long as the socket lasts.
    let beginning = async move {
        match upgraded.await {
            Ok(socket) => begin(front, socket, verdict).await,
            Err(error) => {
                tracing::debug!(%error, "a socket did not come about");
                None
            }
        }
    };
    let beginning = beginning.boxed();
    tokio::spawn(async move {
        if let Some(mut serving) = beginning.await {
            serving.run().await;
        }
    });
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

/// Begins the session of whoever may have one.
async fn begin(front: Arc<Front>, socket: WebSocket, verdict: Result<Connection, Close>) -> Option<Serving> {
    match verdict {
        Ok(connection) => {
            let (service, seats) = (front.service.clone(), front.entering.seats.clone());
            let seated = async move {
                let _turn = turn(seats).await;
                service.seated(connection.entrance.user).await
            };
            let opening = Opening {
                seated: seated.boxed(),
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
            hub.begin_session(socket, connection.entrance, opening, expired).await
        }
        Err(refusal) => {
            drop(front);
            carillon_delivery::refuse(socket, refusal).await;
            None
        }
    }
}
