//! The promises, held against a history: what those saw who stand outside, and what the store holds in the end. Who
//! belonged when is followed here by what events say to people, and not by what the server makes of it.

mod sockets;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use carillon_model::event::{Event, EventType};
use carillon_model::{Key, MessageKey};
use serde_json::Value;

use crate::ending::Stored;
use crate::history::{History, Op};
use crate::request::Asked;
use crate::scene::{CHANNELS, MEMBERS, Scene, WITH_FLOW};
use crate::socket::Socket;
use crate::world::World;

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) promise: &'static str,
    pub(crate) words: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.words)
    }
}

fn broken(promise: &'static str, words: impl Into<String>) -> Result<(), Violation> {
    Err(Violation { promise, words: words.into() })
}

/// An event of a channel, and who belonged before and after it.
pub(crate) struct Fact {
    pub(crate) event: Event,
    pub(crate) payload: Value,
    /// In which step it was committed; none of those of the scene.
    pub(crate) committed: Option<usize>,
    pub(crate) before: BTreeSet<usize>,
    pub(crate) after: BTreeSet<usize>,
}

impl Fact {
    /// Whether all members are told.
    fn is_for_members(&self) -> bool {
        matches!(
            self.event.kind,
            EventType::CreateChannelMessage
                | EventType::UpdateChannelMessage
                | EventType::RedactChannelMessage
                | EventType::DeleteChannelMessage
        )
    }

    /// Who sent the message that it is about.
    fn sender(&self) -> Option<&str> {
        self.payload["Sender"]["Arn"].as_str()
    }
}

/// What is known in the end.
struct Known<'a> {
    scene: &'a Scene,
    history: &'a History,
    stored: &'a Stored,
    /// By channel.
    facts: Vec<Vec<Fact>>,
}

/// Holds all promises against a history.
pub(crate) fn check(world: &World, stored: &Stored) -> Result<(), Violation> {
    let (scene, history) = (&world.scene, &world.history);
    let commits = crate::ground::lock(&world.ground.commits).clone();
    let committed: BTreeMap<(Key, i64), usize> =
        commits.into_iter().map(|(channel, number, step)| ((channel, number), step)).collect();
    let facts = (0..CHANNELS).map(|channel| facts(scene, &stored.events[channel], &committed)).collect();
    let known = Known { scene, history, stored, facts };
    for op in &history.ops {
        known.check_durable(op)?;
        known.check_role(op)?;
    }
    known.check_tokens()?;
    known.check_status()?;
    if let Some(id) = stored.pending.first() {
        return broken("a status never stays PENDING", format!("{id} does after two days"));
    }
    known.check_sockets()?;
    known.check_stream(&crate::ground::lock(&world.ground.stream).records)
}

/// The events of a channel, each with who belonged then.
fn facts(scene: &Scene, events: &[Event], committed: &BTreeMap<(Key, i64), usize>) -> Vec<Fact> {
    // The moderator made the channel, which no event says.
    let mut members = BTreeSet::from([0]);
    let mut facts = Vec::new();
    for event in events {
        let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
        let before = members.clone();
        let whom = payload["Member"]["Arn"].as_str().and_then(|arn| scene.user_of(arn));
        match (event.kind, whom) {
            (EventType::CreateChannelMembership, Some(user)) => {
                members.insert(user);
            }
            (EventType::DeleteChannelMembership, Some(user)) => {
                members.remove(&user);
            }
            _ => {}
        }
        let committed = committed.get(&(event.channel, event.sequence)).copied();
        facts.push(Fact { event: event.clone(), payload, committed, before, after: members.clone() });
    }
    facts
}

