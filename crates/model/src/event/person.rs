//! What is said of users and bots.

use serde::Serialize;

use super::{Audience, Change, Event, EventMessageType, EventType};
use crate::identity::Identity;
use crate::key::Key;
use crate::timestamp::Timestamp;

impl Event {
    /// A user or a bot who is no more. It happened in no channel: its stream is the user's own, which ends with it.
    pub fn delete_app_instance_user(user: Key, now: Timestamp) -> Self {
        Self {
            channel: user,
            sequence: 1,
            at: now,
            kind: EventType::DeleteAppInstanceUser,
            message_type: EventMessageType::System,
            audience: Audience::default(),
            changes: vec![Change::Gone { user }],
            message: None,
            reason: None,
            payload: "{}".to_owned(),
        }
    }
}

/// Someone whom an event names.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Person<'a> {
    arn: &'a str,
    name: &'a str,
}

impl<'a> From<&'a Identity> for Person<'a> {
    fn from(identity: &'a Identity) -> Self {
        Self { arn: identity.arn.as_str(), name: &identity.name }
    }
}
