//! What is called outside: the functions that process messages, behind Lambda or behind plain HTTP.
//!
//! The crate knows an ARN and the bytes that go there. It keeps each target apart from the others: so many calls at
//! once, and few to one that keeps failing, so that a dead target costs the others nothing. Who wants to call asks for
//! slots first, and takes up no more work than he has slots for. What a failure means for a message is decided
//! elsewhere, and so is whether the call is made again.

pub mod aws;
pub mod bots;
pub mod events;
mod gate;
mod gates;
mod lambda;
mod native;
pub mod public;
pub mod push;
pub mod streams;
#[doc(hidden)]
pub mod testing;
pub mod trace;
pub mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use carillon_model::Timestamp;
use carillon_model::channel_flow::Failure;
use rand::rngs::StdRng;

use aws::Aws;
pub use gates::{Condition, Gates, Slot};
pub use native::Native;

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
    aws: Arc<Aws>,
    /// Who may be called at present.
    pub gates: Gates,
    manner: Manner,
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

impl Targets {
    /// Functions behind HTTP by their ARNs; any other is called through Lambda.
    pub fn new(
        native: HashMap<String, Native>,
        manner: Manner,
        random: StdRng,
        aws: Arc<Aws>,
    ) -> Result<Self, String> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(manner.timeout)
            .build()
            .map_err(|error| format!("no HTTP client: {error}"))?;
        let gates = Gates::new(manner.calls_max, random);
        let (taken, failed, not_made) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { native, http, aws, gates, manner, taken, failed, not_made })
    }

    /// Calls the function of a slot with a JSON payload, and does not wait for more than that it was taken.
    pub async fn invoke(&self, slot: Slot, payload: &str, now: Timestamp) -> Result<(), Failure> {
        let result = match self.native.get(&slot.target) {
            Some(native) => native.call(&self.http, payload, now).await,
            None => lambda::invoke(&self.aws, &slot.target, payload, self.manner.timeout, now).await,
        };
        slot.leave(result);
        let count = if result.is_ok() { &self.taken } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// The functions that are behind HTTP.
    pub fn behind_http(&self) -> impl Iterator<Item = &str> {
        self.native.keys().map(String::as_str)
    }

    /// Counts a call that was given up without having been made.
    pub fn note_not_made(&self) {
        self.not_made.fetch_add(1, Ordering::Relaxed);
    }

    /// What became of all calls so far.
    pub fn calls(&self) -> Calls {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Calls { taken: of(&self.taken), failed: of(&self.failed), not_made: of(&self.not_made) }
    }
}

#[cfg(test)]
mod tests {
    use carillon_model::channel_flow::{Reason, Unasked};
    use rand::SeedableRng as _;

    use super::*;

    const NOBODY: &str = "arn:aws:lambda:us-east-1:000000000000:function:nobody";
    const MANNER: Manner = Manner { timeout: Duration::from_secs(1), calls_max: 3 };

    #[tokio::test]
    async fn a_place_is_used_or_free_again_and_a_dead_target_has_none() {
        // Nobody listens on the port of "discard".
        let native = Native::new("http://127.0.0.1:9/", None).unwrap();
        let native = HashMap::from([(NOBODY.to_owned(), native)]);
        let aws = Arc::new(Aws::new(reqwest::Client::new()));
        let targets = Targets::new(native, MANNER, StdRng::seed_from_u64(1), aws).unwrap();
        assert_eq!(targets.gates.slots(NOBODY, 8).unwrap().len(), MANNER.calls_max);
        for _ in 0..5 {
            let slot = targets.gates.slots(NOBODY, 1).unwrap().pop().unwrap();
            let failed = targets.invoke(slot, "{}", Timestamp::from_ms(0)).await.unwrap_err();
            assert_eq!(failed, Failure { reason: Reason::NotReachable, permanent: false });
            targets.gates.freed().await;
        }
        assert_eq!((targets.gates.count(), targets.calls().failed), ((0, 1), 5));
        assert!(targets.gates.closed_for(NOBODY).is_some());
        assert_eq!(targets.gates.slots(NOBODY, 8).err(), Some(Unasked::Closed(Reason::NotReachable)));
    }
}
