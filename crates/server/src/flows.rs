//! The calling of processors: takes the calls that are due from the service, makes them, and reports back.
//!
//! Everything that must not be lost is in the store; this loop may end at any moment. What it has leased and not
//! reported is called again by whoever looks after the lease is over. A call is leased when there is a slot for it,
//! and not before: what cannot be called yet rests in the store, and costs nothing until a slot is free, a gate may be
//! tried again, or its time is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use carillon_meter::Times;
use carillon_model::channel_flow::{Failure, Reason, Unasked};
use carillon_service::error::{Error, ErrorCode};
use carillon_service::front::invocation::Invocation;
use carillon_service::{Clock, Service};
use carillon_store::Work;
use carillon_store::in_flight::Waiting;
use carillon_targets::{Slot, Targets};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::jobs::Bells;
use crate::supervised;
use crate::traces;

/// Calls that one node makes at once. Each target has its own, smaller share.
const CALLS_MAX: usize = 1_024;
/// Calls that are leased in one transaction.
const LEASE_LEN_MAX: usize = 256;
/// Functions whose backlog is looked at in one transaction.
const FUNCTIONS_LEN_MAX: usize = 64;
/// How often it looks without having been woken: for what other nodes left.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How soon it looks again at the earliest, for what becomes due.
const LOOK_AFTER_MIN: Duration = Duration::from_millis(5);

/// Calls processors, until told to stop.
pub(crate) struct Flows {
    service: Arc<Service>,
    clock: Arc<dyn Clock>,
    targets: Targets,
    calls: Arc<Semaphore>,
    /// How long those took that were made.
    times: Times,
    /// Rung when a call is over, and noted.
    ended: Notify,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Flows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flows").field("under_way", &self.under_way()).finish_non_exhaustive()
    }
}

