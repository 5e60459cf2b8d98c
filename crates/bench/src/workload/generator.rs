//! The load itself, over connections that stay open. Closed: each makes its next call as soon as the last was answered.
//! Open: calls are due at times of their own, and how long one takes counts from the moment at which it was due. So
//! while a server stands still, all that would have been asked meanwhile is seen to wait; a generator that measured
//! only from when it got round to asking would omit just that.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::call::{Call, Workload};
use super::pacing::{Gate, Pacing};
use super::times::Times;
use crate::client::Connection;
use crate::scene::{REGION, lost};
use carillon_server::clock;
use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, Result};
use carillon_server::request::Author;

/// How long one call may take.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// The longest answer of a refusal that is shown.
const WORDS_MAX: usize = 300;

/// When calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loop {
    /// As soon as the one before was answered, for so long.
    Closed(Duration),
    /// When they are due.
    Open(Pacing),
}

/// What is to be driven, and how.
#[derive(Clone)]
pub(crate) struct Drive {
    /// To whom.
    pub(crate) address: SocketAddr,
    /// Who signs.
    pub(crate) root: RootKey,
    /// What is called.
    pub(crate) workload: Arc<dyn Workload>,
    /// Which kind of its calls alone, by its place in their names.
    pub(crate) only: Option<usize>,
    /// Over how many connections.
    pub(crate) connections: usize,
    /// When.
    pub(crate) how: Loop,
    /// What chance is drawn from; each connection draws its own.
    pub(crate) seed: u64,
    /// The number of the next call. Rounds go on counting.
    pub(crate) next: Arc<AtomicU64>,
    /// How many calls were answered so far, for whoever watches.
    pub(crate) answered: Arc<AtomicU64>,
    /// Ends a round before its time.
    pub(crate) stop: CancellationToken,
}

/// What a round brought.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// How long the calls of each kind took that succeeded.
    pub(crate) kinds: Vec<Times>,
    /// How many were refused, by their status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// What the first of them was told.
    pub(crate) first_refusal: Option<String>,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

impl Round {
    /// Calls that succeeded.
    pub(crate) fn count(&self) -> u64 {
        self.kinds.iter().map(Times::count).sum()
    }

    /// The times of all kinds together.
    pub(crate) fn times(&self) -> Times {
        let mut all = Times::default();
        self.kinds.iter().for_each(|kind| all.add(kind));
        all
    }

    /// Takes what another brought in, which went on beside.
    pub(crate) fn add(&mut self, other: Self) {
        for (times, more) in self.kinds.iter_mut().zip(&other.kinds) {
            times.add(more);
        }
        for (status, count) in other.refused {
            *self.refused.entry(status).or_default() += count;
        }
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
    }
}

impl Drive {
    /// One round.
    pub(crate) async fn run(&self) -> Result<Round> {
        let mut ready = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            ready.push(Connection::open(self.address).await.map_err(|error| lost(&error))?);
        }
        let (stop, start) = (self.stop.child_token(), Instant::now());
        let _stopped = stop.clone().drop_guard();
        let turns = Turns { how: self.how, start, gate: Arc::new(Gate::default()), stop: stop.clone() };
        if let Loop::Open(pacing) = self.how {
            let gate = turns.gate.clone();
            let thread = std::thread::Builder::new().name("pacing".to_owned());
            let thread = thread.spawn(move || pacing.admit(start, &gate, &stop));
            thread.map_err(|error| Error::failure(format!("a thread cannot start: {error}")))?;
        }
        let mut callers = JoinSet::new();
        for (at, connection) in (0..).zip(ready) {
            let first = self.next.load(Ordering::Relaxed);
            let random = StdRng::seed_from_u64(self.seed ^ (first << 16) ^ at);
            callers.spawn(Caller { drive: self.clone(), turns: turns.clone(), connection, random }.run());
        }
        let mut round = Round { kinds: self.empty(), ..Round::default() };
        while let Some(called) = callers.join_next().await {
            let called = called.map_err(|error| Error::failure(format!("a caller ended badly: {error}")))?;
            round.add(called?);
        }
        round.elapsed = start.elapsed();
        Ok(round)
    }

    fn empty(&self) -> Vec<Times> {
        vec![Times::default(); self.workload.kinds().len()]
    }
}

/// Who calls next, and when.
#[derive(Clone)]
struct Turns {
    how: Loop,
    start: Instant,
    gate: Arc<Gate>,
    stop: CancellationToken,
}

impl Turns {
    /// Waits for the next turn; answers when it began, or should have.
    async fn next(&self) -> Option<Instant> {
        match self.how {
            Loop::Closed(lasting) => {
                let now = Instant::now();
                (now < self.start + lasting && !self.stop.is_cancelled()).then_some(now)
            }
            Loop::Open(pacing) => Some(self.start + pacing.due_after(self.gate.pass().await?)),
        }
    }
}

