//! Who answers what comes to a listener. Requests of the AWS protocols are nearly all there are, and have one answer
//! whatever their path is, so they go past the router, which is asked for our own paths alone: of a send it had taken a
//! twentieth of what HTTP costs.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::{Front, OWN_PATH, OWN_PATHS, PROOF_PATHS, SOCKETS, call, measure};

/// What answers requests, for every connection of a listener.
pub(crate) trait Reception: Clone + Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response> + Send;
}

impl Reception for Router {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let Ok(response) = TowerToHyperService::new(self.clone()).call(request).await;
        response
    }
}

/// What answers requests of clients: the service, and beside it our own paths.
#[derive(Clone)]
pub(crate) struct Desk {
    front: Arc<Front>,
    own: TowerToHyperService<Router>,
}

impl Desk {
    pub(super) fn new(front: Arc<Front>, own: Router) -> Self {
        Self { front, own: TowerToHyperService::new(own) }
    }
}

impl Reception for Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        measure(&self.front, request.map(Body::new), async |request| {
            if is_routed(request.uri().path()) {
                let Ok(response) = self.own.call(request).await;
                return response;
            }
            call(&self.front, request).await
        })
        .await
    }
}

/// Whether the router knows more of a path than that it is the service's.
fn is_routed(path: &str) -> bool {
    [SOCKETS, OWN_PATH].contains(&path)
        || [OWN_PATHS, PROOF_PATHS].iter().any(|below| path.starts_with(below))
}
