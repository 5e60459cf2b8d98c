//! The calling of processors: takes the calls that are due from the service, makes them, and reports back.
//!
//! Everything that must not be lost is in the store; this loop may end at any moment. What it has leased and not
//! reported is called again by whoever looks after the lease is over. A call is leased when there is a place for it,
//! and not before: what cannot be called yet rests in the store, and costs nothing until a place is free, a gate may be
//! tried again, or its time is over.

use std::sync::Arc;
use std::time::Duration;

use carillon_model::channel_flow::{Failure, Reason, Unasked};
use carillon_service::error::{Error, ErrorCode};
use carillon_service::front::invocation::Invocation;
use carillon_service::{Clock, Service};
use carillon_store::Work;
use carillon_store::in_flight::Waiting;
use carillon_targets::{Place, Targets};
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::jobs::Bells;
use crate::supervised;

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
        let flows = Arc::new(Self { service, clock, targets, calls, ended, stop, tasks });
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

    /// Calls that are being made.
    pub(crate) fn under_way(&self) -> usize {
        CALLS_MAX - self.calls.available_permits()
    }

    async fn look(self: Arc<Self>, bells: Arc<Bells>) {
        let (mut wait, mut after) = (LOOK_EVERY, String::new());
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = bells.of(Work::Flow).notified() => {}
                () = self.targets.freed() => {}
                () = self.ended.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = match supervised::round("flows", self.look_at_all(&mut after)).await {
                Some(Ok(wait)) => wait.max(LOOK_AFTER_MIN),
                None => LOOK_EVERY,
                Some(Err(error)) => {
                    tracing::warn!(%error, "the processors that are to be called cannot be read");
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

    /// Begins the calls of a function that are due, as many as there are places for; answers when there will be more.
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
            let places = match self.targets.places(function, room) {
                Ok(places) => places,
                Err(unasked) => {
                    let more = self.give_up(waiting, unasked).await?;
                    let closed_for = self.targets.closed_for(function);
                    return Ok(if more { Duration::ZERO } else { closed_for.unwrap_or(LOOK_EVERY) });
                }
            };
            let asked = places.len();
            let leased = self.service.lease_invocations(function, count(asked)).await?;
            let all = leased.len() < asked;
            for (invocation, place) in leased.into_iter().zip(places) {
                self.begin(invocation, place);
            }
            if all || self.stop.is_cancelled() {
                return Ok(LOOK_EVERY);
            }
        }
    }

    fn begin(self: &Arc<Self>, invocation: Invocation, place: Place) {
        // Nobody else takes any, and there was room.
        let Ok(permit) = self.calls.clone().try_acquire_owned() else { return };
        let flows = self.clone();
        self.tasks.spawn(async move {
            flows.call(&invocation, place).await;
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
                tell_operator(invocation, &unasked.to_string());
            }
        }));
    }

    async fn call(&self, invocation: &Invocation, place: Place) {
        if invocation.lease_until <= self.clock.now() {
            return; // The clock was moved: it is somebody else's by now.
        }
        let called = if self.service.may_call(&invocation.function) {
            self.targets.invoke(place, &invocation.payload, self.clock.real()).await
        } else {
            Err(Failure { reason: Reason::NotPermitted, permanent: true })
        };
        note(match called {
            Ok(()) => self.service.handed_over(invocation).await,
            Err(failure) => self.service.not_handed_over(invocation, failure).await.map(|decided| {
                if decided {
                    tell_operator(invocation, &failure.reason.to_string());
                }
            }),
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

/// The event that operators of the original subscribe to, by its name and form.
fn tell_operator(invocation: &Invocation, reason: &str) {
    let detail = json!({
        "eventType": "ProcessorInvocationFailure",
        "appInstanceArn": invocation.channel_arn.app_instance().as_str(),
        "channelArn": invocation.channel_arn.as_str(),
        "messageId": invocation.message_id,
        "processorResourceArn": invocation.function,
        "failureReason": reason,
    });
    tracing::warn!(target: "carillon::operator", detail_type = "Chime ChannelFlow Processing Status", %detail);
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
