//! The gates of all targets of a kind, and the slots that they give out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carillon_model::channel_flow::{Failure, Unasked};
use moka::sync::Cache;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::gate::{Gate, Pass};

/// Targets whose state is remembered; beyond it the least used one begins anew.
const GATES_LEN_MAX: u64 = 10_000;

/// A gate for each target of a kind, by names.
pub struct Gates {
    of: Cache<String, Arc<Mutex<Gate>>>,
    shared: Arc<Shared>,
    calls_max: usize,
}

/// What slots come back to.
struct Shared {
    began: Instant,
    random: Mutex<StdRng>,
    /// Rung when a slot is free again, and with it perhaps a gate open.
    freed: Notify,
}

/// The right to one call of one target. Dropped unused, it is free for the next.
pub struct Slot {
    pub(crate) target: String,
    gate: Arc<Mutex<Gate>>,
    pass: Option<Pass>,
    shared: Arc<Shared>,
}

impl Gates {
    /// All open, for so many calls of one target at once.
    pub fn new(calls_max: usize, random: StdRng) -> Self {
        let (began, random, freed) = (Instant::now(), Mutex::new(random), Notify::new());
        Self { of: Cache::new(GATES_LEN_MAX), shared: Arc::new(Shared { began, random, freed }), calls_max }
    }

    /// Up to `most` slots for calls of a target; where there is none, why.
    pub fn slots(&self, target: &str, most: usize) -> Result<Vec<Slot>, Unasked> {
        let gate = self.of.get_with_by_ref(target, || Arc::new(Mutex::new(Gate::new(self.calls_max))));
        let mut slots = Vec::new();
        while slots.len() < most {
            let entered = lock(&gate).enter(self.shared.now(), self.shared.chance());
            match entered {
                Ok(pass) => slots.push(Slot {
                    target: target.to_owned(),
                    gate: gate.clone(),
                    pass: Some(pass),
                    shared: self.shared.clone(),
                }),
                Err(unasked) if slots.is_empty() => return Err(unasked),
                Err(_) => break,
            }
        }
        Ok(slots)
    }

    /// How long nobody may call a target.
    pub fn closed_for(&self, target: &str) -> Option<Duration> {
        let gate = self.of.get(target)?;
        let until = lock(&gate).closed_until()?;
        Some(until.saturating_sub(self.shared.now()))
    }

    /// Returns when a slot became free since it was asked last.
    pub async fn freed(&self) {
        self.shared.freed.notified().await;
    }

    /// How those are that were called, in the order of their names.
    pub fn conditions(&self) -> Vec<Condition> {
        let condition = |(target, gate): (Arc<String>, Arc<Mutex<Gate>>)| {
            let gate = lock(&gate);
            let (target, is_closed) = (target.to_string(), gate.closed_until().is_some());
            Condition { target, is_closed, calls: gate.calls() }
        };
        let mut all: Vec<Condition> = self.of.iter().map(condition).collect();
        all.sort_by(|one, other| one.target.cmp(&other.target));
        all
    }

    /// How many targets can be called, and how many are left alone for a while.
    pub fn count(&self) -> (usize, usize) {
        let closed = self.of.iter().filter(|(_, gate)| lock(gate).closed_until().is_some()).count();
        (self.of.iter().count() - closed, closed)
    }
}

/// How a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its name.
    pub target: String,
    /// Whether it is left alone for a while.
    pub is_closed: bool,
    /// Calls of it under way.
    pub calls: usize,
}

impl Slot {
    /// Gives it back after the call that it was for.
    pub fn leave(mut self, result: Result<(), Failure>) {
        if let Some(pass) = self.pass.take() {
            lock(&self.gate).leave(pass, result, self.shared.now(), self.shared.chance());
            self.shared.freed.notify_one();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            lock(&self.gate).forgo(pass);
        }
    }
}

impl Shared {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn chance(&self) -> u16 {
        lock(&self.random).random()
    }
}

/// What a panic left half-way is still a gate, and still random.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
