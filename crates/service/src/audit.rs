//! The audit log: who did what, as whom, on which resource, and what came of it. One record for every write and for
//! every refusal; what a read answers is nobody's business.
//!
//! A record has ARNs, ids and codes. It never has a name, metadata, content or a token: only the members of
//! requests and answers whose names end in `Arn`, and ids, are looked at. Where records go is the server's affair.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use carillon_model::Timestamp;
use carillon_model::arn::Home;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, header};
use serde::Serialize;
use serde_json::Value;

use crate::dispatch::ClientAddress;
use crate::operation::{BEARER_HEADER, Effect};
use crate::router::Router;

/// Takes records, in time or not at all: whoever calls waits until there is room.
pub type Ledger = Arc<dyn Fn(Record) -> BoxFuture<'static, ()> + Send + Sync>;

/// The longest text of a request that a record takes over; the longest ARN of the interface has 1,600 characters.
const TEXT_LENGTH_MAX: usize = 2_048;
/// The most resources of one record: none of the interface's requests or answers has as many members.
const RESOURCES_MAX: usize = 32;

/// The longest name of an action; those of IAM and STS are half as long.
const ACTION_LENGTH_MAX: usize = 64;

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
    /// What it was asked of: ARNs and ids, by the names that the interface has for them.
    pub resources: BTreeMap<String, String>,
    /// `OK`, or the code of the error that was answered.
    pub result: String,
    /// The status of the answer, or the code that closed a socket.
    pub status: u16,
}

/// A record that is being written, while its request is answered; nothing where no audit log is kept.
pub(crate) struct Draft(Option<(Record, Effect)>);

impl Draft {
    /// Of a request, as its head came.
    pub(crate) fn of_request(router: &Router, parts: &Parts, request_id: &str, now: Timestamp) -> Self {
        let query = parts.uri.query().and_then(crate::dispatch::parse_query).unwrap_or_default();
        let found = router.find(&parts.method, parts.uri.path(), &query);
        let mut record = Record {
            time: now.to_string(),
            request_id: Some(request_id.to_owned()),
            source_address: parts.extensions.get::<ClientAddress>().map(|address| address.0),
            access_key_id: access_key_id(&parts.headers, &query),
            principal: None,
            bearer: text_header(&parts.headers, BEARER_HEADER).filter(|text| is_arn(text)).map(str::to_owned),
            action: found.as_ref().map(|found| format!("chime:{}", found.route.name)),
            resources: BTreeMap::new(),
            result: String::new(),
            status: 0,
        };
        let effect = found.as_ref().map_or(Effect::Read, |found| found.route.effect);
        let labels = found.map(|found| found.labels).unwrap_or_default();
        record.note(labels.iter().chain(&query).map(|(name, value)| (name.as_str(), value.as_str())));
        Self(Some((record, effect)))
    }

    /// Its body, once the signature was accepted: no stranger has JSON parsed.
    pub(crate) fn read(&mut self, body: &[u8]) {
        if let Some((record, _)) = &mut self.0 {
            record.note_members(body);
        }
    }

    /// Of nothing.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Of the opening of a socket, which counts as a write.
    pub(crate) fn of_socket(router: &Router, parts: &Parts, request_id: &str, now: Timestamp) -> Self {
        let Self(draft) = Self::of_request(router, parts, request_id, now);
        Self(draft.map(|(record, _)| {
            let bearer = record.resources.get("userArn").cloned();
            (Record { action: Some("chime:Connect".to_owned()), bearer, ..record }, Effect::Write)
        }))
    }

    /// It is a request of the Query protocol. What gives out credentials is a write, whatever it is called.
    pub(crate) fn asks_for<'a>(
        &mut self,
        service: &str,
        action: &str,
        resources: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        let Some((record, effect)) = &mut self.0 else { return };
        let reads = (action.starts_with("Get") && action != "GetSessionToken") || action.starts_with("List");
        *effect = if reads { Effect::Read } else { Effect::Write };
        let is_name =
            action.len() <= ACTION_LENGTH_MAX && action.bytes().all(|byte| byte.is_ascii_alphanumeric());
        record.action = is_name.then(|| format!("{service}:{action}"));
        for (name, value) in resources.filter(|(_, value)| is_plain(value)).take(RESOURCES_MAX) {
            record.resources.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The signature was accepted.
    pub(crate) fn signed_by(&mut self, principal: impl FnOnce() -> String) {
        if let Some((record, _)) = &mut self.0 {
            record.principal = Some(principal());
        }
    }

    /// The record, if what was answered belongs into the log; `body` is the answer to a write that was done.
    pub(crate) fn close(self, result: &str, status: u16, body: &[u8]) -> Option<Record> {
        let (mut record, effect) = self.0?;
        let is_done = (200..300).contains(&status);
        let is_refused = matches!(status, 401 | 403);
        if effect == Effect::Read && !is_refused {
            return None;
        }
        if is_done {
            record.note_members(body);
        }
        result.clone_into(&mut record.result);
        record.status = status;
        Some(record)
    }
}

impl Record {
    /// What the clock did of itself, by the name that the original has for it.
    pub fn of_service(event: &'static str, resource: (&str, &str), home: &Home, now: Timestamp) -> Self {
        let (name, arn) = resource;
        Self {
            time: now.to_string(),
            request_id: None,
            source_address: None,
            access_key_id: None,
            principal: Some(format!("arn:aws:iam::{}:root", home.account())),
            bearer: None,
            action: Some(event.to_owned()),
            resources: BTreeMap::from([(name.to_owned(), arn.to_owned())]),
            result: "OK".to_owned(),
            status: 200,
        }
    }

