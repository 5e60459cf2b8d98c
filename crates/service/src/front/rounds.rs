//! A round of a job: the one loop over all that it finds, for the server and for tests alike.
//!
//! Of several nodes that share a store one has the job's lease; each step replaces what the round knows of it, in its
//! own transaction, so a node that was stopped and replaced meanwhile can do nothing more. [`LeaseWatch`] tells which
//! leases do not move: their nodes are gone, and others take their rounds up. What cannot be done about one thing is
//! said and counted, and keeps no other waiting: it is tried again in the next round.

use std::collections::BTreeMap;
use std::time::Duration;

use carillon_model::Key;
use carillon_store::lease::Held;
use carillon_store::{self as store, Lane, Tx};

use crate::error::{Error, ErrorCode, Result};
use crate::front::audit::Record;
use crate::front::service::Service;
use crate::jobs::{self, Find, Job, Progress, Thing, Turn};

/// How long a lease does not move before its node counts as gone: longer than any step, or any look, may take.
pub(crate) const LEASE_TIMEOUT: Duration = Duration::from_secs(10);

/// Who runs a round.
pub struct Runner<'a> {
    /// The node, as the owner of leases.
    pub node: Key,
    /// Rows that a look or a step may handle, where the job itself allows more.
    pub rows_max: i64,
    /// Whether the round must end before its next look or step.
    pub stopped: &'a (dyn Fn() -> bool + Sync),
    /// The lease of a node that is gone, whose round this one takes up.
    pub taken_up: Option<Held>,
}

/// How a round went.
#[derive(Debug)]
pub struct Outcome {
    /// Rows that could not be read, and steps that failed.
    pub failed: u64,
    /// Whether it came to its end; what cut it short, where it was the store.
    pub end: Result<End>,
}

/// How a round ended that nothing cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing is left to do.
    All,
    /// It was told to stop, or the audit log takes no lines.
    Stopped,
    /// Another node has the lease.
    Elsewhere,
}

impl Service {
    /// Drives a round of a job.
    pub async fn round(&self, job: &Job, runner: &Runner<'_>) -> Outcome {
        let mut round = Round { service: self, job, runner, known: runner.taken_up, failed: 0 };
        let mut end = round.run().await;
        if end.is_ok() && round.known.is_some() {
            end = round.release().await.and(end);
        }
        Outcome { failed: round.failed, end }
    }

    fn turn(&self, job: &Job, runner: &Runner<'_>) -> Turn {
        Turn { call: self.job(job.name), rows_max: runner.rows_max }
    }
}

struct Round<'a> {
    service: &'a Service,
    job: &'a Job,
    runner: &'a Runner<'a>,
    /// The lease, as this round wrote it last.
    known: Option<Held>,
    failed: u64,
}

