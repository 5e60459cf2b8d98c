//! Rounds of events to a crowd: how fast they reach everybody, and what that costs the process that tells them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::client::Connection;
use super::crowd::{EVENTS_MAX, Tally};
use super::report::Latency;
use super::scene::lost;
use carillon_server::error::{Error, Result};

/// How long the last events of a round may take to reach everybody.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(20);
/// Ticks of the kernel's clock in a second, in which it counts what a process used.
const TICKS_PER_SECOND: f64 = 100.0;
/// The size of a page, in which it counts what a process holds.
const PAGE_BYTES: u64 = 4_096;

/// What a round is to do.
pub(crate) struct Plan {
    /// To whom requests go.
    pub(crate) address: SocketAddr,
    /// The process whose time is counted.
    pub(crate) process: u32,
    /// Each leads to one event.
    pub(crate) requests: Arc<[Vec<u8>]>,
    /// Connections that send.
    pub(crate) senders: usize,
    /// Events that may be on their way at once.
    pub(crate) window: usize,
    /// How long it lasts, unless the requests come to their end before.
    pub(crate) lasting: Duration,
}

/// What a round brought.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Measured {
    /// Events that were sent.
    pub(crate) events: usize,
    /// Events that came to sockets, a second.
    pub(crate) per_second: f64,
    /// Microseconds of processor that the process took for each event at each socket.
    pub(crate) processor_us: f64,
    /// From a send to the last recipient.
    pub(crate) last: Latency,
}

/// A run of rounds over one crowd.
pub(crate) struct Rounds {
    tally: Arc<Tally>,
    /// The place of the next event.
    next: usize,
}

impl Rounds {
    /// Rounds whose events come to this tally.
    pub(crate) fn over(tally: Arc<Tally>) -> Self {
        Self { tally, next: 0 }
    }

    /// Runs one.
    #[expect(clippy::cast_precision_loss, reason = "a round has far fewer than 2^52 events")]
    pub(crate) async fn run(&mut self, plan: &Plan) -> Result<Measured> {
        let (first, before) = (self.next, self.tally.delivered.load(Ordering::Relaxed));
        let (used, start) = (processor_seconds(plan.process)?, Instant::now());
        let sent_us = self.send(plan).await?;
        let events = sent_us.len();
        self.next += events;
        self.wait_for(self.next).await?;
        let took = start.elapsed().as_secs_f64();
        let delivered = (self.tally.delivered.load(Ordering::Relaxed) - before) as f64;
        let used = processor_seconds(plan.process)? - used;
        let latency = |(place, sent_us): (usize, &u64)| {
            u32::try_from(self.tally.completed_us(place).saturating_sub(*sent_us)).unwrap_or(u32::MAX)
        };
        let mut last_us: Vec<u32> = (first..).zip(&sent_us).map(latency).collect();
        last_us.sort_unstable();
        Ok(Measured {
            events,
            per_second: delivered / took,
            processor_us: used * 1e6 / delivered.max(1.0),
            last: Latency::of(&last_us),
        })
    }

    /// Sends until the time or the requests are over; answers when each was sent.
    async fn send(&self, plan: &Plan) -> Result<Vec<u64>> {
        let (first, deadline) = (self.next, Instant::now() + plan.lasting);
        let (next, mut senders) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        for _ in 0..plan.senders {
            let mut connection = Connection::open(plan.address).await.map_err(|error| lost(&error))?;
            let (next, tally, requests, window) =
                (next.clone(), self.tally.clone(), plan.requests.clone(), plan.window);
            senders.spawn(async move {
                let mut sent = Vec::new();
                while Instant::now() < deadline {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if requests.len().min(EVENTS_MAX) <= number {
                        break;
                    }
                    wait_for(&tally, (first + number + 1).saturating_sub(window)).await?;
                    sent.push((number, tally.now_us()));
                    let answer =
                        connection.exchange(&requests[number]).await.map_err(|error| lost(&error))?;
                    if answer.status != 201 {
                        return Err(Error::failure(format!("an event was refused with {}", answer.status)));
                    }
                }
                Ok(sent)
            });
        }
        let mut all = Vec::new();
        while let Some(sent) = senders.join_next().await {
            all.extend(sent.map_err(|error| Error::failure(format!("a sender ended badly: {error}")))??);
        }
        all.sort_unstable();
        Ok(all.into_iter().map(|(_, sent_us)| sent_us).collect())
    }

    async fn wait_for(&self, place: usize) -> Result<()> {
        wait_for(&self.tally, place).await
    }
}

/// Waits until this many events have reached everybody.
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
    let late = |_| Error::failure("an event did not reach every socket in time");
    timeout(ARRIVAL_TIMEOUT, reached).await.map_err(late)
}

/// The processor time that a process has used.
pub(crate) fn processor_seconds(process: u32) -> Result<f64> {
    let failed = || Error::failure("the kernel does not say what a process uses");
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).map_err(|_| failed())?;
    // What comes before is the name, which may hold anything.
    let (_, fields) = text.rsplit_once(')').ok_or_else(failed)?;
    let ticks = |at: usize| fields.split_whitespace().nth(at)?.parse::<f64>().ok();
    Ok((ticks(11).ok_or_else(failed)? + ticks(12).ok_or_else(failed)?) / TICKS_PER_SECOND)
}

/// The bytes that a process holds.
pub(crate) fn resident_bytes(process: u32) -> Result<u64> {
    let failed = || Error::failure("the kernel does not say what a process holds");
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).map_err(|_| failed())?;
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    Ok(pages.ok_or_else(failed)? * PAGE_BYTES)
}
