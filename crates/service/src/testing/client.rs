//! The client of a test: it signs and sends as any program would, and reads what it is answered.

use std::sync::Arc;

use bytes::Bytes;
use carillon_auth::{Secret, SignedRequest, Signer, presign, sign};
use carillon_model::session::{Close, Shown};
use carillon_model::text::*;
use carillon_model::{IdentityArn, Key, Timestamp};
use carillon_store::{self as store, Lane};
use futures_util::StreamExt as _;
use http::{HeaderMap, Request, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{HOST, REGION, START, World, futures};
use crate::error::ErrorCode;
use crate::front::connect::Connection;
use crate::front::exchange::{Exchanged, Person, Requester};
use crate::front::roles::Role;
use crate::operation::{Operation, Outgoing, Paged};

/// An error as the client reads it.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

/// What a client signs with.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
    pub(crate) session_token: Option<String>,
}

impl Credentials {
    pub(crate) fn root() -> Self {
        Self { access_key_id: "ROOT".to_owned(), secret: "secret".to_owned(), session_token: None }
    }
}

impl World {
    /// Calls an operation as a client would: encoded, signed, sent, decoded.
    pub(crate) fn call<O: Operation>(&mut self, operation: &O) -> Result<O::Response, Refused> {
        Self::decoded::<O>(&self.send_signed(&operation.encode()))
    }

    /// Reads a list to its end, page by page: `take` keeps what a page holds, and says where the next one begins.
    pub(crate) fn turn_pages<O: Paged>(
        &mut self,
        list: &mut O,
        mut take: impl FnMut(O::Response) -> Option<NextToken>,
    ) {
        loop {
            let token = take(self.call(list).unwrap());
            list.begin_at(token.clone());
            if token.is_none() {
                return;
            }
        }
    }

    fn decoded<O: Operation>(response: &Response<Bytes>) -> Result<O::Response, Refused> {
        let (status, body) = (response.status().as_u16(), response.body());
        let text: &[u8] = if body.is_empty() { b"{}" } else { body };
        if status == O::STATUS {
            return Ok(serde_json::from_slice(text).unwrap());
        }
        let error: serde_json::Value = serde_json::from_slice(text).unwrap();
        let named = |code: &ErrorCode| error["Code"] == code.as_str() && code.status() == status;
        let code = ALL_CODES.iter().copied().find(named).unwrap_or_else(|| panic!("{status} {error}"));
        assert_eq!(response.headers()["x-amzn-errortype"], code.exception());
        Err(Refused { code, message: error["Message"].as_str().unwrap().to_owned() })
    }

    /// The code that an operation is refused with.
    pub(crate) fn refusal(&mut self, operation: &impl Operation) -> ErrorCode {
        match self.call(operation) {
            Ok(_) => panic!("it was not refused"),
            Err(refused) => refused.code,
        }
    }

    /// Sends a signed request of any form; answers status and JSON body.
    pub(crate) fn raw(&mut self, method: &str, target: &str, body: &[u8]) -> (u16, serde_json::Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        self.raw_with(method, (path, query), &[], body)
    }

