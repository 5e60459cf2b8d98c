//! What is called outside: the functions that process messages, behind Lambda or behind plain HTTP.
//!
//! The crate knows an ARN and the bytes that go there. It keeps each target apart from the others: so many calls at
//! once, and none for a while to one that keeps failing, so that a dead target costs the others nothing. What a
//! failure means for a message is decided elsewhere, and so is whether the call is made again.

mod gate;
mod lambda;
mod native;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use carillon_model::Timestamp;
use carillon_model::channel_flow::Failure;
use moka::sync::Cache;

use gate::{Gate, Passed};
use lambda::Lambda;
pub use native::Native;

/// Targets whose state is remembered; beyond it the least used one begins anew.
const GATES_LEN_MAX: u64 = 10_000;

/// Everything that can be called.
pub struct Targets {
    native: HashMap<String, Native>,
    http: reqwest::Client,
    lambda: Lambda,
    gates: Cache<String, Arc<Gate>>,
    calls: Counts,
    timeout: Duration,
}

#[derive(Default)]
struct Counts {
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
    /// It was not even made, because the target keeps failing, or is called too often at once.
    pub not_made: u64,
}

impl Targets {
    /// Functions behind HTTP by their ARNs; any other is called through Lambda. A call may take `timeout`.
    pub fn new(native: HashMap<String, Native>, timeout: Duration) -> Result<Self, String> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .build()
            .map_err(|error| format!("no HTTP client: {error}"))?;
        let gates = Cache::new(GATES_LEN_MAX);
        Ok(Self { native, http, lambda: Lambda::new(timeout), gates, calls: Counts::default(), timeout })
    }

    /// Calls a function with a JSON payload, and does not wait for more than that it was taken.
    pub async fn invoke(&self, function: &str, payload: &str, now: Timestamp) -> Result<(), Failure> {
        let gate = self.gates.get_with_by_ref(function, Arc::default);
        // Boxed, because the future of an SDK's call is large, and thousands may wait.
        let call = Box::pin(async {
            match self.native.get(function) {
                Some(native) => native.call(&self.http, payload, now).await,
                None => self.lambda.call(function, payload).await,
            }
        });
        let (count, result) = match gate.pass(self.timeout, call).await {
            Passed::Taken => (&self.calls.taken, Ok(())),
            Passed::Failed(failure) => (&self.calls.failed, Err(failure)),
            Passed::NotMade(failure) => (&self.calls.not_made, Err(failure)),
        };
        count.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// What became of all calls so far.
    pub fn calls(&self) -> Calls {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { taken, failed, not_made } = &self.calls;
        Calls { taken: of(taken), failed: of(failed), not_made: of(not_made) }
    }

    /// How many targets can be called, and how many are left alone for a while.
    pub fn gates(&self) -> (usize, usize) {
        let closed = self.gates.iter().filter(|(_, gate)| gate.is_closed()).count();
        (self.gates.iter().count() - closed, closed)
    }
}
