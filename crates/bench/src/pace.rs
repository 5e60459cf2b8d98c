//! A load that keeps a pace: each connection waits for its message to come to the member before it sends the next,
//! or so many are sent a second, whatever becomes of them.
//!
//! A request is signed just before its time, because such a load may last longer than a signature.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use carillon_service::operation::Operation as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::client::Connection;
use super::load::{Board, Round};
use super::scene::{REGION, Scene, lost};
use carillon_server::clock;
use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, Result};
use carillon_server::request::Author;

/// How long a message may take to come to the member, where the next one waits for it.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(20);

/// When the next message is sent.
#[derive(Clone)]
pub(crate) enum Pace {
    /// When the last one of the connection has come to the member.
    Arrival,
    /// So many a second, over all connections.
    PerSecond(u32),
}

/// What is to be sent.
#[derive(Clone)]
pub(crate) struct Load {
    /// To whom.
    pub(crate) address: SocketAddr,
    /// Who signs.
    pub(crate) root: RootKey,
    /// Who sends what where.
    pub(crate) scene: Scene,
    /// Over how many connections.
    pub(crate) connections: usize,
    /// When.
    pub(crate) pace: Pace,
    /// What is told of the arrivals, where a member listens.
    pub(crate) board: Option<Arc<Board>>,
    /// The number of the first message.
    pub(crate) first: usize,
    /// The most messages.
    pub(crate) messages_max: usize,
}

impl Load {
    /// Sends until told to stop, or until all are sent.
    pub(crate) async fn run(self, until: &CancellationToken) -> Result<Round> {
        if let Some(board) = &self.board {
            board.begin(self.first, self.messages_max);
        }
        let (mut round, mut places) = (Round::default(), Vec::new());
        let (next, start, board) = (Arc::new(AtomicUsize::new(0)), Instant::now(), self.board.clone());
        let mut senders = JoinSet::new();
        for _ in 0..self.connections {
            let connection = Connection::open(self.address).await.map_err(|error| lost(&error))?;
            let (load, next, until) = (self.clone(), next.clone(), until.clone());
            senders.spawn(Sender { load, connection, next, start, until }.send());
        }
        while let Some(sent) = senders.join_next().await {
            let sent =
                sent.map_err(|error| Error::failure(format!("a connection ended badly: {error}")))??;
            for (place, took_us) in sent {
                places.push(place);
                round.answer_us.push(took_us);
            }
        }
        round.elapsed = start.elapsed();
        round.answered = places.len();
        round.answer_us.sort_unstable();
        if let Some(board) = board {
            round.socket_us = board.latencies(&places).await;
        }
        Ok(round)
    }

    /// Sends for a while.
    pub(crate) async fn run_for(self, lasting: Duration) -> Result<Round> {
        let until = CancellationToken::new();
        let over = until.clone();
        let clock = tokio::spawn(async move {
            tokio::time::sleep(lasting).await;
            over.cancel();
        });
        let round = self.run(&until).await;
        clock.abort();
        round
    }
}

/// One connection of a load.
struct Sender {
    load: Load,
    connection: Connection,
    /// The place of the next message.
    next: Arc<AtomicUsize>,
    start: Instant,
    until: CancellationToken,
}

impl Sender {
    /// Answers which messages it sent, and how long each answer took.
    async fn send(mut self) -> Result<Vec<(usize, u32)>> {
        let (host, root) = (self.load.address.to_string(), self.load.root.clone());
        let author = Author::new(&root, REGION, &host);
        let mut sent = Vec::new();
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            if self.load.messages_max <= place {
                return Ok(sent);
            }
            let message = self.load.scene.message(self.load.first + place);
            let request = author.write(&message.encode(), clock::real());
            let Some(began) = self.wait(place).await else { return Ok(sent) };
            if let Some(board) = &self.load.board {
                board.note_sent(place, began);
            }
            let answer = self.connection.exchange(&request).await.map_err(|error| lost(&error))?;
            answer.expect_created()?;
            sent.push((place, u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX)));
            if let (Pace::Arrival, Some(board)) = (&self.load.pace, &self.load.board) {
                let arrived = timeout(ARRIVAL_TIMEOUT, board.arrival(place)).await;
                arrived.map_err(|_| Error::failure("a message did not come to the member in time"))?;
            }
        }
    }

    /// Waits for the time of a message; answers when it is sent, or should have been: what a late answer to the one
    /// before makes it wait is part of what it takes.
    async fn wait(&self, place: usize) -> Option<Instant> {
        let now = Instant::now();
        let due = match self.load.pace {
            Pace::Arrival => now,
            Pace::PerSecond(per_second) => self.start + due_after(place, per_second),
        };
        if due <= now {
            return (!self.until.is_cancelled()).then_some(due);
        }
        tokio::select! {
            () = self.until.cancelled() => None,
            () = sleep_until(due) => Some(Instant::now()),
        }
    }
}

/// How long after the start the message at this place is due.
fn due_after(place: usize, per_second: u32) -> Duration {
    let nanos = place as u128 * 1_000_000_000 / u128::from(per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_however_long_it_lasts() {
        assert_eq!(due_after(0, 200), Duration::ZERO);
        assert_eq!(due_after(1, 200), Duration::from_millis(5));
        assert_eq!(due_after(3, 3), Duration::from_secs(1));
        assert_eq!(due_after(120_000_000, 200), Duration::from_mins(10_000));
    }
}
