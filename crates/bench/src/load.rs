//! A round of load: some connections, each sending the next request as soon as the last was answered.
//!
//! Requests are signed before the round, because a client's signatures are not the server's cost.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use carillon_service::operation::Operation as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::client::Connection;
use super::scene::{REGION, Scene, lost};
use carillon_server::clock;
use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, Result};
use carillon_server::request::Author;

/// How long the last events may take to arrive once everything is answered.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(5);
const ASK_EVERY: Duration = Duration::from_millis(5);
/// Stands for a message that has not arrived, and for one that was not sent.
const NEVER: u64 = u64::MAX;
/// Bells that arrivals ring, each for one message of so many: whoever waits for one is woken by few others.
const BELLS: usize = 64;

/// Messages that were sent, and when each was sent and arrived, in microseconds since the board was made.
pub(crate) struct Board {
    start: Instant,
    times: Mutex<Arc<[Times]>>,
    /// The number of the first message on it.
    first: AtomicUsize,
    bells: [Notify; BELLS],
}

struct Times {
    sent: AtomicU64,
    arrived: AtomicU64,
}

/// What a round brought.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// Requests that were answered with the success that was expected.
    pub(crate) answered: usize,
    /// How long it took.
    pub(crate) elapsed: Duration,
    /// How long each answer took, in microseconds, sorted.
    pub(crate) answer_us: Vec<u32>,
    /// How long each message took to the member's socket, in microseconds, sorted.
    pub(crate) socket_us: Vec<u32>,
}

impl Round {
    /// What two rounds brought together.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.answered += other.answered;
        self.elapsed += other.elapsed;
        self.answer_us.extend(other.answer_us);
        self.answer_us.sort_unstable();
        self.socket_us.extend(other.socket_us);
        self.socket_us.sort_unstable();
        self
    }

    /// Answers a second.
    #[expect(clippy::cast_precision_loss, reason = "a round has far fewer than 2^52 answers")]
    pub(crate) fn per_second(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

impl Board {
    /// An empty board.
    pub(crate) fn new() -> Arc<Self> {
        let times = Mutex::new(Arc::from(Vec::new()));
        let bells = std::array::from_fn(|_| Notify::new());
        Arc::new(Self { start: Instant::now(), times, first: AtomicUsize::new(0), bells })
    }

    /// Wipes it, and makes room for this many messages from this number on.
    pub(crate) fn begin(&self, first: usize, count: usize) {
        let times = (0..count).map(|_| Times { sent: AtomicU64::new(NEVER), arrived: AtomicU64::new(NEVER) });
        *self.times.lock().unwrap_or_else(PoisonError::into_inner) = times.collect();
        self.first.store(first, Ordering::Release);
    }

    fn times(&self) -> Arc<[Times]> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn now_us(&self) -> u64 {
        self.us_at(Instant::now())
    }

    fn us_at(&self, at: Instant) -> u64 {
        u64::try_from((at - self.start).as_micros()).unwrap_or(NEVER - 1)
    }

    /// The message at this place is being sent, or should have been by now.
    pub(crate) fn note_sent(&self, place: usize, at: Instant) {
        self.times()[place].sent.store(self.us_at(at), Ordering::Release);
    }

    /// Waits until the message at this place has come to the member.
    pub(crate) async fn arrival(&self, place: usize) {
        let (times, bell) = (self.times(), &self.bells[place % BELLS]);
        loop {
            let rung = bell.notified();
            let mut rung = std::pin::pin!(rung);
            rung.as_mut().enable();
            if times[place].arrived.load(Ordering::Acquire) != NEVER {
                return;
            }
            rung.await;
        }
    }

    /// A message has come to the member.
    pub(crate) fn note_arrival(&self, number: usize) {
        let now_us = self.now_us();
        let at = number.wrapping_sub(self.first.load(Ordering::Acquire));
        if let Some(times) = self.times().get(at) {
            times.arrived.store(now_us, Ordering::Release);
            self.bells[at % BELLS].notify_waiters();
        }
    }

    /// How long each of these messages took; fewer, where some never came.
    pub(crate) async fn latencies(&self, numbers: &[usize]) -> Vec<u32> {
        let (times, deadline) = (self.times(), Instant::now() + ARRIVAL_TIMEOUT);
        loop {
            let took = numbers.iter().filter_map(|at| {
                let times = &times[*at];
                let (sent, arrived) =
                    (times.sent.load(Ordering::Acquire), times.arrived.load(Ordering::Acquire));
                (arrived != NEVER).then(|| u32::try_from(arrived.saturating_sub(sent)).unwrap_or(u32::MAX))
            });
            let mut took: Vec<u32> = took.collect();
            if took.len() == numbers.len() || deadline < Instant::now() {
                took.sort_unstable();
                return took;
            }
            sleep(ASK_EVERY).await;
        }
    }
}

/// Messages `first..first + count` of a scene, signed for this host, by all processors.
pub(crate) async fn sign(
    scene: &Scene,
    root: &RootKey,
    address: SocketAddr,
    first: usize,
    count: usize,
) -> Result<Arc<[Vec<u8>]>> {
    let (scene, root, host) = (scene.clone(), root.clone(), address.to_string());
    let signing = tokio::task::spawn_blocking(move || {
        let sign_all = |numbers: std::ops::Range<usize>| {
            let author = Author::new(&root, REGION, &host);
            let sign = |number| author.write(&scene.message(number).encode(), clock::real());
            numbers.map(sign).collect::<Vec<_>>()
        };
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share = count.div_ceil(workers).max(1);
        std::thread::scope(|scope| {
            let shares = (first..first + count).step_by(share);
            let signing: Vec<_> = shares
                .map(|start| scope.spawn(move || sign_all(start..(start + share).min(first + count))))
                .collect();
            signing.into_iter().flat_map(|share| share.join().unwrap_or_default()).collect::<Arc<[_]>>()
        })
    });
    signing.await.map_err(|error| Error::failure(format!("the requests cannot be signed: {error}")))
}

/// What a round is to do.
pub(crate) struct Plan<'a> {
    /// To whom.
    pub(crate) address: SocketAddr,
    /// Over how many connections.
    pub(crate) connections: usize,
    /// For how long, unless the requests come to their end before.
    pub(crate) lasting: Duration,
    /// What to send.
    pub(crate) requests: &'a Arc<[Vec<u8>]>,
}