    fn note<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (name, value) in pairs {
            let is_id =
                matches!(name, "messageId" | "MessageId" | "CallbackId" | "endpointId" | "EndpointId");
            // A query names its parameters in small letters, `app-instance-arn`.
            let is_resource = name.to_ascii_lowercase().ends_with("arn") && is_arn(value);
            let is_short = is_id && is_plain(value);
            if (is_resource || is_short) && self.resources.len() < RESOURCES_MAX {
                self.resources.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Takes over what the members of a JSON object name.
    fn note_members(&mut self, body: &[u8]) {
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return };
        self.note(members.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))));
    }
}

/// An ARN as far as a log cares: nothing in it may break out of its place.
fn is_arn(text: &str) -> bool {
    text.starts_with("arn:") && is_plain(text)
}

fn is_plain(text: &str) -> bool {
    text.len() <= TEXT_LENGTH_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn text_header(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The access key that a request names in either form of its signature, if it looks like one.
fn access_key_id(headers: &HeaderMap, query: &[(String, String)]) -> Option<String> {
    let in_header = text_header(headers, header::AUTHORIZATION)
        .and_then(|text| text.split_once("Credential=").map(|(_, rest)| rest));
    let in_query = || Some(query.iter().find(|(name, _)| name == "X-Amz-Credential")?.1.as_str());
    let id = in_header.or_else(in_query)?.split('/').next()?;
    let looks_right = (4..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    looks_right.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use carillon_model::text::{ChannelMode, ChannelPrivacy};
    use carillon_model::{ChannelArn, IdentityArn};

    use super::*;
    use crate::operations::messaging::describe_channel::DescribeChannel;
    use crate::testing::*;

    fn describe(channel: &ChannelArn, who: &IdentityArn) -> DescribeChannel {
        DescribeChannel { channel_arn: channel.clone(), chime_bearer: who.clone() }
    }

    fn private_channel(world: &mut World, who: &IdentityArn) -> ChannelArn {
        world.channel_of(who, ChannelMode::Restricted, ChannelPrivacy::Private)
    }

    #[engine_test]
    fn every_write_is_recorded_and_no_read(world: &mut World) {
        let ana = world.user("ana");
        let channel = private_channel(world, &ana);
        world.take_records();
        let sent = world.call(&message_request(&channel, &ana, "the content")).unwrap();
        let message_id = serde_json::to_value(&sent).unwrap()["MessageId"].as_str().unwrap().to_owned();
        world.call(&describe(&channel, &ana)).unwrap();
        let records = world.take_records();
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!(record.action.as_deref(), Some("chime:SendChannelMessage"));
        assert_eq!((record.result.as_str(), record.status), ("OK", 201));
        assert_eq!(record.bearer.as_deref(), Some(ana.as_str()));
        assert_eq!(record.access_key_id.as_deref(), Some("ROOT"));
        assert!(record.principal.as_deref().unwrap().ends_with(":root"));
        assert_eq!(record.resources["ChannelArn"], channel.as_str());
        assert_eq!(record.resources["MessageId"], message_id);
        assert!(!serde_json::to_string(record).unwrap().contains("the content"));
    }

    #[engine_test]
    fn every_refusal_is_recorded(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = private_channel(world, &ana);
        world.take_records();
        world.call(&describe(&channel, &bob)).unwrap_err();
        world.call(&message_request(&channel, &bob, "the content")).unwrap_err();
        let records = world.take_records();
        let told: Vec<_> = records
            .iter()
            .map(|record| (record.action.as_deref().unwrap(), record.result.as_str(), record.status))
            .collect();
        let expected =
            [("chime:DescribeChannel", "Forbidden", 403), ("chime:SendChannelMessage", "Forbidden", 403)];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_a_stranger_writes_cannot_break_a_line() {
        let mut record = Record::of_service("ExpireChannel", ("channelArn", "arn:a"), &World::home(), START);
        record.note([("x-arn", "arn:\n{}"), ("MessageId", "a b"), ("Content", "arn:secret"), ("Name", "n")]);
        record.note_members(br#"{"Metadata": "m", "MemberArns": ["arn:x"], "ChannelArn": "arn:c"}"#);
        let names: Vec<&String> = record.resources.keys().collect();
        assert_eq!(names, ["ChannelArn", "channelArn"]);
        let long = format!("arn:{}", "x".repeat(TEXT_LENGTH_MAX));
        record.note([("LongArn", long.as_str())]);
        assert_eq!(record.resources.len(), 2);
    }
}
