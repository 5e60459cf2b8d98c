//! A request in, a response out: head, body, signature, route, decoding, authorization, transaction, encoding.
//!
//! A stranger costs a head. What the head of a request proves wrong is refused before its body is read, and nothing of
//! a body is parsed before its signature holds.

use std::error::Error as _;
use std::sync::Arc;

use bytes::Bytes;
use carillon_access::{Caller, query};
use carillon_auth::{Refusal, parse_query};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use crate::error::{Error, ErrorCode};
use crate::front::request::{Answered, BODY_BYTES_MAX, NoBody, Signed, surrounding};
use crate::front::route::{Asked, Route};
use crate::front::router;
use crate::front::service::Service;
use crate::front::{cors, retry, why};
use crate::operation::Incoming;

/// The signing name of both interfaces.
const SIGNING_NAME: &str = "chime";

/// A request whose signature and body are believed. It is to be performed whole, whoever hangs up: what it changes
/// stands, and its line has to be written.
pub struct Accepted {
    parts: Parts,
    request_id: String,
    what: AcceptedAs,
}

enum AcceptedAs {
    Rest(Caller, Bytes),
    Query(query::Accepted),
}

/// What is wrong before an operation is known, or with it.
pub(crate) enum Fault {
    FrontDoor(Refusal),
    UnknownOperation,
    NoBody(NoBody),
    Operation(Error),
}

impl Service {
    /// Answers a request whose body is there.
    pub async fn handle(self: &Arc<Self>, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        let read = async |most: usize| {
            let fits = body.len() <= most;
            fits.then_some(body).ok_or(NoBody::TooLarge(most))
        };
        self.handle_unread(parts, read).await
    }

    /// Answers a request whose body is `read` when, and only if, its head is believed; `read` is told how many bytes
    /// are taken.
    pub async fn handle_unread<B>(
        self: &Arc<Self>,
        parts: Parts,
        read: impl FnOnce(usize) -> B,
    ) -> Response<Bytes>
    where
        B: Future<Output = Result<Bytes, NoBody>>,
    {
        match self.accept(parts, read).await {
            Ok(accepted) => self.perform(accepted).await,
            Err(response) => response,
        }
    }

    /// Finds out who signed a request and reads its body on the way, or answers it. Until it is accepted nothing is
    /// done, and whoever hangs up is gone; what is accepted is to be performed, whoever hangs up.
    pub async fn accept<B>(
        &self,
        parts: Parts,
        read: impl FnOnce(usize) -> B,
    ) -> Result<Accepted, Response<Bytes>>
    where
        B: Future<Output = Result<Bytes, NoBody>>,
    {
        if parts.method == Method::OPTIONS {
            return Err(cors::preflight(&parts.headers));
        }
        let request_id = self.new_id();
        if parts.method == Method::POST && parts.uri.path() == "/" {
            // Rare, and large: boxed, they do not widen the future of every request.
            let asked = Box::pin(self.accept_query(&parts, read, &request_id)).await?;
            return Ok(Accepted { parts, request_id, what: AcceptedAs::Query(asked) });
        }
        match self.accept_rest(&parts, read).await {
            Ok((caller, body)) => Ok(Accepted { parts, request_id, what: AcceptedAs::Rest(caller, body) }),
            Err(fault) => {
                if let Fault::FrontDoor(refusal) = &fault {
                    self.turned_away(&parts, &request_id, (refusal.exception(), 403), None);
                }
                Err(respond(Answered::NONE, Err(fault), &request_id))
            }
        }
    }

    /// Answers a request that was accepted.
    pub async fn perform(self: &Arc<Self>, accepted: Accepted) -> Response<Bytes> {
        let Accepted { parts, request_id, what } = accepted;
        match what {
            AcceptedAs::Query(asked) => Box::pin(self.query(&parts, asked, &request_id)).await,
            AcceptedAs::Rest(caller, body) => {
                let mut operation = Answered::NONE;
                let answer = self.rest(parts, caller, body, (&request_id, &mut operation)).await;
                let mut response = respond(operation, answer, &request_id);
                response.extensions_mut().insert(Signed);
                response
            }
        }
    }

    async fn accept_rest<B>(
        &self,
        parts: &Parts,
        read: impl FnOnce(usize) -> B,
    ) -> Result<(Caller, Bytes), Fault>
    where
        B: Future<Output = Result<Bytes, NoBody>>,
    {
        let scope = (self.home().region(), &[SIGNING_NAME][..]);
        let claimed = self.access.check_head(parts, scope, 0, self.when()).map_err(Fault::FrontDoor)?;
        let body = read(BODY_BYTES_MAX).await.map_err(Fault::NoBody)?;
        let caller = claimed.verify(parts, &body).map_err(Fault::FrontDoor)?;
        Ok((caller, body))
    }