impl Plan<'_> {
    /// Sends each request once, and waits for the messages to arrive at the member: `first` is the number of
    /// the first one.
    pub(crate) async fn send(&self, board: &Arc<Board>, first: usize) -> Result<Round> {
        board.begin(first, self.requests.len());
        let (mut round, numbers) = self.run(self.requests.len(), Some(board.clone())).await?;
        round.socket_us = board.latencies(&numbers).await;
        Ok(round)
    }

    /// Sends each request once, to a channel in which nobody listens.
    pub(crate) async fn fill(&self) -> Result<Round> {
        Ok(self.run(self.requests.len(), None).await?.0)
    }

    /// Sends the requests over and over, to whoever does not mind.
    pub(crate) async fn repeat(&self) -> Result<Round> {
        Ok(self.run(usize::MAX, None).await?.0)
    }

    async fn run(&self, requests_max: usize, board: Option<Arc<Board>>) -> Result<(Round, Vec<usize>)> {
        let mut ready = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            ready.push(Connection::open(self.address).await.map_err(|error| lost(&error))?);
        }
        let (next, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let deadline = start + self.lasting;
        let mut senders = JoinSet::new();
        for connection in ready {
            let (next, requests, board) = (next.clone(), self.requests.clone(), board.clone());
            let sender = Sender { connection, next, requests, requests_max, board };
            senders.spawn(sender.send_until(deadline));
        }
        let (mut round, mut numbers) = (Round::default(), Vec::new());
        while let Some(sent) = senders.join_next().await {
            let sent =
                sent.map_err(|error| Error::failure(format!("a connection ended badly: {error}")))??;
            for (number, took_us) in sent {
                numbers.push(number);
                round.answer_us.push(took_us);
            }
        }
        round.elapsed = start.elapsed();
        round.answered = numbers.len();
        round.answer_us.sort_unstable();
        Ok((round, numbers))
    }
}

/// One connection of a round.
struct Sender {
    connection: Connection,
    next: Arc<AtomicUsize>,
    requests: Arc<[Vec<u8>]>,
    requests_max: usize,
    board: Option<Arc<Board>>,
}

impl Sender {
    /// Answers which requests it sent, and how long each took.
    async fn send_until(mut self, deadline: Instant) -> Result<Vec<(usize, u32)>> {
        let times = self.board.as_ref().map(|board| board.times());
        let mut sent = Vec::new();
        loop {
            let start = Instant::now();
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if deadline <= start || self.requests_max <= number {
                return Ok(sent);
            }
            if let (Some(board), Some(times)) = (&self.board, &times) {
                times[number].sent.store(board.now_us(), Ordering::Release);
            }
            let request = &self.requests[number % self.requests.len()];
            let answer = self.connection.exchange(request).await.map_err(|error| lost(&error))?;
            answer.expect_created()?;
            sent.push((number, u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX)));
        }
    }
}
