//! The front: listeners, and what each path leads to.
//!
//! Paths stay as they were sent, because the signature covers them so. Nothing here knows an operation: what is
//! not a socket and not Carillon's own goes whole to the service.

pub mod body;
mod connect;
mod console;
mod exchange;
mod in_flight;
mod inside;
mod letters;
mod listener;
mod local;
mod measured;
mod newest;
mod openapi;
mod own;
mod pace;
mod places;
mod port;
mod proxies;
mod proxy_head;
mod reception;
mod upgrade;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{any, get, post};
use carillon_delivery::Hub;
use carillon_service::Service;
use carillon_service::front::request::Answered;
use carillon_service::front::route;
use carillon_targets::push::Push;
use http::{Method, StatusCode, Version, header};
use tracing::Instrument as _;
use zeroize::Zeroizing;

use crate::answer::{Refusal, last};
use crate::certificate::Shown;
use crate::clock::SystemClock;
use crate::credentials::RootKey;
use crate::exchange::Exchange;
use crate::jobs::Jobs;
use crate::metrics::Metrics;
use crate::traces;
pub(crate) use body::BODIES_BYTES_LEAST;
pub use body::Intake;
use body::Unread;
use connect::Entering;
use in_flight::InFlight;
pub(crate) use inside::Inside;
pub(crate) use listener::{Door, Speech, UNSIGNED_PER_SECOND_MAX, serve_at};
pub use listener::{Listening, serve};
pub(crate) use measured::Measured;
pub(crate) use pace::Patience;
pub(crate) use places::{Allowance, Places};
pub use port::{Port, bind};
pub(crate) use proxies::Proxies;
pub(crate) use reception::Desk;

/// Two names of a host, or none, and nobody knows whom a request is for.
const ONE_HOST: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    exception: "BadRequestException",
    code: "BadRequest",
    message: "A request must have one Host header",
};
const NOT_FROM_HERE: Refusal = Refusal {
    status: StatusCode::FORBIDDEN,
    exception: "ForbiddenException",
    code: "Forbidden",
    message: "While developing, this is for pages and programs of this machine: its host and its origin must be \
              localhost, or named in the configuration",
};

/// Where sockets are opened.
const SOCKETS: &str = "/connect";
/// Where certificate authorities look for proofs.
const PROOF_PATHS: &str = "/.well-known/acme-challenge/";
/// Where there is nothing but what lives below it.
const OWN_PATH: &str = "/_carillon";
/// What lives below it is Carillon's own.
const OWN_PATHS: &str = "/_carillon/";
/// What lives below it is signed, or only read: a page of another machine cannot make a browser sign.
const SIGNED_PATHS: &str = "/_carillon/v1/";
/// As what requests for it are measured, all together.
const OWN: &str = "own";

/// Who sees what is measured.
#[derive(Clone, Default)]
pub(crate) struct Measuring {
    /// A listener where nothing else is answered.
    pub(crate) listen: Option<SocketAddr>,
    /// What whoever asks must bear.
    pub(crate) token: Option<Zeroizing<String>>,
}

impl fmt::Debug for Measuring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measuring").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// What requests meet.
pub struct Front {
    service: Arc<Service>,
    hub: Arc<Hub>,
    clock: Arc<SystemClock>,
    jobs: Arc<Jobs>,
    metrics: Metrics,
    /// The exchange of credentials, if there is one.
    exchange: Option<Arc<Exchange>>,
    /// The push applications, whose public keys browsers ask for.
    push: Arc<Push>,
    /// What whoever may is told of.
    inside: Inside,
    intake: Arc<Intake>,
    measuring: Measuring,
    /// What signs in whoever opens the console by it; `dev` has one.
    link: OnceLock<console::Link>,
    /// Where only this machine may exchange and move: the other host by which it may be called.
    local_only: Option<String>,
    /// What proves names to a certificate authority.
    proofs: Option<Arc<Shown>>,
    in_flight: InFlight,
    entering: Entering,
    /// What became due by one step is done before another begins.
    moving: tokio::sync::Mutex<()>,
    stopping: AtomicBool,
}

/// What a front is made of.
pub(crate) struct Parts {
    /// What answers.
    pub(crate) service: Arc<Service>,
    /// Where sockets are.
    pub(crate) hub: Arc<Hub>,
    /// What tests move.
    pub(crate) clock: Arc<SystemClock>,
    /// What runs then.
    pub(crate) jobs: Arc<Jobs>,
    /// What is measured.
    pub(crate) metrics: Metrics,
    /// The exchange of credentials, if there is one.
    pub(crate) exchange: Option<Arc<Exchange>>,
    /// The push applications.
    pub(crate) push: Arc<Push>,
    /// What whoever may is told of.
    pub(crate) inside: Inside,
    /// Room for bodies.
    pub(crate) intake: Arc<Intake>,
    /// Who sees what is measured.
    pub(crate) measuring: Measuring,
    /// Where only this machine may exchange and move: the other host by which it may be called.
    pub(crate) local_only: Option<String>,
    /// What proves names to a certificate authority, where certificates come from one.
    pub(crate) proofs: Option<Arc<Shown>>,
}

