//! The line of a request while it is answered, and what is noted for it on the way.

use std::sync::{Arc, Mutex, PoisonError};

use carillon_auth::parse_query;
use carillon_model::Timestamp;
use http::request::Parts;
use http::{HeaderMap, header};
use serde::Serialize;

use super::resources::Resources;
use super::{Record, TEXT_LENGTH_MAX};
use crate::operation::{BEARER_HEADER, Effect, Operation};

/// The longest name of an action; those of IAM and STS are half as long.
const ACTION_LENGTH_MAX: usize = 64;
/// What the record of a creation of IAM or STS takes from the answer: what was made, and what it was made for. No
/// secret is called so.
const MADE: [&str; 3] = ["AccessKeyId", "Arn", "UserName"];

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
        let query = parts.uri.query().and_then(parse_query).unwrap_or_default();
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

/// The member that a label of a path is: `channelArn` is `ChannelArn`.
pub(crate) fn member_of(label: &str) -> String {
    let mut letters = label.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// An ARN as far as a log cares.
pub(crate) fn is_arn(text: &str) -> bool {
    text.starts_with("arn:") && is_plain(text, TEXT_LENGTH_MAX)
}

fn is_plain(text: &str, length_max: usize) -> bool {
    text.len() <= length_max && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(crate) fn text_header(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The access key that a request names in either form of its signature, if it looks like one.
pub(crate) fn access_key_id(headers: &HeaderMap, query: &[(String, String)]) -> Option<String> {
    let in_header = text_header(headers, header::AUTHORIZATION)
        .and_then(|text| text.split_once("Credential=").map(|(_, rest)| rest));
    let in_query = || Some(query.iter().find(|(name, _)| name == "X-Amz-Credential")?.1.as_str());
    let id = in_header.or_else(in_query)?.split('/').next()?;
    let looks_right = (4..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    looks_right.then(|| id.to_owned())
}