impl Round<'_> {
    async fn run(&mut self) -> Result<End> {
        let mut next: Option<Find> = Some(Box::new(self.job.find));
        while let Some(find) = next {
            if (self.runner.stopped)() {
                return Ok(End::Stopped);
            }
            let turn = self.service.turn(self.job, self.runner);
            let found = self.service.store().read(move |tx| find(tx, &turn)).await?;
            self.failed += found.unreadable;
            next = found.next;
            // One step of each in turn: a large one does not keep the others waiting.
            let mut due = found.due;
            while !due.is_empty() {
                let mut left = Vec::new();
                for thing in due {
                    match self.step(&thing).await? {
                        Err(end) => return Ok(end),
                        Ok(Progress::More) => left.push(thing),
                        Ok(Progress::Done | Progress::Passed) => {}
                    }
                }
                due = left;
            }
        }
        Ok(End::All)
    }

    /// One step, or how the round must end. Where it ends something, the line of the audit log has its place before.
    async fn step(&mut self, thing: &Thing) -> Result<std::result::Result<Progress, End>> {
        if (self.runner.stopped)() {
            return Ok(Err(End::Stopped));
        }
        let line = match thing.said_as {
            Some(names) => match self.service.line().await {
                Ok(line) => Some((line, names)),
                Err(_) => return Ok(Err(End::Stopped)),
            },
            None => None,
        };
        let stepped = self.write(thing).await;
        if let (Ok(Some((Progress::Done, _))), Some((line, (event, member)))) = (&stepped, line) {
            let (home, now) = (self.service.home(), self.service.surroundings().clock.real());
            line.say(|| Record::of_service(event, (member, &thing.name), home, now));
        }
        match stepped {
            Err(error) if error.code != ErrorCode::ServiceUnavailable => {
                let (cause, what) = (error.source.as_ref().map(ToString::to_string), &thing.name);
                tracing::error!(job = self.job.name, what, %error, cause, "a job left something out");
                self.failed += 1;
                Ok(Ok(Progress::Passed))
            }
            Err(error) => Err(error),
            Ok(None) => {
                self.known = None;
                Ok(Err(End::Elsewhere))
            }
            Ok(Some((progress, kept))) => {
                self.known = Some(kept);
                Ok(Ok(progress))
            }
        }
    }

    /// Steps, if this round has the lease, and tells how it kept it.
    async fn write(&self, thing: &Thing) -> Result<Option<(Progress, Held)>> {
        let (turn, step) = (self.service.turn(self.job, self.runner), thing.step.clone());
        let (job, node, known) = (self.job.name, self.runner.node, self.known);
        let held = move |tx: &mut Tx| match store::lease::keep(tx, job, node, known, turn.call.now)? {
            Some(kept) => Ok(Some((step(tx, &turn)?, kept))),
            None => Ok(None),
        };
        self.service.store().write(thing.lane.clone(), held).await
    }

    /// Gives the lease back, also one that was taken up where nothing was left to do.
    async fn release(&self) -> Result<()> {
        let (job, node, known) = (self.job.name, self.runner.node, self.known);
        let now = self.service.surroundings().clock.now();
        let release = move |tx: &mut Tx| {
            if store::lease::keep(tx, job, node, known, now)?.is_some() {
                store::lease::release(tx, job, node)?;
            }
            Ok::<_, Error>(())
        };
        self.service.store().write(Lane::Job, release).await
    }
}

/// Watches leases, by this node's own clock.
#[derive(Default)]
pub struct LeaseWatch {
    /// By name: how a lease was when it moved last, and when that was seen.
    seen: BTreeMap<String, (Held, Duration)>,
}

/// A lease that somebody has.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) held: Held,
    /// Whether it has not moved for so long that its owner is gone, if owners of such leases move them. It is said
    /// once, and again after as long.
    pub(crate) is_gone: bool,
}

impl LeaseWatch {
    /// Looks once; answers the jobs whose nodes are gone, with the leases that they left.
    pub async fn look(&mut self, service: &Service, node: Key) -> Result<Vec<(&'static Job, Held)>> {
        let seen = self.see(service).await?;
        let left = seen.into_iter().filter(|one| one.is_gone && one.held.owner != node);
        let job = |one: Seen| Some((jobs::ALL.iter().find(|job| job.name == one.name)?, one.held));
        Ok(left.filter_map(job).collect())
    }

    /// Looks once, at all leases.
    pub(crate) async fn see(&mut self, service: &Service) -> Result<Vec<Seen>> {
        let leases = service.store().read(|tx: &mut Tx| Ok::<_, Error>(store::lease::list(tx)?)).await?;
        let (now, before) = (service.surroundings().clock.steady(), std::mem::take(&mut self.seen));
        let see = |(name, held): (String, Held)| {
            let last = before.get(&name).filter(|(last, _)| *last == held);
            let since = last.map_or(now, |(_, since)| *since);
            let is_gone = LEASE_TIMEOUT <= now.saturating_sub(since);
            if !is_gone {
                self.seen.insert(name.clone(), (held, since));
            }
            Seen { name, held, is_gone }
        };
        Ok(leases.into_iter().map(see).collect())
    }
}
