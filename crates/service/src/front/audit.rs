//! The audit log: who did what, as whom, on which resource, and what came of it. One record for every write and for
//! every refusal; what a read answers is nobody's business.
//!
//! What somebody signed is recorded as it was acted on: from the operation that was decoded, never from what else stood
//! in the request. A place for its line is taken before anything is done, so that no write stands without one. What
//! nobody signed is recorded only as far as there is room for it, in places of its own.
//!
//! A record has ARNs, ids and codes. It never has a name, metadata, content or a token. Where records go is the
//! server's affair.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use carillon_model::Timestamp;
use carillon_model::arn::Home;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, header};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, ErrorCode, Result};
use crate::front::dispatch::ClientAddress;
use crate::front::router::Router;
use crate::front::service::Service;
use crate::operation::{BEARER_HEADER, Effect, Operation};

/// What a request asks for that does not say so by its method and path: an action, and the role that it is for.
type Asked<'a> = Option<(&'a str, Option<&'a str>)>;

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

/// The longest text that a record takes over from a request that somebody signed; the longest ARN of the interface has
/// 1,600 characters.
const TEXT_LENGTH_MAX: usize = 2_048;
/// The most bytes of the resources of one record: three hundred ARNs of this server, where no request may have more
/// than some two hundred. What is beyond is counted.
const RESOURCES_BYTES_MAX: usize = 64 * 1024;
/// The longest text that a record takes over from a request that nobody signed: no ARN of this server is as long.
const UNSIGNED_TEXT_LENGTH_MAX: usize = 512;
/// The longest name of an action; those of IAM and STS are half as long.
const ACTION_LENGTH_MAX: usize = 64;
/// What the record of a creation of IAM or STS takes from the answer: what was made, and what it was made for. No
/// secret is called so.
const MADE: [&str; 3] = ["AccessKeyId", "Arn", "UserName"];
/// The members of structures that are not themselves called after what they name.
const NAMING: [&str; 6] =
    ["MessageId", "CallbackId", "EndpointId", "SubChannelId", "ChannelId", "AppInstanceUserId"];
/// The members of answers that say who could not be added.
const ERRORS: &str = "Errors";
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

/// What a request was asked of, in a bounded room.
#[derive(Debug, Default)]
pub struct Resources {
    named: BTreeMap<String, Value>,
    bytes: usize,
    left_out: u64,
}