/// One connection of a round.
struct Caller {
    drive: Drive,
    turns: Turns,
    connection: Connection,
    random: StdRng,
}

impl Caller {
    async fn run(mut self) -> Result<Round> {
        let (host, root) = (self.drive.address.to_string(), self.drive.root.clone());
        let author = Author::new(&root, REGION, &host);
        let mut round = Round { kinds: self.drive.empty(), ..Round::default() };
        loop {
            // Made and signed before its time: what a client takes for that is not the server's.
            let (number, call) = self.choose();
            let request = author.write(&call.outgoing, clock::real());
            let Some(began) = self.turns.next().await else { return Ok(round) };
            self.call(number, &call, &request, began, &mut round).await?;
        }
    }

    /// The next call that is to be made, and its number.
    fn choose(&mut self) -> (u64, Call) {
        loop {
            let number = self.drive.next.fetch_add(1, Ordering::Relaxed);
            let call = self.drive.workload.call(number, &mut self.random);
            if self.drive.only.is_none_or(|kind| kind == call.kind) {
                return (number, call);
            }
        }
    }

    async fn call(
        &mut self,
        number: u64,
        call: &Call,
        request: &[u8],
        began: Instant,
        round: &mut Round,
    ) -> Result<()> {
        let workload = &self.drive.workload;
        let ears = workload.audience().map(|audience| &audience.ears).filter(|_| 0 < call.listeners);
        if let Some(ears) = ears {
            ears.expect(number, began, call.listeners);
        }
        let answered = timeout(ANSWER_TIMEOUT, self.connection.exchange(request)).await;
        let answered = answered.map_err(|_| Error::failure("a call was not answered in time"))?;
        let answer = answered.map_err(|error| lost(&error))?;
        self.drive.answered.fetch_add(1, Ordering::Relaxed);
        if answer.status != call.status {
            *round.refused.entry(answer.status).or_default() += 1;
            round.first_refusal.get_or_insert_with(|| {
                String::from_utf8_lossy(answer.body).chars().take(WORDS_MAX).collect()
            });
            if let Some(ears) = ears {
                ears.forget(number, call.listeners);
            }
            return Ok(());
        }
        round.kinds[call.kind].note(began.elapsed());
        workload.note_answer(call, answer.body);
        match ears {
            Some(ears) if workload.waits_for_audience() && matches!(self.turns.how, Loop::Closed(_)) => {
                ears.all_told(number).await
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use carillon_service::operation::Outgoing;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::*;

    struct Nothing;

    impl Workload for Nothing {
        fn kinds(&self) -> &'static [&'static str] {
            &["nothing"]
        }
        fn call(&self, _number: u64, _random: &mut StdRng) -> Call {
            let operation = carillon_service::operations::identity::list_app_instances::ListAppInstances {
                max_results: None,
                next_token: None,
            };
            let outgoing: Outgoing = carillon_service::operation::Operation::encode(&operation);
            Call { kind: 0, outgoing, status: 200, listeners: 0, about: (0, 0) }
        }
    }

    /// How long a server stands still, once, and after how many answers.
    const STALL: Duration = Duration::from_millis(500);
    const STALL_AFTER: usize = 20;

    /// A server that answers at once, but for one call, which it answers late.
    async fn stalling() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut buffer, mut answered) = (vec![0; 16 * 1024], 0);
            while let Ok(1..) = stream.read(&mut buffer).await {
                if answered == STALL_AFTER {
                    sleep(STALL).await;
                }
                answered += 1;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        });
        address
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_open_loop_sees_all_that_one_stall_made_wait() {
        let root = RootKey::new("AKIATEST".to_owned(), "secret".to_owned()).unwrap();
        let pacing = Pacing { per_second: 200, lasting: Duration::from_secs(1), is_day: false };
        let drive = Drive {
            address: stalling().await,
            root,
            workload: Arc::new(Nothing),
            only: None,
            connections: 1,
            how: Loop::Open(pacing),
            seed: 1,
            next: Arc::default(),
            answered: Arc::default(),
            stop: CancellationToken::new(),
        };
        let round = drive.run().await.unwrap();
        assert_eq!((round.count(), round.refused.len()), (200, 0), "none is left out");
        // One answer was late. A hundred calls were due meanwhile, and no more than a fifth of them in its last tenth
        // of a second: a slow machine can only make more of them wait longer.
        let half = round.times().spread().p50_ms;
        assert!(100.0 <= round.times().spread().p90_ms, "half took {half} ms");
    }
}