impl Known<'_> {
    /// Whether somebody belonged to a channel at some time between two steps.
    fn belonged(&self, channel: usize, user: usize, from: usize, to: usize) -> bool {
        let facts = &self.facts[channel];
        // All that was committed before the first step, and what came up to the last.
        let is_before = |fact: &&Fact| fact.committed.is_none_or(|step| step < from);
        let latest = facts.iter().rfind(is_before);
        let amid = facts.iter().filter(|fact| fact.committed.is_some_and(|step| from <= step && step <= to));
        let at_first = latest.map_or(user < MEMBERS, |fact| fact.after.contains(&user));
        at_first || amid.into_iter().any(|fact| fact.before.contains(&user) || fact.after.contains(&user))
    }

    /// Acknowledged is durable.
    fn check_durable(&self, op: &Op) -> Result<(), Violation> {
        const PROMISE: &str = "acknowledged is durable";
        let Some((step, body)) = op.done() else { return Ok(()) };
        let id = body["MessageId"].as_str().unwrap_or_default();
        match &op.asked {
            Asked::Send { channel, .. } => {
                let number = MessageKey::from_hex(id).map(|key| key.sequence());
                let mut facts = self.facts[*channel].iter();
                let is_it = |fact: &Fact| {
                    Some(fact.event.sequence) == number && fact.payload["MessageId"].as_str() == Some(id)
                };
                // What a flow has denied or failed is in the flow alone.
                let is_there = *channel == WITH_FLOW || matches!(self.stored.messages.get(id), Some(Some(_)));
                if !(is_there && facts.any(is_it)) {
                    return broken(PROMISE, format!("the message {id} of {op:?} is gone"));
                }
            }
            Asked::Redact { message, .. } | Asked::Update { message, .. } => {
                let found = self.stored.messages.get(message).and_then(Option::as_ref);
                let is_redact = matches!(op.asked, Asked::Redact { .. });
                let stands = found.is_some_and(|one| {
                    if is_redact { one.redacted } else { one.edited_at.is_some() || one.redacted }
                });
                if !stands {
                    return broken(PROMISE, format!("{op:?} has no effect"));
                }
            }
            Asked::Join { channel, member } | Asked::Leave { channel, member } => {
                let is_join = matches!(op.asked, Asked::Join { .. });
                let changed = |fact: &Fact| {
                    let amid = fact.committed.is_some_and(|at| op.begun <= at && at <= step);
                    amid && fact.after.contains(member) == is_join && fact.before.contains(member) != is_join
                };
                if !self.facts[*channel].iter().any(changed) {
                    return broken(PROMISE, format!("{op:?} has no effect"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Nobody reads or sends whom their role does not admit at that moment.
    fn check_role(&self, op: &Op) -> Result<(), Violation> {
        const PROMISE: &str = "nobody does what their role does not admit";
        let Some((step, body)) = op.done() else { return Ok(()) };
        match &op.asked {
            Asked::List { channel } if !self.belonged(*channel, op.by, op.begun, step) => {
                return broken(PROMISE, format!("{op:?} was read to somebody who does not belong"));
            }
            Asked::Send { channel, .. } => {
                let key = body["MessageId"].as_str().and_then(MessageKey::from_hex);
                let number = key.map(|key| key.sequence());
                let fact = self.facts[*channel].iter().find(|fact| Some(fact.event.sequence) == number);
                let is_own = |fact: &Fact| {
                    fact.before.contains(&op.by) && fact.sender() == Some(self.scene.user(op.by).as_str())
                };
                if let Some(fact) = fact.filter(|fact| !is_own(fact)) {
                    return broken(PROMISE, format!("{op:?} was sent, by {:?}", fact.sender()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// One message a token.
    fn check_tokens(&self) -> Result<(), Violation> {
        const PROMISE: &str = "one message a token";
        let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for fact in self.facts.iter().flatten() {
            let is_new = matches!(
                fact.event.kind,
                EventType::CreateChannelMessage | EventType::PendingCreateChannelMessage
            );
            if let (true, Some(content), Some(id)) =
                (is_new, fact.payload["Content"].as_str(), fact.payload["MessageId"].as_str())
            {
                ids.entry(content).or_default().insert(id);
            }
        }
        // What a message says names the request that it was said by.
        match ids.iter().find(|(_, ids)| 1 < ids.len()) {
            Some((content, ids)) => broken(PROMISE, format!("{content:?} was sent as {ids:?}")),
            None => Ok(()),
        }
    }

    /// A status never goes back.
    fn check_status(&self) -> Result<(), Violation> {
        let mut seen: BTreeMap<&str, Vec<(usize, usize, &str)>> = BTreeMap::new();
        for op in &self.history.ops {
            let Some((step, body)) = op.done() else { continue };
            let id = match &op.asked {
                Asked::Send { .. } => body["MessageId"].as_str().unwrap_or_default(),
                Asked::Status { message, .. } => message.as_str(),
                _ => continue,
            };
            if let Some(status) = body["Status"]["Value"].as_str() {
                seen.entry(id).or_default().push((op.begun, step, status));
            }
        }
        for (id, seen) in seen {
            for (begun, _, later) in &seen {
                let before = seen
                    .iter()
                    .find(|(_, end, earlier)| end < begun && *earlier != "PENDING" && earlier != later);
                if let Some((.., earlier)) = before {
                    return broken("a status never goes back", format!("{id} was {earlier}, then {later}"));
                }
            }
        }
        Ok(())
    }

    fn sockets(&self) -> impl Iterator<Item = (usize, &Vec<Socket>)> {
        self.history.sockets.iter().enumerate()
    }
}
