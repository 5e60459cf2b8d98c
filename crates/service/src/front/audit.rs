//! The audit log: who did what, as whom, on which resource, and what came of it. One record for every write and for
//! every refusal; what a read answers is nobody's business.
//!
//! What somebody signed is recorded as it was acted on: from the operation that was decoded, never from what else stood
//! in the request. A place for its line is taken before anything is done, so that no write stands without one. What
//! nobody signed is recorded only as far as there is room for it, in places of its own.
//!
//! A record has ARNs, ids and codes. It never has a name, metadata, content or a token. Where records go is the
//! server's affair.

mod draft;
mod resources;

use std::collections::BTreeMap;
use std::net::IpAddr;

use carillon_model::Timestamp;
use carillon_model::arn::Home;
use futures_util::future::BoxFuture;
use http::request::Parts;
use serde::Serialize;
use serde_json::Value;

use crate::front::request::ClientAddress;
pub(crate) use draft::{Draft, Notes, access_key_id, is_arn, member_of, text_header};
pub use resources::Resources;

/// The longest text that a record takes over from a request that somebody signed; the longest ARN of the interface has
/// 1,600 characters.
const TEXT_LENGTH_MAX: usize = 2_048;
/// Where records go.
pub trait Ledger: Send + Sync {
    /// A place for one line. Nothing where there was none in time: then nothing may be done that needs a line.
    fn place(&self) -> BoxFuture<'static, Option<Place>>;
    /// A line for which there was no place, and whose cause could not be undone: it is counted, and told later.
    fn missed(&self);
    /// Whether there is room now for what nobody signed; where there is none, that is counted.
    fn takes_unsigned(&self) -> bool;
    /// Takes what nobody signed, without waiting.
    fn take_unsigned(&self, record: Record);
}

/// A place for one line; dropped, it is free again.
pub type Place = Box<dyn FnOnce(Record) + Send>;

/// What the result is of a line that counts others.
const LEFT_OUT: &str = "LinesLeftOut";
/// What giving out credentials for an application's own token is called.
pub(crate) const EXCHANGE: &str = "carillon:ExchangeCredentials";

/// One line of the audit log. Every field is always there, so that a query needs no special case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Real time, at the beginning of the request.
    pub time: String,
    /// The request's id, as the client was told; nothing for what the clock starts.
    pub request_id: Option<String>,
    /// Where the request came from.
    pub source_address: Option<IpAddr>,
    /// The access key that the request names. It is proven only where there is a principal.
    pub access_key_id: Option<String>,
    /// Whom the signature proves.
    pub principal: Option<String>,
    /// The user or bot that the request acts as.
    pub bearer: Option<String>,
    /// What was asked for, as policies name it; nothing where there is no such operation.
    pub action: Option<String>,
    /// What it was asked of: ARNs and ids, or lists of them, by the names that the interface has for them.
    pub resources: BTreeMap<String, Value>,
    /// How many of the resources had no room; of a line that counts others, how many lines are missing.
    pub left_out: u64,
    /// `OK`, or the code of the error that was answered.
    pub result: String,
    /// The status of the answer, or the code that closed a socket.
    pub status: u16,
}

/// A place for the line of what is about to be done; nothing where no audit log is kept.
pub struct Line(pub(crate) Option<Place>);

impl Line {
    /// Puts a record there.
    pub fn say(self, record: impl FnOnce() -> Record) {
        if let Some(place) = self.0 {
            place(record());
        }
    }
}

impl Record {
    pub(crate) fn begin(parts: &Parts, request_id: &str, now: Timestamp) -> Self {
        let address = parts.extensions.get::<ClientAddress>().map(|address| address.0);
        Self { request_id: Some(request_id.to_owned()), source_address: address, ..Self::empty(now) }
    }

    fn empty(now: Timestamp) -> Self {
        Self {
            time: now.to_string(),
            request_id: None,
            source_address: None,
            access_key_id: None,
            principal: None,
            bearer: None,
            action: None,
            resources: BTreeMap::new(),
            left_out: 0,
            result: "OK".to_owned(),
            status: 200,
        }
    }

    /// What the clock did of itself, by the name that the original has for it.
    pub fn of_service(event: &'static str, resource: (&str, &str), home: &Home, now: Timestamp) -> Self {
        Self { request_id: None, ..Self::of_root(event, Resources::of([resource]), home, (now, "")) }
    }

    /// What the server did for somebody for whom an application vouches, or somebody at its console, as root.
    pub(crate) fn of_root(
        action: &str,
        resources: Resources,
        home: &Home,
        (now, request_id): (Timestamp, &str),
    ) -> Self {
        Self {
            request_id: Some(request_id.to_owned()),
            principal: Some(format!("arn:aws:iam::{}:root", home.account())),
            action: Some(action.to_owned()),
            resources: resources.named,
            left_out: resources.left_out,
            ..Self::empty(now)
        }
    }

    /// Of an exchange of credentials.
    pub(crate) fn of_exchange(
        (request_id, source_address): (&str, Option<IpAddr>),
        action: &str,
        resources: Resources,
        (now, (result, status)): (Timestamp, (&str, u16)),
    ) -> Self {
        let Resources { named, left_out, .. } = resources;
        let bearer = named.get("AppInstanceUserArn").and_then(|user| user.as_str().map(str::to_owned));
        Self {
            request_id: Some(request_id.to_owned()),
            source_address,
            bearer,
            action: Some(action.to_owned()),
            resources: named,
            left_out,
            result: result.to_owned(),
            status,
            ..Self::empty(now)
        }
    }

    /// Says how many lines are missing here.
    pub fn of_left_out(lines: u64, now: Timestamp) -> Self {
        Self { left_out: lines, result: LEFT_OUT.to_owned(), status: 0, ..Self::empty(now) }
    }
}

#[cfg(test)]
mod tests;
