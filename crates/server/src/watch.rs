//! Watches what another node or another process may have changed in the store: who may sign and what they may do, and
//! how far tests have moved the clock. A change made here is known at once. So is the store's own clock watched.

use std::time::Duration;

use carillon_service::error::Result;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::supervised;

/// How often it is looked at: a change on one node is in force on all others after this, and the time that reading
/// takes.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks until it is stopped.
pub(crate) struct Watch {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to look at something, which has a name, so often.
    pub(crate) fn start<F: Future<Output = Result<()>> + Send + 'static>(
        what: &'static str,
        every: Duration,
        read: impl Fn() -> F + Send + 'static,
    ) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(look((what, every), read, stop.clone()));
        Self { stop, task }
    }

    /// Ends.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "a watch ended badly");
        }
    }
}

async fn look<F: Future<Output = Result<()>>>(
    (what, every): (&'static str, Duration),
    read: impl Fn() -> F,
    stop: CancellationToken,
) {
    let mut due = interval(every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = due.tick() => {}
        }
        match supervised::round(what, read()).await {
            Some(Ok(())) => failing = false,
            Some(Err(error)) if !failing && supervised::is_news(&error) => {
                failing = true;
                tracing::warn!(what, %error, "whether it has changed cannot be read");
            }
            Some(Err(_)) | None => {}
        }
    }
}
