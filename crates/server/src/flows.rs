//! The calling of processors: takes the calls that are due from the service, makes them, and reports back.
//!
//! Everything that must not be lost is in the store; this loop may end at any moment. What it has leased and not
//! reported is called again by whoever looks after the lease is over.

use std::sync::Arc;
use std::time::Duration;

use carillon_model::channel_flow::Failure;
use carillon_service::error::{Error, ErrorCode};
use carillon_service::flow::Invocation;
use carillon_service::{Clock, Service};
use carillon_store::Work;
use carillon_targets::Targets;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::jobs::Bells;

/// Calls that one node makes or waits to make at once. Each target has its own, smaller share.
const CALLS_MAX: usize = 2_048;
/// Calls that are leased in one transaction.
const LEASE_LEN_MAX: usize = 256;
/// How often it looks without having been woken: for what is tried again, and for what other nodes left.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Calls processors, until told to stop.
pub(crate) struct Flows {
    service: Arc<Service>,
    clock: Arc<dyn Clock>,
    targets: Targets,
    calls: Arc<Semaphore>,
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
        let calls = Arc::new(Semaphore::new(CALLS_MAX));
        let flows = Arc::new(Self { service, clock, targets, calls, stop, tasks });
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

    /// Calls that are being made, or wait for their turn.
    pub(crate) fn under_way(&self) -> usize {
        CALLS_MAX - self.calls.available_permits()
    }

    async fn look(self: Arc<Self>, bells: Arc<Bells>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = bells.of(Work::Flow).notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            while !self.stop.is_cancelled() && self.begin_some().await {}
        }
    }

    /// Begins the calls that are due, as many as there is room for; answers whether there may be more.
    async fn begin_some(self: &Arc<Self>) -> bool {
        let room = self.calls.available_permits().min(LEASE_LEN_MAX);
        let limit = i64::try_from(room).unwrap_or_default();
        let leased = match self.service.lease_invocations(limit).await {
            Ok(leased) => leased,
            Err(error) => {
                tracing::warn!(%error, "the processors that are to be called cannot be read");
                return false;
            }
        };
        let more = 0 < room && leased.len() == room;
        for invocation in leased {
            let Ok(permit) = self.calls.clone().try_acquire_owned() else { break };
            let flows = self.clone();
            self.tasks.spawn(async move {
                flows.call(&invocation).await;
                drop(permit);
            });
        }
        more
    }

    async fn call(&self, invocation: &Invocation) {
        let now = self.clock.now();
        if invocation.lease_until <= now {
            return; // It waited too long for its turn: it is somebody else's by now.
        }
        let called = self.targets.invoke(&invocation.function, &invocation.payload, self.clock.real()).await;
        let reported = match called {
            Ok(()) => self.service.handed_over(invocation).await,
            Err(failure) => self.failed(invocation, failure).await,
        };
        match reported {
            // The processor's callback was faster, or another node was.
            Err(error) if error.code == ErrorCode::Conflict => {}
            Err(error) => tracing::warn!(%error, "a call of a processor could not be noted"),
            Ok(()) => {}
        }
    }

    async fn failed(&self, invocation: &Invocation, failure: Failure) -> Result<(), Error> {
        if self.service.not_handed_over(invocation, failure).await? {
            let detail = json!({
                "eventType": "ProcessorInvocationFailure",
                "appInstanceArn": invocation.channel_arn.app_instance().as_str(),
                "channelArn": invocation.channel_arn.as_str(),
                "messageId": invocation.message_id,
                "processorResourceArn": invocation.function,
                "failureReason": failure.reason.to_string(),
            });
            // The event that operators of the original subscribe to, by its name and form.
            tracing::warn!(target: "carillon::operator", detail_type = "Chime ChannelFlow Processing Status", %detail);
        }
        Ok(())
    }
}
