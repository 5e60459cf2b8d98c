//! Erases what is one person's: the user ends, what they said is redacted, and what is under way is gone through.
//! Others are told as of any redaction, so that clients and streams follow.
//!
//! The order of the stages is what makes it whole: who is ended says nothing more, and whoever reads their name from
//! then on reads another; they have left before their id is replaced, so that clients know who it was that left; and
//! only then is everything gone through that holds name and id as text.

mod messages;
mod traces;

use std::sync::Arc;
use std::time::Duration;

use carillon_model::arn::IdentityArn;
use carillon_model::{AppInstanceArn, Key};
use carillon_store::erasure::{Erased, Erasure, HeldChannel, Stage};
use carillon_store::{self as store, Lane, Tx};

use super::{FIRST, Found, Job, Progress, Thing, Turn};
use crate::chat;
use crate::error::Result;

/// How often it is looked for. Whoever asks is another process, and rings no bell.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often a round goes on with one person, stage by stage; what is left waits for the next round.
const STAGES_MAX: u32 = 12;

pub(crate) const JOB: Job =
    Job { name: "erase", every: LOOK_EVERY, woken_by: None, find: |tx, turn| find(tx, turn, (FIRST, 0)) };

/// Where a round is: after which person, and how many stages of the next one it has seen.
type At = (Key, u32);

/// Somebody who is erased.
#[derive(Clone)]
struct Subject {
    of: Arc<Erasure>,
    instance: AppInstanceArn,
    /// Where the round goes on after this stage.
    at: At,
}

impl Subject {
    /// The ARN that they had.
    fn arn(&self) -> Option<IdentityArn> {
        self.of.id.as_ref().map(|id| self.instance.user(id))
    }

    /// The same stage once more, or the next.
    fn again(&self) -> At {
        (self.at.0, self.at.1 + 1)
    }

    /// A step in the lane of the app instance.
    fn step(&self, step: impl Fn(&mut Tx, &Turn, &Self) -> Result<()> + Send + Sync + 'static) -> Thing {
        let subject = self.clone();
        Thing::new(Lane::instance(&self.instance), self.of.person.uuid(), move |tx, turn| {
            step(tx, turn, &subject)?;
            Ok(Progress::Done)
        })
    }

    /// This, and then the next stage.
    fn then(&self, due: impl IntoIterator<Item = Thing>) -> Found {
        let at = self.again();
        Found::all(due).then(move |tx, turn| find(tx, turn, at))
    }

    /// Nothing more of this person in this round.
    fn pass(&self, tx: &mut Tx, turn: &Turn) -> Result<Found> {
        find(tx, turn, (self.of.person, 0))
    }
}

/// Goes on with the next person, or with the next stage of this one.
fn find(tx: &mut Tx, turn: &Turn, at: At) -> Result<Found> {
    let Some(of) = store::erasure::find_open(tx, at.0)? else { return Ok(Found::default()) };
    let instance = turn.home().app_instance(of.app_instance);
    let subject = Subject { of: Arc::new(of), instance, at };
    if STAGES_MAX <= at.1 {
        return subject.pass(tx, turn);
    }
    match subject.of.stage {
        Stage::Asked => find_held(tx, &subject),
        Stage::End => Ok(subject.then([subject.step(end)])),
        Stage::Messages if store::erasure::is_leaving(tx, subject.of.person)? => subject.pass(tx, turn),
        Stage::Messages if subject.of.keeps_messages => Ok(subject.then([subject.step(replace_id)])),
        Stage::Messages => messages::find(tx, turn, subject, messages::At::default()),
        // What is being destroyed says what it said until it is.
        Stage::Traces if store::erasure::is_destroying(tx, subject.of.app_instance)? => {
            subject.pass(tx, turn)
        }
        Stage::Traces => traces::find(tx, turn, subject),
        Stage::Done => subject.pass(tx, turn),
    }
}

/// Finds out which channels keep what they said there.
fn find_held(tx: &mut Tx, subject: &Subject) -> Result<Found> {
    let mut held = Vec::new();
    for channel_arn in store::erasure::list_held(tx, &subject.instance)? {
        let messages = messages::count(tx, &channel_arn, subject.of.person)?;
        if 0 < messages {
            held.push(HeldChannel { channel_arn, messages });
        }
    }
    Ok(subject.then([subject.step(move |tx, _, subject| {
        store::erasure::set_held(tx, subject.of.person, &held)?;
        Ok(store::erasure::set_stage(tx, subject.of.person, Stage::End)?)
    })]))
}

/// Ends the user, who may have ended before.
fn end(tx: &mut Tx, turn: &Turn, subject: &Subject) -> Result<()> {
    let person = subject.of.person;
    let endpoints = store::endpoint::count(tx, person)?;
    let found = subject.arn().map(|arn| store::identity::find(tx, &arn)).transpose()?.flatten();
    // Another may have been given the id.
    if let Some(found) = found.filter(|found| found.identity.key == person) {
        chat::person::delete(tx, &found, turn.call.now)?;
    }
    store::endpoint::delete_all(tx, person)?;
    store::erasure::count(tx, person, Erased { endpoints, ..Erased::default() })?;
    Ok(store::erasure::begin(tx, &subject.of, turn.call.now)?)
}

fn replace_id(tx: &mut Tx, _: &Turn, subject: &Subject) -> Result<()> {
    Ok(store::erasure::replace_id(tx, &subject.of)?)
}

#[cfg(test)]
mod tests;