impl Front {
    /// A front of these parts.
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            service,
            hub,
            clock,
            jobs,
            metrics,
            exchange,
            push,
            inside,
            intake,
            measuring,
            local_only,
            proofs,
        } = parts;
        let in_flight = InFlight::new();
        let (moving, stopping) = (tokio::sync::Mutex::default(), AtomicBool::default());
        Arc::new(Self {
            service,
            hub,
            clock,
            jobs,
            metrics,
            exchange,
            push,
            inside,
            intake,
            measuring,
            link: OnceLock::new(),
            local_only,
            proofs,
            in_flight,
            entering: Entering::new(),
            moving,
            stopping,
        })
    }

    /// A code that opens the console signed in as root, and shows this there, for as long as the process lives.
    pub(crate) fn link(&self, root: &RootKey, demo: serde_json::Value) -> String {
        let code = self.service.new_id().replace('-', "");
        let region = self.service.home().region().to_owned();
        let link = console::Link::new(code.clone(), root.clone(), region, demo);
        // There is one demo, and it is shown once.
        let _ = self.link.set(link);
        code
    }

    /// From here on it is not ready, so that balancers send nobody new.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Waits for the requests whose clients did not.
    pub(crate) async fn drain(&self) {
        self.in_flight.drain().await;
    }
}

/// Every path, and where it leads.
pub(crate) fn desk(front: Arc<Front>, test_clock: bool) -> Desk {
    let mut router = Router::new()
        .route(SOCKETS, any(connect::open))
        .route("/_carillon/health/live", get(own::live))
        .route("/_carillon/health/ready", get(own::ready))
        .route("/_carillon/web-push-key", get(own::web_push_key))
        .route("/_carillon/metrics", get(own::metrics))
        .route("/_carillon/v1/why", any(routed_call))
        .route("/_carillon/v1/audit", get(inside::audit))
        .route("/_carillon/v1/processors", get(inside::processors))
        .route("/_carillon/v1/openapi.json", get(openapi::document))
        .route("/_carillon/console", get(console::beside))
        .route("/_carillon/console/", get(console::page))
        .route("/_carillon/console/session", post(console::session))
        .route("/_carillon/console/{file}", get(console::file));
    for path in extensions() {
        router = router.route(path, any(routed_call));
    }
    if test_clock {
        router = router.route("/_carillon/clock", post(own::advance));
    }
    if front.exchange.is_some() {
        router = router.route("/_carillon/creds", post(exchange::creds).options(exchange::preflight));
    }
    if front.proofs.is_some() {
        router = router.route(&format!("{PROOF_PATHS}{{token}}"), get(own::proof));
    }
    let router = router
        .route(OWN_PATH, any(own::missing))
        .route(OWN_PATHS, any(own::missing))
        .route("/_carillon/{*rest}", any(own::missing))
        .method_not_allowed_fallback(own::missing)
        .fallback(routed_call)
        .with_state(front.clone());
    Desk::new(front, router)
}

/// The paths of operations that live among Carillon's own.
fn extensions() -> BTreeSet<&'static str> {
    let paths = route::all().into_iter().map(|route| route.uri.split('?').next().unwrap_or(route.uri));
    paths.filter(|path| path.starts_with(OWN_PATHS)).collect()
}

/// The paths of the listener that is for metrics alone.
pub(crate) fn metrics_router(front: Arc<Front>) -> Router {
    Router::new()
        .route("/metrics", get(own::metrics_apart))
        .route("/_carillon/metrics", get(own::metrics_apart))
        .fallback(own::missing)
        .with_state(front)
}

/// Measures how long an answer takes, whatever it is.
async fn measure(front: &Front, request: Request, answer: impl AsyncFnOnce(Request) -> Response) -> Response {
    let underway = front.metrics.requests.begin();
    let is_own = request.uri().path().starts_with(OWN_PATHS);
    let span = traces::of_request(request.headers());
    let admitted = async {
        match refuse(front, &request) {
            Some(refusal) => refusal,
            None => answer(request).await,
        }
    };
    let mut response = admitted.instrument(span.clone()).await;
    let told = response.extensions_mut().remove::<Answered>();
    let Answered { operation, code } = told.unwrap_or_else(|| untold(&response));
    let operation = if is_own && operation == Answered::NONE { OWN } else { operation };
    let answered = Answered { operation, code };
    underway.end(answered);
    traces::answered(&span, answered, response.headers(), response.status());
    response
}

/// What an answer is that does not say so.
fn untold(response: &Response) -> Answered {
    let status = response.status();
    let is_good = status.is_success() || status.is_informational();
    let code = if is_good { Answered::OK } else { status.canonical_reason().unwrap_or("Unknown") };
    Answered { operation: Answered::NONE, code }
}

/// Turns away what is ambiguous, and pages that have no business here.
fn refuse(front: &Front, request: &Request) -> Option<Response> {
    let headers = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    if 1 < hosts || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Some(last(ONE_HOST.answer(&front.service.new_id())));
    }
    if let Some(host) = &front.local_only
        && request.uri().path().starts_with(OWN_PATHS)
        && !request.uri().path().starts_with(SIGNED_PATHS)
        && !matches!(*request.method(), Method::GET | Method::HEAD)
        && !(local::host_is(headers, host) && local::origin_is(headers, host, front.exchange.as_deref()))
    {
        return Some(NOT_FROM_HERE.answer(&front.service.new_id()));
    }
    None
}

/// A request of the AWS protocols that lives among our own paths.
async fn routed_call(State(front): State<Arc<Front>>, request: Request) -> Response {
    call(&front, request).await
}

/// A request of the AWS protocols.
async fn call(front: &Front, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut unread = Unread::new(&parts.headers, body);
    let (service, intake) = (&front.service, &front.intake);
    let response = match service.accept(parts, |most| unread.read(intake, most)).await {
        Ok(accepted) => {
            let service = service.clone();
            let performing = Box::pin(async move { service.perform(accepted).await });
            front.in_flight.run(performing).await
        }
        Err(response) => response,
    };
    let response = response.map(Body::from);
    if unread.is_left() {
        unread.discard();
        return last(response);
    }
    response
}
