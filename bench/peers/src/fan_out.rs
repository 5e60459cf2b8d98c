//! Messages to a crowd, as fast as they go: so many are under way at once that the server always has something to
//! tell, and so few that no listener falls behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::Result;
use crate::crowd::{Crowd, Tally};
use crate::peer::Sender;
use crate::process::Usage;

/// Messages that may be under way at once.
pub(crate) const WINDOW: usize = 64;
/// How long the server is told to before it is measured.
const WARM: Duration = Duration::from_secs(1);
/// How long a message may take to reach everybody.
const ARRIVAL_TIMEOUT: Duration = Duration::from_mins(1);

/// What a round brought.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Round {
    /// Messages that came to connections, a second.
    pub(crate) per_second: f64,
    /// And for each second that the server used of a processor.
    pub(crate) per_processor_second: f64,
}

/// Sends to this crowd for some time; what the server uses is counted in these processes.
#[expect(clippy::cast_precision_loss, reason = "a round has far fewer than 2^52 messages")]
pub(crate) async fn run<S: Sender>(
    senders: Vec<S>,
    crowd: &mut Crowd,
    processes: &[u32],
    lasting: Duration,
) -> Result<(Round, Vec<S>)> {
    let ends = Arc::new(AtomicBool::new(false));
    let sending = tokio::spawn(send(senders, crowd.tally.clone(), ends.clone()));
    sleep(WARM).await;
    let delivered = || crowd.tally.delivered.load(Ordering::Relaxed);
    let (start, used, before) = (Instant::now(), Usage::of(processes)?, delivered());
    sleep(lasting).await;
    let (seconds, after) = (start.elapsed().as_secs_f64(), delivered());
    let processor_s = Usage::of(processes)?.processor_s - used.processor_s;
    ends.store(true, Ordering::Release);
    let senders = sending.await??;
    crowd.check().await?;
    let count = (after - before) as f64;
    let per_processor_second = if processor_s == 0.0 { 0.0 } else { count / processor_s };
    Ok((Round { per_second: count / seconds, per_processor_second }, senders))
}

async fn send<S: Sender>(senders: Vec<S>, tally: Arc<Tally>, ends: Arc<AtomicBool>) -> Result<Vec<S>> {
    let first = tally.completed.load(Ordering::Acquire);
    let (next, mut running) = (Arc::new(AtomicUsize::new(first)), JoinSet::new());
    for mut sender in senders {
        let (next, tally, ends) = (next.clone(), tally.clone(), ends.clone());
        running.spawn(async move {
            while !ends.load(Ordering::Acquire) {
                let place = next.fetch_add(1, Ordering::Relaxed);
                wait_for(&tally, (place + 1).saturating_sub(WINDOW)).await?;
                sender.send().await?;
            }
            Ok::<_, crate::Error>(sender)
        });
    }
    let mut senders = Vec::new();
    while let Some(ended) = running.join_next().await {
        senders.push(ended??);
    }
    // What is under way belongs to this round.
    wait_for(&tally, next.load(Ordering::Acquire)).await?;
    Ok(senders)
}

/// Waits until this many messages have reached everybody.
async fn wait_for(tally: &Tally, place: usize) -> Result<()> {
    let reached = async {
        loop {
            let rung = tally.bell.notified();
            let mut rung = std::pin::pin!(rung);
            rung.as_mut().enable();
            if place <= tally.completed.load(Ordering::Acquire) {
                return;
            }
            rung.await;
        }
    };
    let late = |_| format!("message {place} did not reach every listener in {} s", ARRIVAL_TIMEOUT.as_secs());
    Ok(timeout(ARRIVAL_TIMEOUT, reached).await.map_err(late)?)
}
