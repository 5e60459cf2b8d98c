//! The frame: an event as a socket is sent it.

use serde::Serialize;

use super::{Event, EventId, EventMessageType, EventReason, EventType};
use crate::json;
use crate::key::Key;
use crate::timestamp::Timestamp;

/// The member of a channel's payload that says how it is split.
const ELASTIC_MEMBER: &str = "ElasticChannelConfiguration";

impl Event {
    /// The frame that goes to a socket, with what its client resumes from: `told` is the time before which nothing
    /// is left to tell.
    pub fn frame(&self, told: Timestamp) -> String {
        if self.has_more_for_some() {
            self.frame_of(&self.payload_for_all(), told)
        } else {
            self.frame_of(&self.payload, told)
        }
    }

    /// The frame that goes to a socket of this user.
    pub fn frame_for(&self, user: Key, told: Timestamp) -> String {
        if self.audience.names(user) { self.whole_frame(told) } else { self.frame(told) }
    }

    /// The frame for those whom the audience names.
    pub fn whole_frame(&self, told: Timestamp) -> String {
        self.frame_of(&self.payload, told)
    }

    /// Whether those whom the audience names see more than the others.
    pub fn has_more_for_some(&self) -> bool {
        matches!(self.kind, EventType::UpdateChannel | EventType::DeleteChannel)
            && self.payload.contains(ELASTIC_MEMBER)
    }

    /// The payload without what only those see who moderate: a client that sees how a channel is split takes its user
    /// for a moderator.
    fn payload_for_all(&self) -> String {
        let payload = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&self.payload);
        let mut payload = payload.expect("a payload is an object");
        payload.remove(ELASTIC_MEMBER);
        serialize(&payload)
    }

    fn frame_of(&self, payload: &str, told: Timestamp) -> String {
        let id = EventId { told, last: Some((self.channel, self.sequence)) }.to_string();
        frame(self.kind.as_str(), self.message_type, self.reason, Some(&id), Some(payload))
    }
}

/// The first frame of a session: from here on it is told of every event. `id` is what its client resumes from before
/// any other came.
pub fn session_established(id: Option<&str>) -> String {
    frame("SESSION_ESTABLISHED", EventMessageType::System, None, id, None)
}

/// What a session is told whose client asked for what it missed, and cannot be given it.
pub fn reload_required(told: Timestamp) -> String {
    let id = EventId { told, last: None }.to_string();
    frame("RELOAD_REQUIRED", EventMessageType::System, None, Some(&id), None)
}

/// A frame is an object of two members: headers, and the payload as a *string* of JSON.
pub(super) fn frame(
    kind: &str,
    message_type: EventMessageType,
    reason: Option<EventReason>,
    id: Option<&str>,
    payload: Option<&str>,
) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Frame<'a> {
        headers: Headers<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Headers<'a> {
        #[serde(rename = "x-amz-chime-event-type")]
        kind: &'a str,
        #[serde(rename = "x-amz-chime-message-type")]
        message_type: &'a str,
        #[serde(rename = "x-amz-chime-event-reason", skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        #[serde(rename = "x-carillon-event-id", skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    }
    let reason = reason.map(|reason| reason.as_str());
    serialize(&Frame { headers: Headers { kind, message_type: message_type.as_str(), reason, id }, payload })
}

/// JSON.
pub(super) fn serialize(value: &impl Serialize) -> String {
    json::to_string(value).expect("texts, numbers and lists always serialize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_of_a_frame_is_a_string() {
        assert_eq!(
            session_established(None),
            r#"{"Headers":{"x-amz-chime-event-type":"SESSION_ESTABLISHED","x-amz-chime-message-type":"SYSTEM"}}"#
        );
        let text = frame(
            "CREATE_CHANNEL_MESSAGE",
            EventMessageType::Control,
            None,
            None,
            Some(r#"{"Content":"\u0000\"hi\""}"#),
        );
        let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
        let payload: serde_json::Value = serde_json::from_str(frame["Payload"].as_str().unwrap()).unwrap();
        assert_eq!(payload["Content"], "\0\"hi\"");
        assert_eq!(frame["Headers"]["x-amz-chime-message-type"], "CONTROL");
    }
}
