//! What a request was asked of: ARNs and ids, in a bounded room.

use std::collections::BTreeMap;

use serde_json::Value;

use super::TEXT_LENGTH_MAX;

/// The most bytes of the resources of one record: three hundred ARNs of this server, where no request may have more
/// than some two hundred. What is beyond is counted.
pub(super) const RESOURCES_BYTES_MAX: usize = 64 * 1024;
/// The members of structures that are not themselves called after what they name.
const NAMING: [&str; 6] =
    ["MessageId", "CallbackId", "EndpointId", "SubChannelId", "ChannelId", "AppInstanceUserId"];
/// The members of answers that say who could not be added.
const ERRORS: &str = "Errors";

/// What a request was asked of, in a bounded room.
#[derive(Debug, Default)]
pub struct Resources {
    pub(super) named: BTreeMap<String, Value>,
    bytes: usize,
    pub(super) left_out: u64,
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
    pub(super) fn note_answer(&mut self, answer: &Value) {
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
pub(super) fn names_resource(name: &str) -> bool {
    ["Arn", "ARN"].iter().any(|end| name.ends_with(end)) || NAMING.contains(&name)
}
