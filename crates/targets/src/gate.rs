//! One target's gate: so many calls at once, and after several failures in a row none for a while.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use carillon_model::channel_flow::{Failure, Reason};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// Calls of one target at once.
const CALLS_MAX: usize = 64;
/// Failures in a row that close the gate.
const FAILURES_MAX: u32 = 5;
/// How long it stays closed at first; each further failure doubles that,
const CLOSED_MIN: Duration = Duration::from_millis(500);
/// up to this.
const CLOSED_MAX: Duration = Duration::from_secs(30);

const CLOSED: Failure = Failure { reason: Reason::NotReachable, permanent: false };
const TIMED_OUT: Failure = Failure { reason: Reason::TimedOut, permanent: false };

pub(crate) struct Gate {
    calls: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// Until then nobody is let through; then one is, to see.
    closed_until: Option<Instant>,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// The target took it.
    Taken,
    /// It was made, and failed.
    Failed(Failure),
    /// It was not even made.
    NotMade(Failure),
}

impl Default for Gate {
    fn default() -> Self {
        Self { calls: Semaphore::new(CALLS_MAX), state: Mutex::default() }
    }
}

impl Gate {
    /// Whether nobody is let through at present.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed_until.is_some_and(|until| Instant::now() < until)
    }

    /// Makes a call, if the gate lets it through, within a time. What is wrong with the call itself says nothing of
    /// the target.
    pub(crate) async fn pass(
        &self,
        within: Duration,
        call: impl Future<Output = Result<(), Failure>>,
    ) -> Passed {
        if !self.knock() {
            return Passed::NotMade(CLOSED);
        }
        let Ok(_permit) = timeout(within, self.calls.acquire()).await else {
            return Passed::NotMade(TIMED_OUT);
        };
        let result = timeout(within, call).await.unwrap_or(Err(TIMED_OUT));
        self.note(result);
        result.map_or_else(Passed::Failed, |()| Passed::Taken)
    }

    fn knock(&self) -> bool {
        let mut state = self.state();
        match state.closed_until {
            Some(until) if Instant::now() < until => false,
            Some(_) => {
                // One is let through; the others wait for what becomes of it.
                state.closed_until = Some(Instant::now() + CLOSED_MIN);
                true
            }
            None => true,
        }
    }

    fn note(&self, result: Result<(), Failure>) {
        let mut state = self.state();
        match result {
            Err(failure) if !failure.permanent => {
                state.failures = state.failures.saturating_add(1);
                if FAILURES_MAX <= state.failures {
                    let doublings = (state.failures - FAILURES_MAX).min(16);
                    let closed = CLOSED_MIN.saturating_mul(1 << doublings).min(CLOSED_MAX);
                    state.closed_until = Some(Instant::now() + closed);
                }
            }
            _ => *state = State::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const DOWN: Failure = Failure { reason: Reason::Refused, permanent: false };
    const WRONG: Failure = Failure { reason: Reason::NotFound, permanent: true };
    const WITHIN: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_target_that_keeps_failing_is_left_alone_and_tried_again_by_one() {
        let (gate, calls) = (Gate::default(), AtomicU32::new(0));
        let call = async |result| {
            gate.pass(WITHIN, async {
                calls.fetch_add(1, Ordering::Relaxed);
                result
            })
            .await
        };
        for _ in 0..FAILURES_MAX {
            assert!(!gate.is_closed());
            assert_eq!(call(Err(DOWN)).await, Passed::Failed(DOWN));
        }
        assert_eq!((call(Ok(())).await, gate.is_closed()), (Passed::NotMade(CLOSED), true));
        assert_eq!(calls.load(Ordering::Relaxed), FAILURES_MAX);
        tokio::time::advance(CLOSED_MIN).await;
        assert_eq!(call(Err(DOWN)).await, Passed::Failed(DOWN), "one is let through");
        tokio::time::advance(CLOSED_MIN).await;
        assert_eq!(call(Ok(())).await, Passed::NotMade(CLOSED), "and the time doubles");
        tokio::time::advance(CLOSED_MIN).await;
        assert_eq!(
            (call(Ok(())).await, call(Ok(())).await),
            (Passed::Taken, Passed::Taken),
            "it is open again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_with_a_call_does_not_close_the_gate_and_silence_does() {
        let gate = Gate::default();
        for _ in 0..2 * FAILURES_MAX {
            assert_eq!(gate.pass(WITHIN, async { Err(WRONG) }).await, Passed::Failed(WRONG));
        }
        for _ in 0..FAILURES_MAX {
            assert_eq!(gate.pass(WITHIN, std::future::pending()).await, Passed::Failed(TIMED_OUT));
        }
        assert_eq!(gate.pass(WITHIN, async { Ok(()) }).await, Passed::NotMade(CLOSED));
    }
}