    /// Sends a signed request of any form, with headers; answers status and JSON body.
    pub(crate) fn raw_with(
        &mut self,
        method: &str,
        (path, query): (&str, &str),
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> (u16, serde_json::Value) {
        let request = self.signed("chime", (method, path, query), headers, body);
        let response = futures(self.service.handle(request));
        let body = response.body();
        (response.status().as_u16(), serde_json::from_slice(body).unwrap_or_default())
    }

    fn send_signed(&mut self, outgoing: &Outgoing) -> Response<Bytes> {
        let (path, query) = (&outgoing.path, &outgoing.query);
        let request = self.signed(
            "chime",
            (outgoing.method.as_str(), path, query),
            &outgoing.headers,
            &outgoing.body(),
        );
        futures(self.service.handle(request))
    }

    /// Sends a request, changed on its way; answers its status, and whether its body was asked for.
    pub(crate) fn watched(
        &self,
        service: &str,
        target: (&str, &str, &str),
        change: impl FnOnce(&mut HeaderMap),
    ) -> (u16, bool) {
        let (mut parts, body) = self.signed(service, target, &[], b"{}").into_parts();
        change(&mut parts.headers);
        let was_read = std::cell::Cell::new(false);
        let read = async |_| {
            was_read.set(true);
            Ok(body)
        };
        let response = futures(self.service.handle_unread(parts, read));
        (response.status().as_u16(), was_read.get())
    }

    /// Calls operations at once, in turn on two nodes that share the store.
    pub(crate) fn call_at_once<O: Operation>(
        &mut self,
        operations: &[O],
    ) -> Vec<Result<O::Response, Refused>> {
        let asked: Vec<Outgoing> = operations.iter().map(Operation::encode).collect();
        self.at_once(&asked, None).iter().map(Self::decoded::<O>).collect()
    }

    /// The same, while both run a job in this lane.
    pub(crate) fn call_beside_jobs<O: Operation>(
        &mut self,
        operations: &[O],
        lane: &Lane,
        job: impl Fn(&mut store::Tx, Timestamp) -> crate::error::Result<()> + Send + Sync + 'static,
    ) -> Vec<Result<O::Response, Refused>> {
        let asked: Vec<Outgoing> = operations.iter().map(Operation::encode).collect();
        self.at_once(&asked, Some(&(lane.clone(), Arc::new(job)))).iter().map(Self::decoded::<O>).collect()
    }

    /// Sends requests at once, in turn to two nodes that share the store; answers which were done.
    pub(crate) fn race(&mut self, asked: &[Outgoing]) -> Vec<bool> {
        self.at_once(asked, None).iter().map(|response| response.status().is_success()).collect()
    }

    fn at_once(&mut self, asked: &[Outgoing], beside: Option<&(Lane, Beside)>) -> Vec<Response<Bytes>> {
        let nodes = self.nodes();
        let now = self.now();
        let calls = asked.iter().zip(nodes.iter().cycle()).map(|(outgoing, node)| {
            let asked = (outgoing.method.as_str(), outgoing.path.as_str(), outgoing.query.as_str());
            let request = self.signed("chime", asked, &outgoing.headers, &outgoing.body());
            async move {
                let stepping = async {
                    if let Some((lane, job)) = beside {
                        let job = job.clone();
                        node.store().write(lane.clone(), move |tx| job(tx, now)).await.unwrap();
                    }
                };
                futures_util::future::join(node.handle(request), stepping).await.0
            }
        });
        let responses = futures(futures_util::future::join_all(calls));
        // Each node hands over what it committed; the numbers say in which order.
        self.events.lock().unwrap().sort_by_key(|event| (event.channel, event.sequence));
        responses
    }

    fn signed(
        &self,
        service: &str,
        (method, path, query): (&str, &str, &str),
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Request<Bytes> {
        let mut all = vec![("host", HOST), ("x-amz-date", "20260115T120000Z")];
        all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
        let token = self.credentials.session_token.clone();
        all.extend(token.iter().map(|token| ("x-amz-security-token", token.as_str())));
        let secret = Secret::new(self.credentials.secret.clone());
        let signer = Signer {
            access_key_id: &self.credentials.access_key_id,
            secret: &secret,
            session_token: None,
            region: REGION,
            service,
        };
        let request = SignedRequest { method, path, query, headers: &all, body };
        let authorization = sign(&request, &signer, START.ms()).unwrap();
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut request =
            Request::builder().method(method).uri(target).header("authorization", authorization);
        for (name, value) in all {
            request = request.header(name, value);
        }
        request.body(Bytes::copy_from_slice(body)).unwrap()
    }

    /// Signs what follows with these credentials; answers those that signed before.
    pub(crate) fn sign_with(&mut self, credentials: Credentials) -> Credentials {
        std::mem::replace(&mut self.credentials, credentials)
    }

    /// Asks IAM or STS, with a form; answers status and document.
    pub(crate) fn query(&mut self, service: &str, form: &[(&str, &str)]) -> (u16, String) {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let request = self.signed(service, ("POST", "/", ""), &[], pairs.join("&").as_bytes());
        let response = futures(self.service.handle(request));
        (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
    }

    /// Does an action of IAM as somebody at the console does.
    pub(crate) fn manage(&mut self, form: &[(&str, &str)]) -> Result<serde_json::Value, crate::Declined> {
        let form = form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        futures(self.service.manage(form))
    }

    /// Credentials for somebody whom an application vouches for, or nobody knows.
    pub(crate) fn exchange(&mut self, person: &Person, role: Role) -> Exchanged {
        self.try_exchange(person, role).unwrap()
    }

    /// The same, or why there are none.
    pub(crate) fn try_exchange(&mut self, person: &Person, role: Role) -> crate::error::Result<Exchanged> {
        let from = Requester { request_id: "exchange".to_owned(), address: None };
        futures(self.service.exchange(&self.instance, person, role, &from))
    }

    /// Opens a socket, as far as the service is concerned.
    pub(crate) fn connect(&mut self, user: &IdentityArn) -> Result<Connection, Close> {
        self.connect_with(user, "sessionId=1")
    }

    /// The same, with this query beside the user and the signature.
    pub(crate) fn connect_with(&mut self, user: &IdentityArn, query: &str) -> Result<Connection, Close> {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let secret = Secret::new(self.credentials.secret.clone());
        let signer = Signer {
            access_key_id: &self.credentials.access_key_id,
            secret: &secret,
            session_token: self.credentials.session_token.as_deref(),
            region: REGION,
            service: "chime",
        };
        let query = format!("{query}&userArn={}", encode(user.as_str()));
        let headers = [("host", HOST)];
        let request =
            SignedRequest { method: "GET", path: "/connect", query: &query, headers: &headers, body: b"" };
        let query = presign(&request, &signer, START.ms(), 10).unwrap();
        let request = Request::get(format!("/connect?{query}")).header("host", HOST).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        futures(self.service.connect(&parts))
    }

    /// The payloads of what a session of this user is shown first.
    pub(crate) fn prefetch(&mut self, who: &IdentityArn, query: &str) -> Vec<serde_json::Value> {
        let payload = |(frame, _): (serde_json::Value, _)| {
            assert_eq!(frame["Headers"]["x-amz-chime-event-type"], "CHANNEL_DETAILS");
            assert_eq!(frame["Headers"]["x-amz-chime-message-type"], "SYSTEM");
            serde_json::from_str(frame["Payload"].as_str().unwrap()).unwrap()
        };
        self.shown(who, query).into_iter().map(payload).collect()
    }

    /// The frames that a session of this user is shown first, each with the event that it tells again.
    pub(crate) fn shown(
        &mut self,
        who: &IdentityArn,
        query: &str,
    ) -> Vec<(serde_json::Value, Option<(Key, i64)>)> {
        let connection = self.connect_with(who, &format!("{query}&sessionId=1")).unwrap();
        let Some(frames) = self.service.opening(&connection) else { return Vec::new() };
        let read = |shown: Result<Shown, Close>| {
            let Shown { frame, event } = shown.unwrap();
            (serde_json::from_str(&frame).unwrap(), event)
        };
        futures(frames.map(read).collect())
    }
}

/// What both nodes do beside the calls.
type Beside = Arc<dyn Fn(&mut store::Tx, Timestamp) -> crate::error::Result<()> + Send + Sync>;

const ALL_CODES: [ErrorCode; 10] = [
    ErrorCode::AccessDenied,
    ErrorCode::BadRequest,
    ErrorCode::Conflict,
    ErrorCode::Forbidden,
    ErrorCode::NotFound,
    ErrorCode::ResourceLimitExceeded,
    ErrorCode::ServiceFailure,
    ErrorCode::ServiceUnavailable,
    ErrorCode::Throttled,
    ErrorCode::Unauthorized,
];
