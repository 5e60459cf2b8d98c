//! What is left of somebody in what is on its way: events for those who come late, records, pushes, questions, reports.
//! They say who somebody was in words, where everything else names them by a key.
//!
//! A text is looked at as the JSON that it is, so that an ARN which only begins like theirs is another's.

use carillon_model::Timestamp;
use carillon_store::erasure::{self, Erasure};
use carillon_store::outgoing::STREAM;
use serde_json::{Map, Value};

use super::{bots, operator, push};

/// Whose traces are looked for, and what becomes of them.
pub(crate) struct Traces {
    person: String,
    arn: String,
    /// What stands in the place of the ARN; nothing where it stays.
    new_arn: Option<String>,
    /// Whether what they said goes, too.
    erases_words: bool,
    /// Until when what bears the ARN is theirs: somebody else may have been given the id since.
    until: Timestamp,
    /// The ARNs of channels that keep what they hold.
    held: Vec<String>,
}

/// What becomes of something that is to leave the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes as it is.
    Stays,
    /// It says something else.
    Becomes(String),
    /// It does not go.
    Goes,
}

impl Traces {
    /// The traces of somebody who had this ARN, and is to have another.
    pub(crate) fn new(of: &Erasure, (arn, new_arn): (&str, &str)) -> Self {
        Self {
            person: of.person.to_string(),
            arn: arn.to_owned(),
            new_arn: (!of.keeps_name()).then(|| new_arn.to_owned()),
            erases_words: !of.keeps_messages,
            until: of.begun_at.unwrap_or(of.asked_at),
            held: of.held().into_iter().map(|held| held.channel_arn).collect(),
        }
    }

    /// What an event says afterwards; nothing where it stays.
    pub(crate) fn event(&self, payload: &str, since: Timestamp) -> Option<String> {
        let mut value = self.read(payload)?;
        self.payload(&mut value, since).then(|| value.to_string())
    }

    /// Whether the result of a request names them.
    pub(crate) fn names(&self, text: &str) -> bool {
        text == self.arn || self.read(text).is_some_and(|value| has(&value, &self.arn))
    }

    /// What becomes of something that is to leave the server.
    pub(crate) fn outgoing(&self, queue: &str, body: &str, since: Timestamp) -> Fate {
        match queue.split(' ').next().unwrap_or_default() {
            STREAM => {
                let Some(mut value) = self.read(body) else { return Fate::Stays };
                let is_changed = value.get_mut("Payload").is_some_and(|payload| self.payload(payload, since));
                if is_changed { Fate::Becomes(value.to_string()) } else { Fate::Stays }
            }
            push::QUEUE => {
                let Ok(value) = serde_json::from_str::<Value>(body) else { return Fate::Stays };
                let is_theirs = |value: Option<&Value>| value.and_then(Value::as_str) == Some(&self.person);
                let is_of = is_theirs(value.pointer("/notice/sender")) || is_theirs(value.get("owner"));
                if is_of { Fate::Goes } else { Fate::Stays }
            }
            bots::QUEUE => {
                let sender = self.read(body).and_then(|value| {
                    value.pointer("/asked/Answer/sender").and_then(Value::as_str).map(str::to_owned)
                });
                if sender.as_ref() == Some(&self.arn) && since <= self.until {
                    Fate::Goes
                } else {
                    Fate::Stays
                }
            }
            operator::QUEUE => {
                let Some(mut value) = self.read(body) else { return Fate::Stays };
                let is_changed = self.new_arn.as_ref().is_some_and(|new| replace(&mut value, &self.arn, new));
                if is_changed { Fate::Becomes(value.to_string()) } else { Fate::Stays }
            }
            _ => Fate::Stays,
        }
    }

    /// A text that may name them.
    fn read(&self, text: &str) -> Option<Value> {
        text.contains(&self.arn).then(|| serde_json::from_str(text).ok()).flatten()
    }

    /// Takes the traces out of a payload; true where there were any.
    fn payload(&self, payload: &mut Value, since: Timestamp) -> bool {
        let Some(members) = payload.as_object_mut() else { return false };
        let text = |members: &Map<String, Value>, name: &str| {
            members.get(name).and_then(Value::as_str).map(str::to_owned)
        };
        let is_held = text(members, "ChannelArn").is_some_and(|channel| self.held.contains(&channel));
        let sender = members.get("Sender").and_then(|sender| sender.get("Arn")).and_then(Value::as_str);
        let mut is_changed = false;
        if sender == Some(&self.arn) && since <= self.until && self.erases_words && !is_held {
            for name in ["Content", "Metadata", "MessageAttributes", "ContentType"] {
                is_changed |= members.remove(name).is_some();
            }
            if let Some(status) = members.get_mut("Status").and_then(Value::as_object_mut) {
                is_changed |= status.remove("Detail").is_some();
            }
            if is_changed {
                members.insert("Redacted".to_owned(), true.into());
            }
        }
        let is_named = self.new_arn.as_ref().is_some_and(|new| rename(payload, &self.arn, new));
        is_changed || is_named
    }
}

/// Changes each; true where that changed any.
fn each<'a>(values: impl IntoIterator<Item = &'a mut Value>, change: impl Fn(&mut Value) -> bool) -> bool {
    let mut is_changed = false;
    for value in values {
        is_changed |= change(value);
    }
    is_changed
}

/// Whether a text stands somewhere in this.
fn has(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        Value::Array(items) => items.iter().any(|item| has(item, text)),
        Value::Object(members) => members.values().any(|member| has(member, text)),
        _ => false,
    }
}

