//! What is called outside: the functions that process messages, behind Lambda or behind plain HTTP.
//!
//! The crate knows an ARN and the bytes that go there. It keeps each target apart from the others: so many calls at
//! once, and few to one that keeps failing, so that a dead target costs the others nothing. Who wants to call asks for
//! places first, and takes up no more work than he has places for. What a failure means for a message is decided
//! elsewhere, and so is whether the call is made again.

mod gate;
mod lambda;
mod native;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carillon_model::Timestamp;
use carillon_model::channel_flow::{Failure, Reason, Unasked};
use moka::sync::Cache;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use gate::{Gate, Pass};
use lambda::Lambda;
pub use native::Native;

/// Targets whose state is remembered; beyond it the least used one begins anew.
const GATES_LEN_MAX: u64 = 10_000;

/// How targets are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// How long a call may take.
    pub timeout: Duration,
    /// The most calls of one target at once.
    pub calls_max: usize,
}

/// Everything that can be called.
pub struct Targets {
    native: HashMap<String, Native>,
    http: reqwest::Client,
    lambda: Lambda,
    gates: Cache<String, Arc<Mutex<Gate>>>,
    shared: Arc<Shared>,
    manner: Manner,
}

/// What places come back to.
struct Shared {
    began: Instant,
    random: Mutex<StdRng>,
    /// Rung when a place is free again, and with it perhaps a gate open.
    freed: Notify,
    taken: AtomicU64,
    failed: AtomicU64,
    not_made: AtomicU64,
}

/// What became of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// The target took it.
    pub taken: u64,
    /// It was made, and failed.
    pub failed: u64,
    /// It was given up without having been made.
    pub not_made: u64,
}

/// The right to one call of one target. Dropped unused, it is free for the next.
pub struct Place {
    function: String,
    gate: Arc<Mutex<Gate>>,
    pass: Option<Pass>,
    shared: Arc<Shared>,
}

impl Targets {
    /// Functions behind HTTP by their ARNs; any other is called through Lambda.
    pub fn new(native: HashMap<String, Native>, manner: Manner, random: StdRng) -> Result<Self, String> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(manner.timeout)
            .build()
            .map_err(|error| format!("no HTTP client: {error}"))?;
        let (gates, lambda) = (Cache::new(GATES_LEN_MAX), Lambda::new(manner.timeout));
        let (taken, failed, not_made) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let (began, random, freed) = (Instant::now(), Mutex::new(random), Notify::new());
        let shared = Arc::new(Shared { began, random, freed, taken, failed, not_made });
        Ok(Self { native, http, lambda, gates, shared, manner })
    }

    /// Up to `most` places for calls of a function; where there is none, why.
    pub fn places(&self, function: &str, most: usize) -> Result<Vec<Place>, Unasked> {
        let gate =
            self.gates.get_with_by_ref(function, || Arc::new(Mutex::new(Gate::new(self.manner.calls_max))));
        let mut places = Vec::new();
        while places.len() < most {
            let entered = lock(&gate).enter(self.shared.now(), self.shared.chance());
            match entered {
                Ok(pass) => places.push(Place {
                    function: function.to_owned(),
                    gate: gate.clone(),
                    pass: Some(pass),
                    shared: self.shared.clone(),
                }),
                Err(unasked) if places.is_empty() => return Err(unasked),
                Err(_) => break,
            }
        }
        Ok(places)
    }

    /// How long nobody may call a function.
    pub fn closed_for(&self, function: &str) -> Option<Duration> {
        let gate = self.gates.get(function)?;
        let until = lock(&gate).closed_until()?;
        Some(until.saturating_sub(self.shared.now()))
    }

    /// Returns when a place became free since it was asked last.
    pub async fn freed(&self) {
        self.shared.freed.notified().await;
    }

    /// Calls the function of a place with a JSON payload, and does not wait for more than that it was taken.
    pub async fn invoke(&self, mut place: Place, payload: &str, now: Timestamp) -> Result<(), Failure> {
        // Boxed, because the future of an SDK's call is large, and many wait.
        let call = Box::pin(async {
            match self.native.get(&place.function) {
                Some(native) => native.call(&self.http, payload, now).await,
                None => self.lambda.call(&place.function, payload).await,
            }
        });
        let timed_out = Failure { reason: Reason::TimedOut, permanent: false };
        let result = timeout(self.manner.timeout, call).await.unwrap_or(Err(timed_out));
        place.leave(result);
        let count = if result.is_ok() { &self.shared.taken } else { &self.shared.failed };
        count.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Counts a call that was given up without having been made.
    pub fn note_not_made(&self) {
        self.shared.not_made.fetch_add(1, Ordering::Relaxed);
    }

    /// What became of all calls so far.
    pub fn calls(&self) -> Calls {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Shared { taken, failed, not_made, .. } = &*self.shared;
        Calls { taken: of(taken), failed: of(failed), not_made: of(not_made) }
    }

    /// How many targets can be called, and how many are left alone for a while.
    pub fn gates(&self) -> (usize, usize) {
        let closed = self.gates.iter().filter(|(_, gate)| lock(gate).closed_until().is_some()).count();
        (self.gates.iter().count() - closed, closed)
    }
}

impl Place {
    fn leave(&mut self, result: Result<(), Failure>) {
        if let Some(pass) = self.pass.take() {
            lock(&self.gate).leave(pass, result, self.shared.now(), self.shared.chance());
            self.shared.freed.notify_one();
        }
    }
}

impl Drop for Place {
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

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    const NOBODY: &str = "arn:aws:lambda:us-east-1:000000000000:function:nobody";
    const MANNER: Manner = Manner { timeout: Duration::from_secs(1), calls_max: 3 };

    #[tokio::test]
    async fn a_place_is_used_or_free_again_and_a_dead_target_has_none() {
        // Nobody listens on the port of "discard".
        let native = Native::new("http://127.0.0.1:9/", None).unwrap();
        let native = HashMap::from([(NOBODY.to_owned(), native)]);
        let targets = Targets::new(native, MANNER, StdRng::seed_from_u64(1)).unwrap();
        assert_eq!(targets.places(NOBODY, 8).unwrap().len(), MANNER.calls_max);
        for _ in 0..5 {
            let place = targets.places(NOBODY, 1).unwrap().pop().unwrap();
            let failed = targets.invoke(place, "{}", Timestamp::from_ms(0)).await.unwrap_err();
            assert_eq!(failed, Failure { reason: Reason::NotReachable, permanent: false });
            targets.freed().await;
        }
        assert_eq!((targets.gates(), targets.calls().failed), ((0, 1), 5));
        assert!(targets.closed_for(NOBODY).is_some());
        assert_eq!(targets.places(NOBODY, 8).err(), Some(Unasked::Closed(Reason::NotReachable)));
    }
}
