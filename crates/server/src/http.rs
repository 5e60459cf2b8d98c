//! The front: listeners, and what each path leads to.
//!
//! Paths stay as they were sent, because the signature covers them so. Nothing here knows an operation: what is
//! not a socket and not Carillon's own goes whole to the service.

pub mod body;
mod connect;
mod exchange;
mod letters;
mod listener;
mod own;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::{any, get, post};
use carillon_delivery::Hub;
use carillon_service::Service;
use carillon_service::dispatch::ClientAddress;
use http::request::Parts;

use crate::answer::last;
use crate::clock::SystemClock;
use crate::exchange::Exchange;
use crate::jobs::Jobs;
use crate::metrics::Metrics;
use body::Unread;
pub use connect::with_limits;
pub use listener::{Listening, bind, serve};

/// What requests meet.
pub struct Front {
    service: Arc<Service>,
    hub: Arc<Hub>,
    clock: Arc<SystemClock>,
    jobs: Arc<Jobs>,
    metrics: Metrics,
    /// The exchange of credentials, if there is one.
    exchange: Option<Arc<Exchange>>,
    /// Two at once would each add to what the other is about to replace.
    moving: tokio::sync::Mutex<()>,
    stopping: AtomicBool,
}

impl Front {
    /// A front for this service.
    pub(crate) fn new(
        service: Arc<Service>,
        hub: Arc<Hub>,
        clock: Arc<SystemClock>,
        jobs: Arc<Jobs>,
        metrics: Metrics,
        exchange: Option<Arc<Exchange>>,
    ) -> Arc<Self> {
        let (moving, stopping) = (tokio::sync::Mutex::default(), AtomicBool::default());
        Arc::new(Self { service, hub, clock, jobs, metrics, exchange, moving, stopping })
    }

    /// From here on it is not ready, so that balancers send nobody new.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// Every path, and where it leads.
pub(crate) fn router(front: Arc<Front>, test_clock: bool) -> Router {
    let mut router = Router::new()
        .route("/connect", any(connect::open))
        .route("/_carillon/health/live", get(own::live))
        .route("/_carillon/health/ready", get(own::ready))
        .route("/_carillon/metrics", get(own::metrics));
    if test_clock {
        router = router.route("/_carillon/clock", post(own::advance));
    }
    if front.exchange.is_some() {
        router = router.route("/_carillon/creds", post(exchange::creds).options(exchange::preflight));
    }
    router
        .route("/_carillon", any(own::missing))
        .route("/_carillon/", any(own::missing))
        .route("/_carillon/{*rest}", any(own::missing))
        .method_not_allowed_fallback(own::missing)
        .fallback(call)
        .with_state(front)
}

/// A request of the AWS protocols.
async fn call(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    note_client(&mut parts);
    let mut unread = Unread::new(&parts.headers, body);
    let response = front.service.handle_unread(parts, |most| unread.read(most)).await.map(Body::from);
    if unread.is_left() {
        unread.discard();
        return last(response);
    }
    response
}

/// Says where a request came from, in the service's words.
fn note_client(parts: &mut Parts) {
    if let Some(ConnectInfo(address)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        let address = ClientAddress(address.ip());
        parts.extensions.insert(address);
    }
}