impl Resources {
    /// Of these.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut resources = Self::default();
        for (name, text) in pairs {
            resources.note(name, text);
        }
        resources
    }

    /// Notes one resource. What a name was given first stays.
    pub(crate) fn note(&mut self, name: &str, text: &str) {
        if !self.named.contains_key(name) && self.has_room(text) {
            self.named.insert(name.to_owned(), Value::String(text.to_owned()));
        }
    }

    /// Notes one of a list.
    fn note_item(&mut self, name: &str, text: &str) {
        if self.has_room(text) {
            let list = self.named.entry(name.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(Value::String(text.to_owned()));
            }
        }
    }

    /// Notes a member of an operation: a text, a list of texts, or what structures within it name.
    pub(crate) fn note_member(&mut self, name: &str, member: &Value) {
        match member {
            Value::String(text) => self.note(name, text),
            Value::Array(items) => {
                for item in items {
                    match item {
                        Value::String(text) => self.note_item(name, text),
                        within => self.note_within(name, within),
                    }
                }
            }
            within => self.note_within(name, within),
        }
    }

    /// Looks into structures, and lists of them; a text counts only where its own name says so.
    fn note_within(&mut self, path: &str, within: &Value) {
        match within {
            Value::Object(members) => {
                for (name, value) in members {
                    let path = format!("{path}.{name}");
                    match value {
                        Value::String(text) if names_resource(name) => self.note_item(&path, text),
                        within => self.note_within(&path, within),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.note_within(path, item)),
            _ => {}
        }
    }

    /// Notes what an answer says was made or found, and who could not be added.
    fn note_answer(&mut self, answer: &Value) {
        for (name, value) in answer.as_object().into_iter().flatten() {
            match value {
                Value::String(text) if names_resource(name) => self.note(name, text),
                Value::Array(_) if name == ERRORS => self.note_member(name, value),
                _ => {}
            }
        }
    }

    fn has_room(&mut self, text: &str) -> bool {
        let has_room =
            text.len() <= TEXT_LENGTH_MAX && self.bytes.saturating_add(text.len()) <= RESOURCES_BYTES_MAX;
        if has_room {
            self.bytes += text.len();
        } else {
            self.left_out += 1;
        }
        has_room
    }
}

/// Whether a member of the interface says what is acted on: an ARN, or an id. The macro of operations has this rule.
pub(crate) fn names_resource(name: &str) -> bool {
    ["Arn", "ARN"].iter().any(|end| name.ends_with(end)) || NAMING.contains(&name)
}

/// What is noted of an operation while it is decoded and run; nothing where no audit log is kept.
#[derive(Clone, Default)]
pub(crate) struct Notes(Option<Arc<Mutex<Noted>>>);

#[derive(Default)]
struct Noted {
    resources: Resources,
    /// Who acts, as the operation has read it.
    bearer: Option<String>,
    /// Whether there is an operation.
    is_decoded: bool,
}

impl Notes {
    fn with(&self, note: impl FnOnce(&mut Noted)) {
        if let Some(noted) = &self.0 {
            note(&mut noted.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The operation, as it was decoded.
    pub(crate) fn operation<O: Operation>(&self, operation: &O) {
        self.with(|noted| {
            noted.bearer = operation.bearer().map(|bearer| bearer.as_str().to_owned());
            noted.is_decoded = true;
            operation.each_resource(&mut |name, member| noted.resources.note_member(name, &member));
        });
    }

    /// What was answered to a write.
    pub(crate) fn answer(&self, answer: &impl Serialize) {
        self.with(|noted| {
            let answer = serde_json::to_value(answer).unwrap_or_default();
            noted.resources.note_answer(&answer);
        });
    }

    /// What a path names.
    pub(crate) fn labels(&self, labels: &[(String, String)]) {
        self.with(|noted| {
            for (label, text) in labels {
                noted.resources.note(&member_of(label), text);
            }
        });
    }

    /// The ARN that policies are asked about. A transaction may begin again, and what it did last stands.
    pub(crate) fn arn(&self, arn: &str) {
        self.with(|noted| {
            noted.resources.named.remove("Arn");
            noted.resources.note("Arn", arn);
        });
    }

    /// What a form names.
    pub(crate) fn resources<'a>(&self, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        self.with(|noted| pairs.for_each(|(name, text)| noted.resources.note(name, text)));
    }

    /// What an answer of IAM or STS says was made.
    pub(crate) fn made(&self, name: &str, text: &str) {
        if MADE.contains(&name) {
            self.resources([(name, text)].into_iter());
        }
    }
}

/// The line of a request that somebody signed, while the request is answered; nothing where no audit log is kept.
pub(crate) struct Draft {
    record: Option<(Record, Effect)>,
    notes: Notes,
}

impl Draft {
    /// Of nothing.
    pub(crate) fn none() -> Self {
        Self { record: None, notes: Notes::default() }
    }

    /// Of a request that this principal signed.
    pub(crate) fn new(parts: &Parts, request_id: &str, now: Timestamp, principal: Option<String>) -> Self {
        let query = parts.uri.query().and_then(crate::front::dispatch::parse_query).unwrap_or_default();
        let bearer =
            text_header(&parts.headers, BEARER_HEADER).filter(|text| is_plain(text, TEXT_LENGTH_MAX));
        let record = Record {
            access_key_id: access_key_id(&parts.headers, &query),
            principal,
            bearer: bearer.map(str::to_owned),
            ..Record::begin(parts, request_id, now)
        };
        Self { record: Some((record, Effect::Read)), notes: Notes(Some(Arc::default())) }
    }

    /// Where is noted what becomes known.
    pub(crate) fn notes(&self) -> Notes {
        self.notes.clone()
    }

    /// Of what is done as root, without a request.
    pub(crate) fn of_root(record: Record) -> Self {
        Self { record: Some((record, Effect::Write)), notes: Notes(Some(Arc::default())) }
    }

    /// It asks for this action.
    pub(crate) fn asks(&mut self, service: &str, action: &str, effect: Effect) {
        let is_name = (1..=ACTION_LENGTH_MAX).contains(&action.len())
            && action.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if let Some((record, known)) = &mut self.record {
            (record.action, *known) = (is_name.then(|| format!("{service}:{action}")), effect);
        }
    }

    /// It opens a socket for this user.
    pub(crate) fn connects(&mut self, user: &str) {
        if let Some((record, _)) = &mut self.record {
            record.bearer = is_arn(user).then(|| user.to_owned());
        }
        self.notes.resources([("userArn", user)].into_iter().filter(|(_, user)| is_arn(user)));
    }

    /// The record, if what was answered belongs into the log.
    pub(crate) fn close(self, result: &str, status: u16) -> Option<Record> {
        let (mut record, effect) = self.record?;
        if effect == Effect::Read && !matches!(status, 401 | 403) {
            return None;
        }
        self.notes.with(|noted| {
            let Resources { named, left_out, .. } = std::mem::take(&mut noted.resources);
            (record.resources, record.left_out) = (named, left_out);
            if noted.is_decoded {
                record.bearer = noted.bearer.take();
            }
        });
        result.clone_into(&mut record.result);
        record.status = status;
        Some(record)
    }
}

/// A place for the line of what is about to be done; nothing where no audit log is kept.
pub struct Line(Option<Place>);

impl Line {
    /// Puts a record there.
    pub fn say(self, record: impl FnOnce() -> Record) {
        if let Some(place) = self.0 {
            place(record());
        }
    }
}

impl Service {
    /// A place for a line, before what it is about is done. An error says that there was none in time: then nothing may
    /// be done.
    pub async fn line(&self) -> Result<Line> {
        let Some(ledger) = self.ledger() else { return Ok(Line(None)) };
        let unavailable = "The audit log takes no lines at this moment. Try again.";
        let place = ledger.place().await;
        place.map(|place| Line(Some(place))).ok_or(Error::new(ErrorCode::ServiceUnavailable, unavailable))
    }

    /// The same, for a request. A read needs none unless it is refused.
    pub(crate) async fn line_for(&self, effect: Effect) -> Result<Line> {
        if effect == Effect::Read {
            return Ok(Line(None));
        }
        self.line().await.inspect_err(|_| self.missed())
    }

    /// The line of a request that this principal signed.
    pub(crate) fn draft(
        &self,
        parts: &Parts,
        request_id: &str,
        principal: impl FnOnce() -> Option<String>,
    ) -> Draft {
        match self.ledger() {
            Some(_) => Draft::new(parts, request_id, self.surroundings().clock.real(), principal()),
            None => Draft::none(),
        }
    }

    /// The line of what somebody does at the console of the server, as root.
    pub(crate) fn draft_of_root(&self, request_id: &str) -> Draft {
        let now = self.surroundings().clock.real();
        let record = || Record::of_root("", Resources::default(), self.home(), (now, request_id));
        self.ledger().map_or_else(Draft::none, |_| Draft::of_root(record()))
    }

    /// Says what was answered. An error says that there was no place for it, and then the answer may not be given.
    pub(crate) async fn record(&self, line: Line, draft: Draft, result: &str, status: u16) -> Result<()> {
        let Some(record) = draft.close(result, status) else { return Ok(()) };
        let line = if line.0.is_some() { line } else { self.line_for(Effect::Write).await? };
        line.say(|| record);
        Ok(())
    }

    /// Counts a request that nobody is proven to have signed, and records it as far as there is room: what it asked for
    /// is given where that is not the method and the path.
    pub(crate) fn turned_away(
        &self,
        parts: &Parts,
        request_id: &str,
        outcome: (&str, u16),
        asked: Asked<'_>,
    ) {
        self.count_unsigned(|now| {
            Record::of_unsigned(&self.router, parts, request_id, now, (outcome, asked))
        });
    }

    /// Likewise, an exchange of credentials for a token that is worth nothing.
    pub fn exchange_refused(&self, request_id: &str, address: Option<IpAddr>, result: &str, status: u16) {
        self.count_unsigned(|now| {
            let from = (request_id, address);
            Record::of_exchange(from, EXCHANGE, Resources::default(), (now, (result, status)))
        });
    }

    fn count_unsigned(&self, record: impl FnOnce(Timestamp) -> Record) {
        self.turned_away_count().fetch_add(1, Ordering::Relaxed);
        if let Some(ledger) = self.ledger().filter(|ledger| ledger.takes_unsigned()) {
            ledger.take_unsigned(record(self.surroundings().clock.real()));
        }
    }

    fn missed(&self) {
        if let Some(ledger) = self.ledger() {
            ledger.missed();
        }
    }
}

/// What an action of the Query protocol does. What gives out credentials is a write, whatever it is called.
pub(crate) fn effect_of(action: &str) -> Effect {
    let reads = (action.starts_with("Get") && action != "GetSessionToken") || action.starts_with("List");
    if reads { Effect::Read } else { Effect::Write }
}

impl Record {
    fn begin(parts: &Parts, request_id: &str, now: Timestamp) -> Self {
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

    /// Of a request that nobody is proven to have signed. Nothing in it is believed, so little of it is taken over.
    pub(crate) fn of_unsigned(
        router: &Router,
        parts: &Parts,
        request_id: &str,
        now: Timestamp,
        ((result, status), asked): ((&str, u16), Asked<'_>),
    ) -> Self {
        let query = parts.uri.query().and_then(crate::front::dispatch::parse_query).unwrap_or_default();
        let found = router.find(&parts.method, parts.uri.path(), &query);
        let is_short = |text: &&str| is_arn(text) && text.len() <= UNSIGNED_TEXT_LENGTH_MAX;
        let labels = found.iter().flat_map(|found| &found.labels);
        let named = labels.filter(|(_, text)| is_short(&text.as_str()));
        let user = query.iter().find(|(name, _)| name == "userArn" && parts.uri.path() == "/connect");
        let user = user.map(|(_, text)| text.as_str()).filter(is_short);
        let bearer = user.or_else(|| text_header(&parts.headers, BEARER_HEADER).filter(is_short));
        let action = found.as_ref().map(|found| format!("chime:{}", found.route.name));
        let resources = named.map(|(label, text)| (member_of(label), text.clone().into()));
        let (asked, role) = asked.unzip();
        let role = role.flatten().filter(is_short).map(|role| ("RoleArn".to_owned(), role.into()));
        let action = asked.map(str::to_owned).or(action);
        Self {
            access_key_id: access_key_id(&parts.headers, &query),
            bearer: bearer.map(str::to_owned),
            action: action.or_else(|| (parts.uri.path() == "/connect").then(|| "chime:Connect".to_owned())),
            resources: resources
                .chain(user.map(|user| ("userArn".to_owned(), user.into())))
                .chain(role)
                .collect(),
            result: result.to_owned(),
            status,
            ..Self::begin(parts, request_id, now)
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

/// The member that a label of a path is: `channelArn` is `ChannelArn`.
fn member_of(label: &str) -> String {
    let mut letters = label.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// An ARN as far as a log cares.
fn is_arn(text: &str) -> bool {
    text.starts_with("arn:") && is_plain(text, TEXT_LENGTH_MAX)
}

fn is_plain(text: &str, length_max: usize) -> bool {
    text.len() <= length_max && text.bytes().all(|byte| byte.is_ascii_graphic())
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
    use serde_json::{Map, json};

    use crate::constraints::{request, sample};
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

    /// What of a member's value must stand in a record, by the names that it has there.
    fn expected(path: &str, name: &str, value: &Value, found: &mut Vec<(String, String)>) {
        match value {
            Value::String(text) if names_resource(name.trim_end_matches('s')) => {
                found.push((path.to_owned(), text.clone()));
            }
            Value::Array(items) => items.iter().for_each(|item| expected(path, name, item, found)),
            Value::Object(members) => {
                members
                    .iter()
                    .for_each(|(name, value)| expected(&format!("{path}.{name}"), name, value, found));
            }
            _ => {}
        }
    }

    fn has(record: &Record, name: &str, text: &str) -> bool {
        match record.resources.get(name) {
            Some(Value::Array(items)) => items.iter().any(|item| item == text),
            Some(one) => one == text,
            None => false,
        }
    }

    #[test]
    fn every_write_operation_is_recorded_with_all_that_it_names() {
        World::once(|world| {
            let writes = crate::front::route::all().into_iter().filter(|route| route.effect == Effect::Write);
            let (mut count, mut wrong) = (0, Vec::new());
            for route in writes {
                world.take_records();
                let value_of = |member: &carillon_model::shape::Member| {
                    // Two ways to say one thing exclude each other.
                    (member.name != "NextToken").then(|| sample(member.name, &member.shape))
                };
                let (status, answer) = request(world, &route, value_of);
                let records = world.take_records();
                let [record] = &records[..] else { panic!("{}: {status} {answer} {records:?}", route.name) };
                assert_eq!(record.action.as_deref(), Some(&*format!("chime:{}", route.name)));
                assert_eq!((record.status, record.left_out), (status, 0), "{}", route.name);
                let mut all = Vec::new();
                for member in (route.members)() {
                    let value = sample(member.name, &member.shape);
                    if matches!(member.location, carillon_model::shape::Location::Header(_)) {
                        assert_eq!(record.bearer.as_deref(), value.as_str(), "{}", route.name);
                    } else {
                        expected(member.name, member.name, &value, &mut all);
                    }
                }
                count += all.len();
                let names_nothing = all.is_empty() && record.resources.is_empty();
                if names_nothing || all.iter().any(|(name, text)| !has(record, name, text)) {
                    wrong.push(format!("{}: {status} {answer}: {all:?}: {:?}", route.name, record.resources));
                }
            }
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
            assert!(60 < count, "{count}");
        });
    }

    #[engine_test]
    fn what_is_recorded_is_what_was_acted_on(world: &mut World) {
        let ana = world.user("ana");
        let channel = private_channel(world, &ana);
        let other = channel.as_str().replace("/channel/", "/channel/other-");
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        world.take_records();
        let mut body = Map::from_iter([
            ("Content".to_owned(), json!("the content")),
            ("ChannelArn".to_owned(), json!(other)),
            ("MemberArn".to_owned(), json!(other)),
            ("MessageId".to_owned(), json!("another")),
        ]);
        body.extend((0..100).map(|number| (format!("A{number}Arn"), json!(other))));
        for (name, value) in
            [("Type", "STANDARD"), ("Persistence", "PERSISTENT"), ("ClientRequestToken", "once")]
        {
            body.insert(name.to_owned(), json!(value));
        }
        let (path, query) = (
            format!("/channels/{}/messages", encode(channel.as_str())),
            format!("channelArn={}", encode(&other)),
        );
        let headers = [(BEARER_HEADER, ana.as_str().to_owned())];
        let body = serde_json::to_vec(&body).unwrap();
        let (status, sent) = world.raw_with("POST", (&path, &query), &headers, &body);
        assert_eq!(status, 201, "{sent}");
        let records = world.take_records();
        let recorded = json!({ "ChannelArn": channel, "MessageId": sent["MessageId"] });
        assert_eq!(json!(records[0].resources), recorded);
    }

    #[engine_test]
    fn whoever_is_added_in_a_batch_is_recorded_and_whoever_could_not_be(world: &mut World) {
        let ana = world.user("ana");
        let channel = private_channel(world, &ana);
        let mut members: Vec<IdentityArn> =
            (0..99).map(|number| world.user(&format!("member-{number}"))).collect();
        members.push(world.instance().user("nobody"));
        world.take_records();
        let path = format!(
            "/channels/{}/memberships",
            percent_encoding::utf8_percent_encode(channel.as_str(), percent_encoding::NON_ALPHANUMERIC)
        );
        let headers = [(BEARER_HEADER, ana.as_str().to_owned())];
        let body = serde_json::to_vec(&json!({ "MemberArns": members })).unwrap();
        let (status, answer) = world.raw_with("POST", (&path, "operation=batch-create"), &headers, &body);
        assert_eq!(status, 200, "{answer}");
        let records = world.take_records();
        assert_eq!(records[0].resources["MemberArns"], json!(members));
        assert_eq!(records[0].resources["Errors.MemberArn"], json!([members[99]]));
        assert_eq!(records[0].left_out, 0);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let mut resources = Resources::default();
        let arn = "arn:".to_owned() + &"x".repeat(1_020);
        let many: Vec<&String> = std::iter::repeat_n(&arn, 100).collect();
        resources.note_member("MemberArns", &json!(many));
        resources.note("LongArn", &"x".repeat(TEXT_LENGTH_MAX + 1));
        assert_eq!(resources.named["MemberArns"].as_array().unwrap().len(), RESOURCES_BYTES_MAX / 1_024);
        assert_eq!(resources.left_out, 100 - 64 + 1);
    }

    #[test]
    fn of_structures_only_what_they_name_is_taken() {
        let mut resources = Resources::default();
        let message = json!({ "MessageId": "m", "Content": "arn:secret", "MessageAttributes": {
            "FooArn": { "StringValues": ["secret"] } }, "Names": ["secret"] });
        resources.note_member("ChannelMessage", &message);
        assert_eq!(json!(resources.named), json!({ "ChannelMessage.MessageId": ["m"] }));
    }

    #[engine_test]
    fn of_what_nobody_signed_little_is_taken(world: &mut World) {
        let ana = world.user("ana");
        let channel = private_channel(world, &ana);
        let mine = world.sign_with(Credentials { secret: "wrong".to_owned(), ..Credentials::root() });
        world.take_records();
        let long = "arn:".to_owned() + &"x".repeat(20_000);
        for (path, bearer) in [(channel.as_str(), ana.as_str()), (&long, &long), ("arn:\n{}", "arn:x y")] {
            let path = percent_encoding::utf8_percent_encode(path, percent_encoding::NON_ALPHANUMERIC);
            let headers = [(BEARER_HEADER, bearer.to_owned())];
            let target = (&*format!("/channels/{path}"), &*format!("xArn={long}"));
            let (status, _) = world.raw_with("DELETE", target, &headers, b"{}");
            assert_eq!(status, 403);
        }
        world.sign_with(mine);
        let records = world.take_records();
        let named: Vec<Value> =
            records.iter().map(|record| json!([record.bearer, record.resources])).collect();
        let first = json!([ana, { "ChannelArn": channel }]);
        assert_eq!(named, [first, json!([null, {}]), json!([null, {}])]);
        for record in records {
            assert!(serde_json::to_vec(&record).unwrap().len() < 1_500, "{record:?}");
            assert_eq!((record.principal, record.status), (None, 403));
        }
    }
}
