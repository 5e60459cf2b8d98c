//! Workers: threads with one connection each, and a bounded queue of transactions that they take from.
//!
//! One that writes takes all that waits, up to a bound, runs it, commits once, and answers all: the flush to disk
//! is what costs, and the whole batch shares it. A transaction that refuses before it wrote costs nothing. One
//! that refuses after it wrote has the batch run again with a mark before each; one that the engine could not
//! carry out has each run alone, so that only the faulty one fails. It has its queue for itself, so that writes of one
//! lane come one after the other; those that read share one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::batch::{ATTEMPTS_MAX, Caution, Shared, Unreached, Work, fail_all, write};
use crate::engine::{Driver, Kind, Opened};
use crate::lane::Lane;
use crate::look;
use crate::measured::{Measured, OfKind, count};
use crate::queue::Queue;
use crate::standing::Look;
use crate::{Error, Result, Tx};

/// Transactions that wait for workers; one more is refused with [`Error::Busy`].
const QUEUE_LEN_MAX: usize = 8_192;
/// Transactions that share a commit.
const BATCH_LEN_MAX: usize = 256;
/// How long whoever calls waits, for all the transactions of a request together. One that waits for its turn by then is
/// not run; of one that runs, nobody learns what became of it. Jobs take what time they need.
const WAIT_MAX: Duration = Duration::from_millis(9_500);

tokio::task_local! {
    /// Until when whoever made the request of this task waits.
    static DEADLINE: Instant;
}

/// Has all the transactions of a request wait for 9.5 seconds together, from now on. One that is wanted outside any
/// request may wait for so long by itself.
pub fn as_one_request<F: Future>(request: F) -> impl Future<Output = F::Output> {
    until(Instant::now() + WAIT_MAX, request)
}

pub(crate) fn until<F: Future>(deadline: Instant, request: F) -> impl Future<Output = F::Output> {
    DEADLINE.scope(deadline, request)
}

pub(crate) type Tasks = Queue<Box<dyn Work>>;

/// How long whoever calls waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A client is to be answered.
    Bounded,
    /// It is a job.
    Patient,
}

pub(crate) struct Workers {
    kind: Kind,
    queue: Arc<Tasks>,
    measured: Arc<Measured>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts them, and waits until their connections stand.
    pub(crate) fn start(
        kind: Kind,
        names: impl IntoIterator<Item = String>,
        open: impl Fn() -> Result<Opened> + Clone + Send + 'static,
        shared: &Shared,
    ) -> Result<Self> {
        let queue = Arc::new(Queue::new(QUEUE_LEN_MAX));
        let measured = shared.measured.clone();
        let mut workers = Self { kind, queue: queue.clone(), measured, threads: Vec::new() };
        for name in names {
            workers.threads.push(start(kind, &name, open.clone(), queue.clone(), shared.clone())?);
        }
        Ok(workers)
    }

    /// Those that have no threads: [`turn`] lets them work.
    pub(crate) fn without_threads(kind: Kind, shared: &Shared) -> Self {
        let (queue, measured) = (Arc::new(Queue::new(QUEUE_LEN_MAX)), shared.measured.clone());
        Self { kind, queue, measured, threads: Vec::new() }
    }

    /// What waits for them.
    pub(crate) fn queue(&self) -> Arc<Tasks> {
        self.queue.clone()
    }

    /// What is measured of its kind, and how many wait for it.
    pub(crate) fn measured(&self) -> OfKind<'_> {
        let kind = match self.kind {
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Job => "job",
        };
        OfKind { kind, transactions: self.measured.of(self.kind), waiting: self.queue.len() }
    }

    /// Runs a transaction, among those of its batch in the order of lanes, for somebody who waits so long.
    pub(crate) async fn run<T, E, F>(
        &self,
        lane: Option<Lane>,
        wait: Wait,
        look: Option<Look>,
        work: F,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Fn(&mut Tx) -> std::result::Result<T, E> + Send + 'static,
    {
        let now = Instant::now();
        let deadline = DEADLINE.try_with(|deadline| *deadline).unwrap_or(now + WAIT_MAX);
        let measured = self.measured.of(self.kind);
        if wait == Wait::Bounded && deadline <= now {
            count(&measured.too_late);
            return Err(Error::Busy.into());
        }
        let (reply, answer) = oneshot::channel();
        if !self.queue.push(Box::new(Task { lane, look, work, result: None, reply })) {
            count(&measured.too_many);
            return Err(Error::Busy.into());
        }
        let answer = match wait {
            Wait::Patient => answer.await,
            Wait::Bounded => {
                let Ok(answer) = tokio::time::timeout_at(deadline, answer).await else {
                    count(&measured.too_late);
                    return Err(Error::Busy.into());
                };
                answer
            }
        };
        measured.times.observe(now.elapsed());
        answer.unwrap_or_else(|_| Err(Error::broken("the worker ended before it answered").into()))
    }
}

