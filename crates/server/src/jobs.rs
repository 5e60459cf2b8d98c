//! The ticking of jobs. What a job does is the service's affair; when it begins is decided here.

use std::sync::Arc;
use std::time::Duration;

use carillon_model::arn::Home;
use carillon_model::{Key, Timestamp};
use carillon_service::error::Result;
use carillon_service::{Clock, jobs, retention};
use carillon_store::{Store, Tx};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often old events are deleted, and what is left of deleted channels.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How often old request tokens are deleted, channels that expired, and messages past their retention. The
/// interface promises the second within some six hours.
const WALK_EVERY: Duration = Duration::from_hours(1);

/// Starts jobs as their time comes, until told to stop; a step that has begun is finished.
pub(crate) async fn tick(store: Arc<Store>, clock: Arc<dyn Clock>, home: Home, stop: CancellationToken) {
    let (mut sweeps, mut walks) = (interval(SWEEP_EVERY), interval(WALK_EVERY));
    for due in [&mut sweeps, &mut walks] {
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        let (job, result) = tokio::select! {
            () = stop.cancelled() => return,
            _ = sweeps.tick() => ("a sweep", sweep(&store, clock.now(), &stop).await),
            _ = walks.tick() => ("a walk", walk(&store, &home, clock.now(), &stop).await),
        };
        if let Err(error) = result {
            let cause = error.source.as_ref().map(ToString::to_string);
            tracing::warn!(%error, cause, "{job} was cut short; it goes on the next time");
        }
    }
}

/// Runs what is due at this time, at once: the clock was moved.
pub(crate) async fn run_due(store: &Store, home: &Home, now: Timestamp) -> Result<()> {
    let never = CancellationToken::new();
    walk(store, home, now, &never).await?;
    sweep(store, now, &never).await
}

/// What is deleted in steps, each as short as the others.
async fn sweep(store: &Store, now: Timestamp, stop: &CancellationToken) -> Result<()> {
    while !stop.is_cancelled() && store.write("outbox", move |tx| jobs::trim_outbox(tx, now)).await? {}
    let destroy = |tx: &mut Tx| jobs::destroy_channels(tx, jobs::STEP_LEN_MAX);
    while !stop.is_cancelled() && store.write("deleted channels", destroy).await? {}
    Ok(())
}

/// What is looked through from one end to the other.
async fn walk(store: &Store, home: &Home, now: Timestamp, stop: &CancellationToken) -> Result<()> {
    let mut next = Some(jobs::first_token());
    while let Some(from) = next.filter(|_| !stop.is_cancelled()) {
        next = store.write("request tokens", move |tx| jobs::trim_tokens(tx, now, &from)).await?;
    }
    let mut next = Some(jobs::FIRST_CHANNEL);
    while let Some(from) = next.filter(|_| !stop.is_cancelled()) {
        let home = home.clone();
        let (expired, rest) = store.read(move |tx| jobs::find_expired_channels(tx, &home, now, from)).await?;
        for channel in expired {
            // In the lane of its ARN: its last event follows the others.
            let aggregate = channel.arn.as_str().to_owned();
            store.write(&aggregate, move |tx| jobs::expire_channel(tx, now, channel.clone())).await?;
        }
        next = rest;
    }
    let mut next = Some(Key([0; 16]));
    while let Some(from) = next.filter(|_| !stop.is_cancelled()) {
        next = store.write("retention", move |tx| retention::destroy(tx, now, from)).await?;
    }
    Ok(())
}