    /// Does what a request of the two interfaces asks for, and says so in the audit log.
    async fn rest(
        self: &Arc<Self>,
        parts: Parts,
        caller: Caller,
        body: Bytes,
        (request_id, operation): (&str, &mut &'static str),
    ) -> Result<(u16, Option<Bytes>), Fault> {
        let query = parse_query(parts.uri.query().unwrap_or_default()).ok_or(Fault::UnknownOperation)?;
        let (method, path) = (&parts.method, parts.uri.path());
        let found = why::find(method, path).or_else(|| router::find(method, path, &query));
        let found = found.ok_or(Fault::UnknownOperation)?;
        let route = found.route;
        *operation = route.name;
        let mut draft = self.draft(&parts, request_id, || Some(caller.arn(self.home().account())));
        draft.asks(route.service, route.name, route.effect);
        let notes = draft.notes();
        notes.labels(&found.labels);
        let line = self.line_for(route.effect).await.map_err(Fault::Operation)?;
        let surrounding = surrounding(&parts);
        let incoming = Incoming { headers: parts.headers, labels: found.labels, query, body };
        let asked = Asked { incoming, caller, surrounding, notes, onlooker: None };
        let answer = self.operate(route, asked, request_id).await;
        let (result, status) = outcome(&answer);
        self.record(line, draft, result, status).await.map_err(Fault::Operation)?;
        answer
    }

    async fn operate(
        self: &Arc<Self>,
        route: &Route,
        asked: Asked,
        request_id: &str,
    ) -> Result<(u16, Option<Bytes>), Fault> {
        match (route.handle)(self.clone(), asked).await {
            Ok(body) => {
                tracing::debug!(request_id, operation = route.name, "answered");
                Ok((route.status, body))
            }
            Err(error) => {
                let declared =
                    ErrorCode::EVERYONES.contains(&error.code) || route.errors.contains(&error.code);
                // The two exceptions: what policies refuse, no model declares; and an unknown network type is a
                // BadRequest, though it is not declared.
                debug_assert!(
                    declared
                        || error.code == ErrorCode::AccessDenied
                        || route.name == "GetMessagingSessionEndpoint",
                    "{} answers {error}, which it does not declare",
                    route.name
                );
                log(&error, route.name, request_id);
                self.full_quotas.note(&error);
                Err(Fault::Operation(error))
            }
        }
    }

    /// Checks a request without a body, by real time; `late_ms` is allowed beyond a presigned request's end.
    pub(crate) fn verify_bare(&self, parts: &Parts, late_ms: i64) -> Result<Caller, Refusal> {
        let scope = (self.home().region(), &[SIGNING_NAME][..]);
        self.access.check_head(parts, scope, late_ms, self.when())?.verify(parts, b"")
    }
}

/// Code and status of an answer.
fn outcome(answer: &Result<(u16, Option<Bytes>), Fault>) -> (&'static str, u16) {
    match answer {
        Ok((status, _)) => (Answered::OK, *status),
        Err(Fault::Operation(error)) => (error.code.as_str(), error.code.status()),
        Err(Fault::FrontDoor(refusal)) => (refusal.exception(), 403),
        Err(Fault::UnknownOperation) => ("UnknownOperationException", 404),
        Err(Fault::NoBody(why)) => (why.code(), why.status()),
    }
}

pub(crate) fn respond(
    operation: &'static str,
    answer: Result<(u16, Option<Bytes>), Fault>,
    request_id: &str,
) -> Response<Bytes> {
    let answered = Answered { operation, code: outcome(&answer).0 };
    let known_ms = match &answer {
        Err(Fault::Operation(error)) => error.retry_after_ms,
        _ => None,
    };
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
        Err(Fault::NoBody(why)) => failure(why.status(), why.exception(), why.code(), &why.to_string()),
    };
    let wait_ms = known_ms.or_else(|| retry::wait_ms(response.status(), request_id));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-amzn-requestid", HeaderValue::from_str(request_id).expect("an id is plain text"));
    if let Some(wait_ms) = wait_ms {
        retry::say(headers, wait_ms);
    }
    cors::allow(headers);
    response.extensions_mut().insert(answered);
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

#[cfg(test)]
mod tests {
    use crate::testing::*;

    type Change = fn(&mut http::HeaderMap);

    fn replace(headers: &mut http::HeaderMap, from: &str, to: &str) {
        let text = headers["authorization"].to_str().unwrap().replace(from, to);
        headers.insert("authorization", text.parse().unwrap());
    }

    #[engine_test]
    fn the_body_of_a_stranger_is_not_read(world: &mut World) {
        let strangers: [Change; 6] = [
            |headers| drop(headers.remove("authorization")),
            |headers| replace(headers, "Credential=ROOT", "Credential=NOBODY"),
            |headers| replace(headers, "us-east-1", "eu-west-1"),
            |headers| drop(headers.insert("x-amz-date", "20260115T110000Z".parse().unwrap())),
            |headers| replace(headers, "SignedHeaders=", "SignedHeaders=a;"),
            |headers| drop(headers.insert("x-amz-security-token", "nobody's".parse().unwrap())),
        ];
        for change in strangers {
            assert_eq!(world.watched("chime", ("POST", "/channels", ""), change), (403, false));
        }
        for change in &strangers[1..] {
            let (status, was_read) = world.watched("iam", ("POST", "/", ""), change);
            assert!((400..404).contains(&status) && !was_read, "{status}");
        }
        let (_, was_read) = world.watched("chime", ("POST", "/channels", ""), |_| {});
        assert!(was_read);
        // The body decides, where the head is good.
        let forged: Change = |headers| {
            let head = headers["authorization"].to_str().unwrap().len() - 64;
            let text = format!("{}{}", &headers["authorization"].to_str().unwrap()[..head], "0".repeat(64));
            headers.insert("authorization", text.parse().unwrap());
        };
        assert_eq!(world.watched("chime", ("POST", "/channels", ""), forged), (403, true));
    }
}
