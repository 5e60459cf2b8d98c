//! What is on its way, page by page: events, what is to leave the server, request tokens. All of it is gone through
//! until a pass finds nothing, because a transaction that read the name before may have committed after.

use std::sync::Arc;

use carillon_model::Key;
use carillon_store::erasure::{Erased, OfEvent, OfOutgoing, OfToken, Text};
use carillon_store::{self as store, Lane, Tx};

use super::Subject;
use crate::chat::traces::{Fate, Traces};
use crate::error::Result;
use crate::jobs::{FIRST, Found, Progress, Thing, Turn};

/// Rows that a look reads; some are as large as a message may be.
const LOOK_LEN_MAX: i64 = 200;

/// A pass under way.
#[derive(Clone)]
struct Pass {
    subject: Subject,
    traces: Arc<Traces>,
}

impl Pass {
    fn step(&self, step: impl Fn(&mut Tx, Key) -> Result<()> + Send + Sync + 'static) -> Thing {
        let person = self.subject.of.person;
        Thing::new(Lane::Job, person.uuid(), move |tx, _| {
            step(tx, person)?;
            Ok(Progress::Done)
        })
    }
}

/// Begins a pass.
pub(super) fn find(tx: &mut Tx, turn: &Turn, subject: Subject) -> Result<Found> {
    let Some(arn) = subject.arn() else {
        return Ok(subject.then([subject.step(end)]));
    };
    let new_arn = subject.instance.user(&subject.of.new_id());
    let traces = Arc::new(Traces::new(&subject.of, (arn.as_str(), new_arn.as_str())));
    find_events(tx, turn, Pass { subject, traces }, (FIRST, i64::MIN))
}

fn find_events(tx: &mut Tx, turn: &Turn, pass: Pass, after: OfEvent) -> Result<Found> {
    let page = store::erasure::list_events(tx, after, turn.at_most(LOOK_LEN_MAX))?;
    let Some(last) = page.last().map(|event| event.at) else {
        return find_outgoing(tx, turn, pass, &store::erasure::first_outgoing());
    };
    let changes = page.into_iter().filter_map(|event| {
        let by = pass.traces.event(&event.text, event.since)?;
        Some((event, by))
    });
    let changes: Vec<(Text<OfEvent>, String)> = changes.collect();
    let due = (!changes.is_empty()).then(|| {
        pass.step(move |tx, person| {
            changes
                .iter()
                .try_for_each(|(event, by)| store::erasure::replace_event(tx, event, by).map(drop))?;
            // With those that say something else by now: the next pass looks at them again.
            let events = i64::try_from(changes.len()).unwrap_or(i64::MAX);
            Ok(store::erasure::count(tx, person, Erased { events, ..Erased::default() })?)
        })
    });
    Ok(Found::all(due).then(move |tx, turn| find_events(tx, turn, pass.clone(), last)))
}

fn find_outgoing(tx: &mut Tx, turn: &Turn, pass: Pass, after: &OfOutgoing) -> Result<Found> {
    let page = store::erasure::list_outgoing(tx, after, turn.at_most(LOOK_LEN_MAX))?;
    let Some(last) = page.last().map(|one| one.at.clone()) else {
        return find_tokens(tx, turn, pass, &(FIRST, String::new(), String::new()));
    };
    let changes = page.into_iter().filter_map(|one| {
        let (_, (queue, _)) = &one.at;
        match pass.traces.outgoing(queue, &one.text, one.since) {
            Fate::Stays => None,
            Fate::Becomes(by) => Some((one, Some(by))),
            Fate::Goes => Some((one, None)),
        }
    });
    let changes: Vec<(Text<OfOutgoing>, Option<String>)> = changes.collect();
    let due = (!changes.is_empty()).then(|| {
        pass.step(move |tx, person| {
            for (one, by) in &changes {
                store::erasure::replace_outgoing(tx, one, by.as_deref())?;
            }
            let outgoing = i64::try_from(changes.len()).unwrap_or(i64::MAX);
            Ok(store::erasure::count(tx, person, Erased { outgoing, ..Erased::default() })?)
        })
    });
    Ok(Found::all(due).then(move |tx, turn| find_outgoing(tx, turn, pass.clone(), &last)))
}

fn find_tokens(tx: &mut Tx, turn: &Turn, pass: Pass, after: &OfToken) -> Result<Found> {
    let page = store::erasure::list_tokens(tx, after, turn.at_most(LOOK_LEN_MAX))?;
    let person = pass.subject.of.person;
    let Some(last) = page.last().map(|token| token.at.clone()) else { return find_end(tx, pass) };
    let until = pass.subject.of.begun_at.unwrap_or(pass.subject.of.asked_at);
    let of = |token: &Text<OfToken>| {
        token.at.0 == person || (token.since <= until && pass.traces.names(&token.text))
    };
    let gone: Vec<Text<OfToken>> = page.into_iter().filter(of).collect();
    let due = (!gone.is_empty()).then(|| {
        pass.step(move |tx, person| {
            gone.iter().try_for_each(|token| store::erasure::delete_token(tx, token))?;
            let tokens = i64::try_from(gone.len()).unwrap_or(i64::MAX);
            Ok(store::erasure::count(tx, person, Erased { tokens, ..Erased::default() })?)
        })
    });
    Ok(Found::all(due).then(move |tx, turn| find_tokens(tx, turn, pass.clone(), &last)))
}

/// Ends it, if this pass found nothing; else begins another.
fn find_end(tx: &mut Tx, pass: Pass) -> Result<Found> {
    let before = pass.subject.of.erased;
    let now = store::erasure::find(tx, pass.subject.of.person)?.map(|of| of.erased);
    if now != Some(before) {
        return Ok(pass.subject.then([]));
    }
    let subject = pass.subject;
    Ok(subject.then([subject.step(end)]))
}

fn end(tx: &mut Tx, turn: &Turn, subject: &Subject) -> Result<()> {
    Ok(store::erasure::end(tx, subject.of.person, turn.call.now)?)
}
