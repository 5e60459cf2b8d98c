//! Watches whether who may sign, and what they may do, was changed by another node or another process. A change made
//! here is known at once.

use std::sync::Arc;
use std::time::Duration;

use carillon_service::Service;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::supervised;

/// How often the version of what is stored is looked at: a change on one node is in force on all others after this,
/// and the time that reading takes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks until it is stopped.
pub(crate) struct Watch {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to look.
    pub(crate) fn start(service: Arc<Service>) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(look(service, stop.clone()));
        Self { stop, task }
    }

    /// Ends.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the watch over access ended badly");
        }
    }
}

async fn look(service: Arc<Service>, stop: CancellationToken) {
    let mut due = interval(LOOK_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = due.tick() => {}
        }
        match supervised::round("access", service.refresh_access()).await {
            Some(Ok(())) => failing = false,
            // Said once: the store says the rest.
            Some(Err(error)) if !failing => {
                failing = true;
                tracing::warn!(%error, "whether access has changed cannot be read");
            }
            Some(Err(_)) | None => {}
        }
    }
}
