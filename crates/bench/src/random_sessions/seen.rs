//! What sessions received, held against what was committed.

use std::collections::HashMap;

use carillon_model::Key;
use carillon_model::event::{Event, EventId, Seats};

use crate::socket::{PING, TEXT};

/// What one session saw.
pub(super) struct Record {
    pub(super) user: Key,
    /// The number of the last event of each channel, once it knew that it was established.
    pub(super) established: HashMap<Key, i64>,
    pub(super) frames: Vec<Frame>,
    /// Whether it was open when all was over, and should have come to the end.
    pub(super) open: bool,
    /// Whether it resumed from where the user's session before it ended, and was not told to reload.
    pub(super) resumed: bool,
}

/// What a session was told of one event.
pub(super) struct Frame {
    /// As the client sends it back.
    pub(super) id: String,
    pub(super) event: EventId,
    pub(super) kind: String,
    pub(super) payload: String,
}

/// The header with what a client resumes from.
pub(super) const ID: &str = "x-carillon-event-id";

pub(super) fn header(frame: &[u8], name: &str) -> String {
    let frame: serde_json::Value = serde_json::from_slice(frame).unwrap();
    frame["Headers"][name].as_str().unwrap().to_owned()
}

/// Keeps a frame; false where the session has ended.
pub(super) fn take(frame: std::io::Result<(u8, Vec<u8>)>, frames: &mut Vec<Frame>) -> bool {
    match frame {
        Ok((TEXT, frame)) => {
            let (id, kind) = (header(&frame, ID), header(&frame, "x-amz-chime-event-type"));
            let frame: serde_json::Value = serde_json::from_slice(&frame).unwrap();
            let payload = frame["Payload"].as_str().unwrap_or_default().to_owned();
            frames.push(Frame { event: id.parse().unwrap(), id, kind, payload });
            true
        }
        Ok((PING, _)) => true,
        _ => false,
    }
}

/// Holds what the sessions of a user, one after the other, received of one channel against the channel's events;
/// answers how many frames that were.
pub(super) fn check(sessions: &[&Record], events: &[Event]) -> usize {
    let Some(channel) = events.first().map(|event| event.channel) else { return 0 };
    let Some(user) = sessions.first().map(|record| record.user) else { return 0 };
    let due = for_user(user, events);
    let (mut count, mut reached) = (0, 0);
    for record in sessions {
        if !record.resumed {
            // The first event that had to come. What was committed just before the session began may come, too: it is
            // told after the commit.
            reached = due.partition_point(|event| event.sequence <= record.established[&channel]);
        }
        let of_channel = |frame: &&Frame| frame.event.last.is_some_and(|(of, _)| of == channel);
        let came: Vec<&Frame> = record.frames.iter().filter(of_channel).collect();
        count += came.len();
        let Some(first) = came.first() else {
            assert!(!record.open || reached == due.len(), "an open session missed all of a channel");
            continue;
        };
        let number = first.event.last.unwrap().1;
        let start = due.partition_point(|event| event.sequence < number);
        assert!(start <= reached, "a session began too late: with {number}, not {}", due[reached].sequence);
        for (place, frame) in came.iter().enumerate() {
            let event = due.get(start + place).expect("what comes was committed");
            let is = (event.sequence, event.kind.as_str(), &event.payload);
            let came = (frame.event.last.unwrap().1, frame.kind.as_str(), &frame.payload);
            assert_eq!(came, is, "a gap, or out of order");
        }
        reached = reached.max(start + came.len());
        assert!(!record.open || reached == due.len(), "an open session did not come to the end");
    }
    count
}

/// The events of a channel that a user is to be told of, as its memberships come and go.
fn for_user(user: Key, events: &[Event]) -> Vec<&Event> {
    let mut seats = Seats::default();
    events.iter().filter(|event| seats.follow(event).contains(&user)).collect()
}
