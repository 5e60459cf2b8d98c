//! A request in, a response out: signature, route, decoding, authorization, transaction, encoding.

use std::cell::RefCell;
use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use carillon_auth::{Expectation, NoSecret, Refusal, Secret, SignedRequest};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use crate::access::{Caller, Surrounding};
use crate::audit::Draft;
use crate::cors;
use crate::error::{Error, ErrorCode};
use crate::operation::{Incoming, percent_decoded};
use crate::service::Service;

/// The most bytes of a body. The largest request of the interface is some 20 KiB.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The signing name of both interfaces.
const SIGNING_NAME: &str = "chime";

/// Where a request came from: an extension of the request that whoever takes it off a socket adds.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

/// What is wrong before an operation is known, or with it.
enum Fault {
    FrontDoor(Refusal),
    UnknownOperation,
    BodyTooLarge,
    Operation(Error),
}

impl Service {
    /// Answers a request whose body was read whole, under [`BODY_BYTES_MAX`].
    pub async fn handle(self: &Arc<Self>, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        if parts.method == Method::OPTIONS {
            return cors::preflight(&parts.headers);
        }
        let request_id = self.new_id();
        let mut draft = self.draft(&parts, &body, &request_id);
        if parts.method == Method::POST && parts.uri.path() == "/" {
            return self.query(&parts, &body, &request_id, draft).await;
        }
        let answer = self.answer(parts, body, &request_id, &mut draft).await;
        let (result, status) = outcome(&answer);
        let body = answer.as_ref().ok().and_then(|(_, body)| body.as_deref());
        if let Some(record) = draft.close(result, status, body.unwrap_or_default()) {
            self.audit(record).await;
        }
        respond(answer, &request_id)
    }

    fn draft(&self, parts: &Parts, body: &[u8], request_id: &str) -> Draft {
        if !self.is_audited() {
            return Draft::none();
        }
        Draft::of_request(&self.router, (parts, body), request_id, self.surroundings().clock.real())
    }

    /// Refuses a request whose body is larger than [`BODY_BYTES_MAX`], without reading it.
    pub fn refuse_body(&self) -> Response<Bytes> {
        respond(Err(Fault::BodyTooLarge), &self.new_id())
    }

    async fn answer(
        self: &Arc<Self>,
        parts: Parts,
        body: Bytes,
        request_id: &str,
        draft: &mut Draft,
    ) -> Result<(u16, Option<Bytes>), Fault> {
        let query = parts.uri.query().unwrap_or_default();
        let caller = self.verify(&parts, query, &body, 0).map_err(Fault::FrontDoor)?;
        draft.signed_by(|| caller.arn(self.home().account()));
        let query = parse_query(query).ok_or(Fault::UnknownOperation)?;
        let found =
            self.router.find(&parts.method, parts.uri.path(), &query).ok_or(Fault::UnknownOperation)?;
        let route = found.route;
        let (request_id_kept, surrounding) = (request_id.to_owned(), surrounding(&parts));
        let (headers, labels) = (parts.headers, found.labels);
        let incoming =
            Incoming { headers, labels, query, body, request_id: request_id_kept, caller, surrounding };
        let result = (route.handle)(self.clone(), incoming).await;
        match result {
            Ok(body) => {
                tracing::debug!(request_id, operation = route.name, "answered");
                Ok((route.status, body))
            }
            Err(error) => {
                let declared =
                    ErrorCode::EVERYONES.contains(&error.code) || route.errors.contains(&error.code);
                // The one exception: an unknown network type is a BadRequest, though it is not declared.
                debug_assert!(
                    declared || route.name == "GetMessagingSessionEndpoint",
                    "{} answers {error}, which it does not declare",
                    route.name
                );
                log(&error, route.name, request_id);
                Err(Fault::Operation(error))
            }
        }
    }

    /// Checks the signature, by real time; `late_ms` is allowed beyond a presigned request's end.
    pub(crate) fn verify(
        &self,
        parts: &Parts,
        query: &str,
        body: &[u8],
        late_ms: i64,
    ) -> Result<Caller, Refusal> {
        let region = self.surroundings().home.region();
        self.verify_for(parts, query, body, (region, &[SIGNING_NAME]), late_ms)
    }

