//! From method, path and query to an operation.
//!
//! Paths are matched as they were sent, so an ARN's `%2F` does not split a segment; labels are decoded after.
//! Operations that share a path are told apart by a constant in the query, as `operation=batch-create`.

use std::collections::HashMap;
use std::sync::LazyLock;

use http::Method;

use crate::front::route::{self, Route};
use crate::operation::percent_decoded;

/// All of them, built when the first request comes.
static ROUTER: LazyLock<Router> = LazyLock::new(|| Router::new(route::all()));

struct Router {
    routes: Vec<Route>,
    paths: matchit::Router<HashMap<Method, Vec<Candidate>>>,
}

struct Candidate {
    marker: Option<(&'static str, &'static str)>,
    route: usize,
}

pub(crate) struct Match<'a> {
    pub(crate) route: &'a Route,
    pub(crate) labels: Vec<(String, String)>,
}

/// The operation that is meant, and what its path names.
pub(crate) fn find(method: &Method, path: &str, query: &[(String, String)]) -> Option<Match<'static>> {
    ROUTER.find(method, path, query)
}

/// The operation of this name.
pub(crate) fn named(name: &str) -> Option<&'static Route> {
    ROUTER.routes.iter().find(|route| route.name == name)
}

impl Router {
    fn new(routes: Vec<Route>) -> Self {
        let mut by_path: HashMap<&'static str, HashMap<Method, Vec<Candidate>>> = HashMap::new();
        for (at, route) in routes.iter().enumerate() {
            let (path, marker) = match route.uri.split_once('?') {
                Some((path, marker)) => (path, marker.split_once('=')),
                None => (route.uri, None),
            };
            let candidates = by_path.entry(path).or_default().entry(route.method.clone()).or_default();
            candidates.push(Candidate { marker, route: at });
            // Those with a marker are tried before the one without.
            candidates.sort_by_key(|candidate| candidate.marker.is_none());
        }
        let mut paths = matchit::Router::new();
        for (path, methods) in by_path {
            paths.insert(path, methods).expect("the templates of the interface do not conflict");
        }
        Self { routes, paths }
    }

    fn find(&self, method: &Method, path: &str, query: &[(String, String)]) -> Option<Match<'_>> {
        let found = self.paths.at(path).ok()?;
        let candidate = found.value.get(method)?.iter().find(|candidate| match candidate.marker {
            None => true,
            Some((name, value)) => query.iter().any(|(key, given)| key == name && given == value),
        })?;
        let labels =
            found.params.iter().map(|(name, value)| Some((name.to_owned(), percent_decoded(value)?)));
        Some(Match { route: &self.routes[candidate.route], labels: labels.collect::<Option<_>>()? })
    }
}
