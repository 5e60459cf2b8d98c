//! What the members of a channel are told of read markers. It is no event: it has no number in the channel and is not
//! stored, because a marker moves without the channel's claim. Who was away asks for the markers themselves.

use serde::{Deserialize, Serialize};

use super::EventMessageType;
use super::frame::{frame, serialize};
use super::person::Person;
use crate::arn::ChannelArn;
use crate::identity::Identity;
use crate::key::Key;
use crate::timestamp::Timestamp;

/// Its type, on the wire.
const KIND: &str = "UPDATE_CHANNEL_READ_MARKER";

/// Read markers of an ordinary channel, as its members who are not hidden are told of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadMarkers {
    /// The channel.
    pub channel: Key,
    /// The payload: a JSON object.
    pub payload: String,
}

impl ReadMarkers {
    /// Of these members, up to these times.
    pub fn new<'a>(
        channel: Key,
        arn: &ChannelArn,
        markers: impl IntoIterator<Item = (&'a Identity, Timestamp)>,
    ) -> Self {
        let marker = |(member, read_at): (&'a Identity, Timestamp)| MarkerPayload {
            member: Person::from(member),
            read_marker_timestamp: read_at.to_string(),
        };
        let members = markers.into_iter().map(marker).collect();
        Self { channel, payload: serialize(&Payload { channel_arn: arn.as_str(), members }) }
    }

    /// What a socket is sent. Nothing is resumed from it, so it has no event id.
    pub fn frame(&self) -> String {
        frame(KIND, EventMessageType::System, None, None, Some(&self.payload))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Payload<'a> {
    channel_arn: &'a str,
    members: Vec<MarkerPayload<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MarkerPayload<'a> {
    member: Person<'a>,
    read_marker_timestamp: String,
}