fn start(
    kind: Kind,
    name: &str,
    open: impl FnOnce() -> Result<Opened> + Send + 'static,
    queue: Arc<Tasks>,
    shared: Shared,
) -> Result<JoinHandle<()>> {
    let (ready, opened) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new()
        .name(format!("store-{name}"))
        .spawn(move || match open() {
            Ok(mut opened) => {
                let _ = ready.send(Ok(()));
                let mut run = || opened.hold(|driver| run(driver, kind, &queue, &shared));
                // What it had committed may not have been told: only a new start makes that good.
                if catch_unwind(AssertUnwindSafe(&mut run)).is_err() {
                    tracing::error!("a worker of the store panicked; the server has to stop");
                    shared.horizon.give_up();
                }
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        })
        .map_err(|error| Error::broken(format!("cannot start a thread: {error}")))?;
    opened.recv().map_err(|_| Error::broken("a worker ended before it began"))??;
    Ok(thread)
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue.close(); // The threads end once it is empty.
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Task<T, E, F> {
    lane: Option<Lane>,
    look: Option<Look>,
    work: F,
    result: Option<std::result::Result<T, E>>,
    reply: oneshot::Sender<std::result::Result<T, E>>,
}

impl<T, E, F> Work for Task<T, E, F>
where
    T: Send,
    E: From<Error> + Send,
    F: Fn(&mut Tx) -> std::result::Result<T, E> + Send,
{
    fn lane(&self) -> Option<&Lane> {
        self.lane.as_ref()
    }

    fn look(&self) -> Option<&Look> {
        self.look.as_ref()
    }

    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, tx: &mut Tx) -> bool {
        // A panic in one transaction must not take the worker, and every later write, with it.
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(tx)));
        let result = result.unwrap_or_else(|_| Err(Error::broken("a transaction panicked").into()));
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn answer(self: Box<Self>, outcome: Result<()>) {
        let result = match (outcome, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::broken("a transaction did not run").into()),
            (Err(error), _) => Err(error.into()),
        };
        let _ = self.reply.send(result); // Whoever asked may have gone.
    }
}

fn run(driver: &mut dyn Driver, kind: Kind, queue: &Tasks, shared: &Shared) {
    let mut caution = Caution::default();
    while turn(driver, kind, &mut caution, (queue, shared)) {}
}

/// Waits for something to do, and does a batch of it; false once nothing will come any more.
pub(crate) fn turn(
    driver: &mut dyn Driver,
    kind: Kind,
    caution: &mut Caution,
    (queue, shared): (&Tasks, &Shared),
) -> bool {
    // A job locks many rows, and holds them for itself alone.
    let most = if kind == Kind::Write { BATCH_LEN_MAX } else { 1 };
    let mut batch = queue.take(most);
    if batch.is_empty() {
        return false;
    }
    batch.retain(|work| work.is_awaited());
    // By lane, so that everyone locks the rows of several lanes in one order.
    batch.sort_by(|one, other| one.lane().cmp(&other.lane()));
    let begun = shared.reach.begin();
    let reached = match kind {
        Kind::Read => batch.into_iter().try_for_each(|work| read(driver, work)),
        Kind::Write | Kind::Job if batch.is_empty() => Ok(()),
        Kind::Write | Kind::Job => write(driver, (kind, caution), batch, shared),
    };
    if let Err(Unreached { error, works }) = reached {
        shared.reach.lost(begun, &error);
        // Whoever waits has waited about as long as those who are refused, and would wait as long again. Who comes
        // back at once is not among them.
        let waiting = queue.take_all();
        fail_all(works, &error);
        fail_all(waiting, &error);
    } else {
        shared.reach.reached(begun);
    }
    true
}

/// Runs a transaction that reads, and answers it, unless the engine could not be reached.
fn read(driver: &mut dyn Driver, mut work: Box<dyn Work>) -> std::result::Result<(), Unreached> {
    let mut outcome = Err(Error::Retry);
    for _ in 0..ATTEMPTS_MAX {
        outcome = read_once(driver, work.as_mut());
        if outcome != Err(Error::Retry) {
            break;
        }
        driver.rollback();
    }
    if let Err(error @ Error::Unreachable(_)) = outcome {
        driver.rollback();
        return Err(Unreached { error, works: vec![work] });
    }
    work.answer(outcome);
    driver.rollback(); // The answer does not wait for the end of the snapshot.
    Ok(())
}

/// One look needs no snapshot; whoever asks nothing else waits for one answer, and leaves no transaction to be ended.
fn read_once(driver: &mut dyn Driver, work: &mut dyn Work) -> Result<()> {
    let looked = look::all(driver, &[work.look()], None)?.pop().unwrap_or_default();
    driver.begin(Kind::Read)?;
    let mut tx = Tx::new(driver, None).having(looked);
    work.run(&mut tx);
    tx.finish().failed.map_or(Ok(()), Err)
}