/// Replaces a text wherever it stands; true where it did.
fn replace(value: &mut Value, text: &str, by: &str) -> bool {
    match value {
        Value::String(found) if found == text => {
            by.clone_into(found);
            true
        }
        Value::Array(items) => each(items, |item| replace(item, text, by)),
        Value::Object(members) => each(members.values_mut(), |member| replace(member, text, by)),
        _ => false,
    }
}

/// Renames somebody where an event names them: by ARN and name, or as the target of a message. What others wrote, in
/// attributes for example, is theirs.
fn rename(value: &mut Value, arn: &str, new_arn: &str) -> bool {
    match value {
        Value::Array(items) => each(items, |item| rename(item, arn, new_arn)),
        Value::Object(members) => {
            let mut is_named = false;
            for name in ["Arn", "MemberArn"] {
                if members.get(name).and_then(Value::as_str) == Some(arn) {
                    members.insert(name.to_owned(), new_arn.into());
                    if members.contains_key("Name") {
                        members.insert("Name".to_owned(), erasure::NAME.into());
                    }
                    is_named = true;
                }
            }
            each(members.values_mut(), |member| rename(member, arn, new_arn)) || is_named
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use carillon_model::{Key, Timestamp};
    use carillon_store::erasure::{Erased, Stage};
    use serde_json::json;

    use super::*;

    fn traces(keeps_messages: bool, held: &str) -> Traces {
        let of = Erasure {
            person: Key([7; 16]),
            app_instance: Key([1; 16]),
            id: Some("ana".to_owned()),
            keeps_messages,
            asked_at: Timestamp::from_ms(1),
            stage: Stage::Traces,
            begun_at: Some(Timestamp::from_ms(5)),
            held: held.to_owned(),
            ended_at: None,
            erased: Erased::default(),
        };
        Traces::new(&of, ("a/user/ana", "a/user/erased"))
    }

    fn message(sender: &str) -> Value {
        json!({ "ChannelArn": "a/channel/c", "Sender": { "Arn": sender, "Name": "Ana" }, "Content": "said",
                "Status": { "Value": "SENT" }, "Target": [{ "MemberArn": "a/user/ana" }], "Redacted": false,
                "MessageAttributes": { "CHIME.mentions": { "StringValues": ["a/user/ana"] } } })
    }

    fn after(traces: &Traces, payload: &Value, at: i64) -> Option<Value> {
        let after = traces.event(&payload.to_string(), Timestamp::from_ms(at));
        after.map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn what_they_said_goes_and_what_others_said_stays() {
        let own = after(&traces(false, "[]"), &message("a/user/ana"), 5).unwrap();
        assert_eq!(
            own,
            json!({ "ChannelArn": "a/channel/c", "Sender": { "Arn": "a/user/erased", "Name": "Erased user" },
                    "Status": { "Value": "SENT" }, "Target": [{ "MemberArn": "a/user/erased" }], "Redacted": true })
        );
        let others = after(&traces(false, "[]"), &message("a/user/anabel"), 5).unwrap();
        assert_eq!((&others["Content"], &others["Sender"]["Name"]), (&json!("said"), &json!("Ana")));
        assert_eq!(others["MessageAttributes"]["CHIME.mentions"]["StringValues"], json!(["a/user/ana"]));
        assert_eq!(others["Target"], json!([{ "MemberArn": "a/user/erased" }]));
    }

    #[test]
    fn words_stay_that_are_kept_or_held_or_somebody_elses_by_now() {
        for (traces, at) in [(traces(true, "[]"), 5), (traces(false, "[]"), 6)] {
            let kept = after(&traces, &message("a/user/ana"), at).unwrap();
            assert_eq!((&kept["Content"], &kept["Sender"]["Name"]), (&json!("said"), &json!("Erased user")));
        }
        let held = traces(false, r#"[{"channel_arn":"a/channel/c","messages":1}]"#);
        assert_eq!(after(&held, &message("a/user/ana"), 5), None);
        let elsewhere = traces(false, r#"[{"channel_arn":"a/channel/d","messages":1}]"#);
        let erased = after(&elsewhere, &message("a/user/ana"), 5).unwrap();
        assert_eq!((erased.get("Content"), &erased["Sender"]["Name"]), (None, &json!("Ana")));
    }

    #[test]
    fn what_is_to_leave_the_server_says_nothing_of_them() {
        let (traces, at) = (traces(false, "[]"), Timestamp::from_ms(5));
        let record = format!(r#"{{"EventType":"X","Payload":{}}}"#, message("a/user/ana"));
        let Fate::Becomes(after) = traces.outgoing("stream arn", &record, at) else { panic!("it stays") };
        assert!(after.starts_with(r#"{"EventType":"X","Payload":{"#) && !after.contains("said"), "{after}");
        let push = |sender: Key| json!({ "notice": { "sender": sender, "title": "Ana" } }).to_string();
        assert_eq!(traces.outgoing("push", &push(Key([7; 16])), at), Fate::Goes);
        assert_eq!(traces.outgoing("push arn", &push(Key([8; 16])), at), Fate::Stays);
        assert_eq!(
            traces.outgoing("push arn", &json!({ "owner": Key([7; 16]) }).to_string(), at),
            Fate::Goes
        );
        let asked =
            |sender: &str| json!({ "asked": { "Answer": { "sender": sender, "text": "said" } } }).to_string();
        assert_eq!(traces.outgoing("bot arn", &asked("a/user/ana"), at), Fate::Goes);
        assert_eq!(traces.outgoing("bot arn", &asked("a/user/anabel"), at), Fate::Stays);
        let report = json!({ "detail": { "userArns": ["a/user/ana"] } }).to_string();
        let Fate::Becomes(after) = traces.outgoing("event", &report, at) else { panic!("it stays") };
        assert!(after.contains("a/user/erased"), "{after}");
    }
}