    /// Checks the signature for other services than the two interfaces.
    pub(crate) fn verify_for(
        &self,
        parts: &Parts,
        query: &str,
        body: &[u8],
        (region, services): (&str, &[&str]),
        late_ms: i64,
    ) -> Result<Caller, Refusal> {
        let mut headers = Vec::with_capacity(parts.headers.len());
        for (name, value) in &parts.headers {
            // What is not text was not signed by any client; it counts as absent.
            if let Ok(value) = value.to_str() {
                headers.push((name.as_str(), value));
            }
        }
        let signed = SignedRequest {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query,
            headers: &headers,
            body,
        };
        let surroundings = self.surroundings();
        let expectation = Expectation {
            region,
            services,
            now_ms: surroundings.clock.real().ms(),
            late_allowance_ms: late_ms,
        };
        let now = surroundings.clock.now();
        let found = RefCell::new(None);
        let secret = |access_key_id: &str, session_token: Option<&str>| -> Result<Secret, NoSecret> {
            let (caller, secret) = self.access.find(&surroundings.root, access_key_id, session_token, now)?;
            found.replace(Some(caller));
            Ok(secret)
        };
        self.verifier.verify(&signed, &expectation, &secret)?;
        found.into_inner().ok_or(Refusal::UnrecognizedClient)
    }
}

/// What conditions may read of where a request came from.
pub(crate) fn surrounding(parts: &Parts) -> Surrounding {
    let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let address = parts.extensions.get::<ClientAddress>().map(|address| address.0);
    Surrounding { address, user_agent: user_agent.map(str::to_owned) }
}

/// Reads a query; nothing where it is not UTF-8. A bare `+` is a space: that is how the signature reads it.
pub(crate) fn parse_query(query: &str) -> Option<Vec<(String, String)>> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((percent_decoded(&name.replace('+', " "))?, percent_decoded(&value.replace('+', " "))?))
        })
        .collect()
}

/// Code and status of an answer.
fn outcome(answer: &Result<(u16, Option<Bytes>), Fault>) -> (&'static str, u16) {
    match answer {
        Ok((status, _)) => ("OK", *status),
        Err(Fault::Operation(error)) => (error.code.as_str(), error.code.status()),
        Err(Fault::FrontDoor(refusal)) => (refusal.exception(), 403),
        Err(Fault::UnknownOperation) => ("UnknownOperationException", 404),
        Err(Fault::BodyTooLarge) => ("BadRequest", 413),
    }
}

fn respond(answer: Result<(u16, Option<Bytes>), Fault>, request_id: &str) -> Response<Bytes> {
    let mut response = match answer {
        Ok((status, body)) => {
            let mut response = Response::new(body.unwrap_or_default());
            *response.status_mut() =
                StatusCode::from_u16(status).expect("the interface's statuses are statuses");
            response
        }
        Err(Fault::Operation(error)) => {
            failure(error.code.status(), error.code.exception(), error.code.as_str(), &error.message)
        }
        Err(Fault::FrontDoor(refusal)) => {
            // SDKs act on these names wherever they read them, so header and body carry the same.
            failure(403, refusal.exception(), refusal.exception(), &refusal.to_string())
        }
        Err(Fault::UnknownOperation) => failure(
            404,
            "UnknownOperationException",
            "UnknownOperationException",
            "There is no such operation, or this server does not have it yet",
        ),
        Err(Fault::BodyTooLarge) => failure(
            413,
            "BadRequestException",
            "BadRequest",
            &format!("The body must have at most {BODY_BYTES_MAX} bytes"),
        ),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-amzn-requestid", HeaderValue::from_str(request_id).expect("an id is plain text"));
    cors::allow(headers);
    response
}

fn failure(status: u16, exception: &'static str, code: &str, message: &str) -> Response<Bytes> {
    let body = serde_json::json!({ "Code": code, "Message": message }).to_string();
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("the interface's statuses are statuses");
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(exception));
    response
}

/// Logs an error once, with the whole chain that the client is not told.
fn log(error: &Error, operation: &str, request_id: &str) {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        chain.extend([": ", &next.to_string()]);
        source = next.source();
    }
    if error.code == ErrorCode::ServiceFailure {
        tracing::error!(request_id, operation, "{chain}");
    } else {
        tracing::debug!(request_id, operation, "{chain}");
    }
}