impl Flows {
    /// Starts to look for calls.
    pub(crate) fn start(
        service: Arc<Service>,
        clock: Arc<dyn Clock>,
        targets: Targets,
        bells: Arc<Bells>,
    ) -> Arc<Self> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (calls, ended) = (Arc::new(Semaphore::new(CALLS_MAX)), Notify::new());
        let flows =
            Arc::new(Self { service, clock, targets, calls, times: Times::default(), ended, stop, tasks });
        flows.tasks.spawn(flows.clone().look(bells));
        flows
    }

    /// Begins no more calls, and waits for those that are under way.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What calls go to.
    pub(crate) fn targets(&self) -> &Targets {
        &self.targets
    }

    /// How each function is, as far as this node knows: those that are configured, and those that were called.
    pub(crate) async fn processors(&self) -> Result<Vec<Value>, Error> {
        let waiting = self.service.list_waiting("", FUNCTIONS_LEN_MAX).await?;
        let mut kinds: BTreeMap<String, &str> = BTreeMap::new();
        let conditions = self.targets.gates.conditions();
        kinds.extend(conditions.iter().map(|condition| (condition.target.clone(), "lambda")));
        kinds.extend(self.targets.behind_http().map(|function| (function.to_owned(), "http")));
        kinds.extend(self.service.built_in().map(|function| (function.to_owned(), "built in")));
        let state = |(function, kind): (String, &str)| {
            let condition = conditions.iter().find(|condition| condition.target == function);
            json!({
                "ResourceArn": function,
                "Kind": kind,
                "Gate": if condition.is_some_and(|condition| condition.is_closed) { "closed" } else { "open" },
                "CallsUnderWay": condition.map_or(0, |condition| condition.calls),
                "Waiting": waiting.iter().any(|waiting| waiting.function.as_str() == function),
            })
        };
        Ok(kinds.into_iter().map(state).collect())
    }

    /// Calls that are being made.
    pub(crate) fn under_way(&self) -> usize {
        CALLS_MAX - self.calls.available_permits()
    }

    /// How long calls took.
    pub(crate) fn times(&self) -> &Times {
        &self.times
    }

    async fn look(self: Arc<Self>, bells: Arc<Bells>) {
        let (mut wait, mut after) = (LOOK_EVERY, String::new());
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = bells.of(Work::Flow).notified() => {}
                () = self.targets.gates.freed() => {}
                () = self.ended.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = match supervised::round("flows", self.look_at_all(&mut after)).await {
                Some(Ok(wait)) => wait.max(LOOK_AFTER_MIN),
                None => LOOK_EVERY,
                Some(Err(error)) => {
                    if supervised::is_news(&error) {
                        tracing::warn!(%error, "the processors that are to be called cannot be read");
                    }
                    LOOK_EVERY
                }
            };
        }
    }

    /// Goes once through the functions that messages wait for, from where it stopped the last time for want of room;
    /// answers when something will be due.
    async fn look_at_all(self: &Arc<Self>, after: &mut String) -> Result<Duration, Error> {
        let (mut wait, begun_amid) = (LOOK_EVERY, !after.is_empty());
        while !self.stop.is_cancelled() {
            let page = self.service.list_waiting(after, FUNCTIONS_LEN_MAX).await?;
            for waiting in &page {
                if self.calls.available_permits() == 0 {
                    return Ok(wait);
                }
                after.clone_from(&waiting.function);
                wait = wait.min(self.look_at(waiting).await?);
            }
            if page.len() < FUNCTIONS_LEN_MAX {
                after.clear();
                // Those before where it began have their turn the next time, which is now.
                return Ok(if begun_amid { Duration::ZERO } else { wait });
            }
        }
        Ok(wait)
    }

    /// Begins the calls of a function that are due, as many as there are slots for; answers when there will be more.
    async fn look_at(self: &Arc<Self>, waiting: &Waiting) -> Result<Duration, Error> {
        let function = waiting.function.as_str();
        loop {
            let due_in = waiting.due_at.ms() - self.clock.now().ms();
            if 0 < due_in {
                return Ok(Duration::from_millis(due_in.unsigned_abs()));
            }
            let room = self.calls.available_permits().min(LEASE_LEN_MAX);
            if room == 0 {
                return Ok(LOOK_EVERY);
            }
            let slots = match self.targets.gates.slots(function, room) {
                Ok(slots) => slots,
                Err(unasked) => {
                    let more = self.give_up(waiting, unasked).await?;
                    let closed_for = self.targets.gates.closed_for(function);
                    return Ok(if more { Duration::ZERO } else { closed_for.unwrap_or(LOOK_EVERY) });
                }
            };
            let asked = slots.len();
            let leased = self.service.lease_invocations(function, count(asked)).await?;
            let all = leased.len() < asked;
            for (invocation, slot) in leased.into_iter().zip(slots) {
                self.begin(invocation, slot);
            }
            if all || self.stop.is_cancelled() {
                return Ok(LOOK_EVERY);
            }
        }
    }

    fn begin(self: &Arc<Self>, invocation: Invocation, slot: Slot) {
        // Nobody else takes any, and there was room.
        let Ok(permit) = self.calls.clone().try_acquire_owned() else { return };
        let flows = self.clone();
        self.tasks.spawn(async move {
            flows.call(&invocation, slot).await;
            drop(permit);
            flows.ended.notify_one();
        });
    }

    /// Lets the fallbacks decide about those that have waited for too long for a function that cannot be called;
    /// answers whether there may be more.
    async fn give_up(&self, waiting: &Waiting, unasked: Unasked) -> Result<bool, Error> {
        if self.service.overdue() < waiting.due_at {
            return Ok(false);
        }
        let overdue = self.service.lease_overdue(&waiting.function, count(LEASE_LEN_MAX)).await?;
        join_all(overdue.iter().map(|invocation| self.pass_over(invocation, unasked))).await;
        Ok(overdue.len() == LEASE_LEN_MAX)
    }

    async fn pass_over(&self, invocation: &Invocation, unasked: Unasked) {
        note(self.service.not_asked(invocation, unasked).await.map(|decided| {
            if decided {
                self.targets.note_not_made();
            }
        }));
    }

    async fn call(&self, invocation: &Invocation, slot: Slot) {
        if invocation.lease_until <= self.clock.now() {
            return; // The clock was moved: it is somebody else's by now.
        }
        if self.service.is_built_in(&invocation.function) {
            return note(self.service.decide(invocation).await);
        }
        let called = if self.service.may_call(&invocation.function) {
            let begun = Instant::now();
            let span = traces::of_call("processor", 1);
            let calling = self.targets.invoke(slot, &invocation.payload, self.clock.real());
            let called = calling.instrument(span.clone()).await;
            traces::called(&span, called.is_ok());
            self.times.observe(begun.elapsed());
            called
        } else {
            Err(Failure { reason: Reason::NotPermitted, permanent: true })
        };
        note(match called {
            Ok(()) => self.service.handed_over(invocation).await,
            Err(failure) => self.service.not_handed_over(invocation, failure).await.map(drop),
        });
    }
}

fn note(reported: Result<(), Error>) {
    match reported {
        // The processor's callback was faster, or another node was.
        Err(error) if error.code == ErrorCode::Conflict => {}
        Err(error) => tracing::warn!(%error, "a call of a processor could not be noted"),
        Ok(()) => {}
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
