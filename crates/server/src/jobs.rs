//! The ticking of jobs. What a job does is the service's affair; when it begins is decided here.

use std::sync::Arc;
use std::time::Duration;

use carillon_model::Timestamp;
use carillon_service::error::Result;
use carillon_service::{Clock, jobs};
use carillon_store::Store;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often old events are deleted.
const TRIM_OUTBOX_EVERY: Duration = Duration::from_secs(30);
/// How often old request tokens are deleted.
const TRIM_TOKENS_EVERY: Duration = Duration::from_hours(1);

/// Starts jobs as their time comes, until told to stop; a step that has begun is finished.
pub(crate) async fn tick(store: Arc<Store>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let (mut outbox, mut tokens) = (interval(TRIM_OUTBOX_EVERY), interval(TRIM_TOKENS_EVERY));
    for due in [&mut outbox, &mut tokens] {
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        let (job, result) = tokio::select! {
            () = stop.cancelled() => return,
            _ = outbox.tick() => ("the trimming of the outbox", trim_outbox(&store, clock.now(), &stop).await),
            _ = tokens.tick() => ("the trimming of tokens", trim_tokens(&store, clock.now(), &stop).await),
        };
        if let Err(error) = result {
            let cause = error.source.as_ref().map(ToString::to_string);
            tracing::warn!(%error, cause, "{job} was cut short; it goes on the next time");
        }
    }
}

/// Runs what is due at this time, at once: the clock was moved.
pub(crate) async fn run_due(store: &Store, now: Timestamp) -> Result<()> {
    let never = CancellationToken::new();
    trim_outbox(store, now, &never).await?;
    trim_tokens(store, now, &never).await
}

async fn trim_outbox(store: &Store, now: Timestamp, stop: &CancellationToken) -> Result<()> {
    while !stop.is_cancelled() && store.write("outbox", move |tx| jobs::trim_outbox(tx, now)).await? {}
    Ok(())
}

async fn trim_tokens(store: &Store, now: Timestamp, stop: &CancellationToken) -> Result<()> {
    let mut next = Some(jobs::first_token());
    while let Some(from) = next.filter(|_| !stop.is_cancelled()) {
        next = store.write("request tokens", move |tx| jobs::trim_tokens(tx, now, &from)).await?;
    }
    Ok(())
}
