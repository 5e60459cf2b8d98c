//! Jobs in steps so small that each needs several.

use std::sync::atomic::{AtomicU64, Ordering};

use carillon_model::{IdentityArn, Key, Timestamp};
use carillon_store::erasure::Erasure;
use carillon_store::lease::Held;
use carillon_store::{self as store, Lane};

use super::{World, futures};
use crate::Service;
use crate::front::rounds::{End, LeaseWatch, Outcome, Runner};
use crate::jobs::*;

/// Rows that one look or step handles here: so few that every job needs several.
const STEP_LEN: i64 = 3;
/// Rows that one look of a test itself finds.
const LOOK_LEN: i64 = 100;

impl World {
    /// Runs something in a transaction that writes, in the lane of jobs.
    pub(crate) fn step<T: Send + 'static>(
        &mut self,
        job: impl Fn(&mut store::Tx, Timestamp) -> crate::error::Result<T> + Send + 'static,
    ) -> T {
        let now = self.now();
        futures(self.service.store().write(Lane::Job, move |tx| job(tx, now))).unwrap()
    }

    /// What a job finds first.
    pub(crate) fn find(&mut self, job: &Job) -> Found {
        let (find, turn) = (job.find, self.turn(LOOK_LEN));
        futures(self.service.store().read(move |tx| find(tx, &turn))).unwrap()
    }

    /// Makes one step on what a job found.
    pub(crate) fn step_on(&mut self, thing: &Thing) -> Progress {
        let (step, turn) = (thing.step.clone(), self.turn(STEP_LEN));
        futures(self.service.store().write(thing.lane.clone(), move |tx| step(tx, &turn))).unwrap()
    }

    fn turn(&self, rows_max: i64) -> Turn {
        Turn { call: self.service.job("Test"), rows_max }
    }

    /// Runs a round of each job on what is deleted or expired, in steps of few rows.
    pub(crate) fn run_jobs(&mut self) {
        self.expire_channels();
        self.expire_users();
        for job in [&leave_channels::JOB, &destroy::JOB, &erase::JOB, &trim_outbox::JOB, &trim_tokens::JOB] {
            self.run_job(job);
        }
    }

    /// Erases somebody, and answers what is said of it.
    pub(crate) fn erase(&mut self, who: &IdentityArn, keeps_messages: bool) -> Vec<Erasure> {
        let people = futures(self.service.ask_erasure(who, keeps_messages)).unwrap();
        // They leave after they were ended, and before the rest is done.
        for job in [&erase::JOB, &leave_channels::JOB, &destroy::JOB, &erase::JOB] {
            self.run_job(job);
        }
        futures(self.service.erasures(&people)).unwrap()
    }

    /// Asks for somebody to be erased.
    pub(crate) fn ask_erasure(&mut self, who: &IdentityArn) -> Vec<Key> {
        futures(self.service.ask_erasure(who, false)).unwrap()
    }

    /// Begins a round that is cut off after so many looks and steps; false when nothing is left to erase.
    pub(crate) fn erase_for(&mut self, most: u64, people: &[Key]) -> bool {
        self.run_job(&leave_channels::JOB);
        let begun = AtomicU64::new(0);
        let stopped = || most <= begun.fetch_add(1, Ordering::Relaxed);
        self.drive(&erase::JOB, STEP_LEN, &stopped).end.unwrap();
        let erasures = futures(self.service.erasures(people)).unwrap();
        erasures.iter().any(|erasure| erasure.ended_at.is_none())
    }

    /// Destroys what retention and its grace have passed.
    pub(crate) fn destroy_old_messages(&mut self) {
        self.run_job(&retention::JOB);
    }

    /// Deletes the channels that have expired.
    pub(crate) fn expire_channels(&mut self) {
        self.run_job(&expire_channels::JOB);
    }

    /// Deletes the users that have expired.
    pub(crate) fn expire_users(&mut self) {
        self.run_job(&expire_users::JOB);
    }

    /// Ends the waits that are over.
    pub(crate) fn fail_overdue(&mut self) {
        self.run_job(&flow_deadlines::JOB);
    }

    /// Balances all elastic channels, row by row.
    pub(crate) fn balance(&mut self) {
        while self.balance_once(1) {}
    }

    /// Moves up to `limit` rows of the first elastic channel that is to be balanced; false when nothing is left to do.
    pub(crate) fn balance_once(&mut self, limit: i64) -> bool {
        // One look, and one step.
        let begun = AtomicU64::new(0);
        let stopped = || 2 <= begun.fetch_add(1, Ordering::Relaxed);
        self.drive(&balance::JOB, limit, &stopped).end.unwrap() == End::Stopped
    }

    /// Takes all messages in, so many of a place at a time: an index is announced for a while before it is made, and
    /// one that is made is walked over again after an hour.
    pub(crate) fn index(&mut self, rows_max: i64) {
        for _ in 0..2 {
            let outcome = self.drive(&index::JOB, rows_max, &|| false);
            assert_eq!((*outcome.end.as_ref().unwrap(), outcome.failed), (End::All, 0));
            self.advance_ms(60 * 60 * 1000);
        }
        let outcome = self.drive(&index::JOB, rows_max, &|| false);
        assert_eq!((*outcome.end.as_ref().unwrap(), outcome.failed), (End::All, 0));
    }

    /// Runs a round of a job, in steps of few rows.
    pub(crate) fn run_job(&mut self, job: &Job) -> Outcome {
        let outcome = self.drive(job, STEP_LEN, &|| false);
        assert_eq!(*outcome.end.as_ref().unwrap(), End::All);
        outcome
    }

    fn drive(&mut self, job: &Job, rows_max: i64, stopped: &(dyn Fn() -> bool + Sync)) -> Outcome {
        drive(&self.service, job, rows_max, (Key([1; 16]), None), stopped)
    }
}

/// Drives a round on a node, which may take up what another left.
pub(crate) fn drive(
    service: &Service,
    job: &Job,
    rows_max: i64,
    (node, taken_up): (Key, Option<Held>),
    stopped: &(dyn Fn() -> bool + Sync),
) -> Outcome {
    futures(service.round(job, &Runner { node, rows_max, stopped, taken_up }))
}

/// Looks once at the leases of other nodes.
pub(crate) fn look(watch: &mut LeaseWatch, service: &Service, node: Key) -> Vec<(&'static Job, Held)> {
    futures(watch.look(service, node)).unwrap()
}
