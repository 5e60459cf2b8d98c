//! A worker: a thread with one connection and a bounded queue of transactions of one lane or of several.
//!
//! One that writes takes all that waits, up to a bound, runs it, commits once, and answers all: the flush to disk
//! is what costs, and the whole batch shares it. A transaction that refuses before it wrote costs nothing. One
//! that refuses after it wrote has the batch run again with a mark before each; one that the engine could not
//! carry out has each run alone, so that only the faulty one fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use crate::engine::{Commit, Driver, Kind};
use crate::horizon::Horizon;
use crate::tx::Left;
use crate::{Committed, Error, Result, Sink, Ticket, Tx};

/// Transactions that wait for a worker; one more is refused with [`Error::Busy`].
const QUEUE_LEN_MAX: usize = 8_192;
/// Transactions that share a commit.
const BATCH_LEN_MAX: usize = 256;
/// How often a transaction that the engine wants run again is run.
const ATTEMPTS_MAX: usize = 8;

/// Who is told of commits, and what has been told.
pub(crate) type Told = (Sink, Arc<Horizon>);

pub(crate) struct Worker {
    queue: Option<mpsc::Sender<Box<dyn Work>>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread and waits until its connection stands.
    pub(crate) fn start(
        kind: Kind,
        number: usize,
        open: impl FnOnce() -> Result<Box<dyn Driver>> + Send + 'static,
        told: Told,
    ) -> Result<Self> {
        let (queue, waiting) = mpsc::channel(QUEUE_LEN_MAX);
        let (ready, opened) = std::sync::mpsc::channel();
        let name = match kind {
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Job => "job",
        };
        let thread = std::thread::Builder::new()
            .name(format!("store-{name}-{number}"))
            .spawn(move || match open() {
                Ok(driver) => {
                    let _ = ready.send(Ok(()));
                    let horizon = told.1.clone();
                    // What it had committed may not have been told: only a new start makes that good.
                    if catch_unwind(AssertUnwindSafe(move || run(driver, kind, waiting, &told))).is_err() {
                        tracing::error!("a worker of the store panicked; the server has to stop");
                        horizon.give_up();
                    }
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })
            .map_err(|error| Error::broken(format!("cannot start a thread: {error}")))?;
        opened.recv().map_err(|_| Error::broken("a worker ended before it began"))??;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Runs a transaction, at `place` among those of its batch.
    pub(crate) async fn run<T, E, F>(&self, place: u64, work: F) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Fn(&mut Tx) -> std::result::Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Box::new(Task { place, work, result: None, reply });
        let queue = self.queue.as_ref().expect("a worker that is being dropped has no callers");
        match queue.try_send(task) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(Error::Busy.into()),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return Err(Error::broken("the worker has ended").into());
            }
        }
        answer.await.unwrap_or_else(|_| Err(Error::broken("the worker ended before it answered").into()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.queue = None; // The thread ends once the queue is empty and closed.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A transaction that waits for its turn.
trait Work: Send {
    /// Where it stands in a batch.
    fn place(&self) -> u64;
    /// Runs it; false when it refuses, and is to be undone.
    fn run(&mut self, tx: &mut Tx) -> bool;
    /// Answers whoever waits: with what it returned, or with the reason why nothing of it stands.
    fn answer(self: Box<Self>, outcome: Result<()>);
}

struct Task<T, E, F> {
    place: u64,
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
    fn place(&self) -> u64 {
        self.place
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

type Queue = mpsc::Receiver<Box<dyn Work>>;

fn run(mut driver: Box<dyn Driver>, kind: Kind, mut queue: Queue, told: &Told) {
    let mut was_reached = true;
    while let Some(first) = queue.blocking_recv() {
        let reached = if kind == Kind::Read {
            read(driver.as_mut(), first)
        } else {
            write(driver.as_mut(), kind, batch(kind, first, &mut queue), told)
        };
        match &reached {
            Ok(()) if !was_reached => tracing::info!("the store is back"),
            Err(error) if was_reached => tracing::error!(%error, "the store cannot be reached"),
            _ => {}
        }
        was_reached = reached.is_ok();
        if let Err(error) = reached {
            // Whoever waits has waited about as long as those who were just refused, and would wait as long again.
            while let Ok(work) = queue.try_recv() {
                work.answer(Err(error.clone()));
            }
        }
    }
}

/// What waits, up to a bound, sorted by lane, so that everyone locks the rows of several lanes in one order. A job
/// locks many rows, and holds them for itself alone.
fn batch(kind: Kind, first: Box<dyn Work>, queue: &mut Queue) -> Vec<Box<dyn Work>> {
    let mut batch = vec![first];
    let most = if kind == Kind::Job { 1 } else { BATCH_LEN_MAX };
    while batch.len() < most
        && let Ok(next) = queue.try_recv()
    {
        batch.push(next);
    }
    batch.sort_by_key(|work| work.place());
    batch
}

/// Runs a transaction that reads; fails where the engine could not be reached.
fn read(driver: &mut dyn Driver, mut work: Box<dyn Work>) -> Result<()> {
    let mut outcome = Err(Error::Retry);
    for _ in 0..ATTEMPTS_MAX {
        outcome = driver.begin(Kind::Read).and_then(|()| {
            let mut tx = Tx::new(driver, None);
            work.run(&mut tx);
            tx.finish().failed.map_or(Ok(()), Err)
        });
        if outcome != Err(Error::Retry) {
            break;
        }
        driver.rollback();
    }
    let reached = outcome.clone();
    work.answer(outcome);
    driver.rollback(); // The answer does not wait for the end of the snapshot.
    reached.or_else(unless_unreachable)
}

fn unless_unreachable(error: Error) -> Result<()> {
    if matches!(error, Error::Unreachable(_)) { Err(error) } else { Ok(()) }
}

/// Runs transactions that write; fails where the engine could not be reached, with all of them answered.
fn write(driver: &mut dyn Driver, kind: Kind, mut batch: Vec<Box<dyn Work>>, told: &Told) -> Result<()> {
    let (sink, horizon) = told;
    let mut outcome = attempt(driver, &mut batch, Marks::None, horizon);
    if matches!(outcome, Outcome::Refused) {
        outcome = attempt(driver, &mut batch, Marks::Each, horizon);
    }
    let mut attempts = 1;
    while batch.len() == 1 && attempts < ATTEMPTS_MAX && is_to_run_again(&outcome, kind) {
        outcome = attempt(driver, &mut batch, Marks::Each, horizon);
        attempts += 1;
    }
    match outcome {
        Outcome::Committed(committed) => {
            sink(committed);
            for work in batch {
                work.answer(Ok(()));
            }
            Ok(())
        }
        Outcome::Undone(error @ (Error::Unreachable(_) | Error::Busy)) => {
            for work in batch {
                work.answer(Err(error.clone()));
            }
            unless_unreachable(error)
        }
        Outcome::Undone(error) if 1 < batch.len() => {
            tracing::debug!(%error, len = batch.len(), "a batch was undone; running its transactions alone");
            let mut reached = Ok(());
            for work in batch {
                match &reached {
                    Ok(()) => reached = write(driver, kind, vec![work], told),
                    Err(error) => work.answer(Err(Error::clone(error))),
                }
            }
            reached
        }
        Outcome::Undone(error) => {
            for work in batch {
                work.answer(Err(error.clone()));
            }
            Ok(())
        }
        Outcome::Unknown(committed) => {
            sink(committed);
            let error = Error::unreachable("the connection was lost while the commit was under way");
            for work in batch {
                work.answer(Err(error.clone()));
            }
            Ok(())
        }
        Outcome::Refused => unreachable!("with a mark before each, a refusal undoes itself alone"),
    }
}

/// Whether a transaction that runs alone runs again: the engine asks for it, something was not as it supposed, or it is
/// a job that gave way.
fn is_to_run_again(outcome: &Outcome, kind: Kind) -> bool {
    match outcome {
        Outcome::Undone(Error::Retry) => true,
        Outcome::Undone(Error::Busy) => kind == Kind::Job,
        _ => false,
    }
}

/// Where the transactions of a batch can be undone to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    /// To the start of the batch: enough while none refuses after it wrote, which is nearly always.
    None,
    /// To the start of each.
    Each,
}

enum Outcome {
    /// On disk, with what it leaves to tell.
    Committed(Committed),
    /// Nothing of it stands, because one of it refused after it wrote and there was no mark to go back to.
    Refused,
    /// Nothing of it stands.
    Undone(Error),
    /// The connection was lost while the commit was under way: it may stand or not.
    Unknown(Committed),
}

fn attempt(
    driver: &mut dyn Driver,
    batch: &mut [Box<dyn Work>],
    marks: Marks,
    horizon: &Arc<Horizon>,
) -> Outcome {
    let ticket = horizon.begin();
    let ran = run_all(driver, batch, marks, &ticket);
    let Left { events, work, .. } = match ran {
        Ok(Some(left)) => left,
        Ok(None) => {
            driver.rollback();
            return Outcome::Refused;
        }
        Err(error) => {
            driver.rollback();
            return Outcome::Undone(error);
        }
    };
    let committed = Committed { events, work, ticket, is_doubtful: false };
    match driver.commit() {
        Ok(Commit::Stands) => Outcome::Committed(committed),
        Ok(Commit::Unknown) => Outcome::Unknown(Committed { is_doubtful: true, ..committed }),
        Err(error) => {
            driver.rollback();
            Outcome::Undone(error)
        }
    }
}

fn run_all(
    driver: &mut dyn Driver,
    batch: &mut [Box<dyn Work>],
    marks: Marks,
    ticket: &Ticket,
) -> Result<Option<Left>> {
    driver.begin(Kind::Write)?;
    let mut left = Left::default();
    for work in batch {
        if marks == Marks::Each {
            driver.mark()?;
        }
        let mut tx = Tx::new(driver, Some(ticket)).after(&left.settlement);
        let keep = work.run(&mut tx);
        let end = tx.finish();
        if let Some(error) = end.failed {
            return Err(error);
        }
        match (keep, marks) {
            (true, _) => {
                left.events.extend(end.left.events);
                left.work.extend(end.left.work);
                left.settlement.append(end.left.settlement);
            }
            (false, Marks::Each) => driver.rollback_to_mark()?,
            (false, Marks::None) if end.wrote => return Ok(None),
            (false, Marks::None) => {}
        }
        if marks == Marks::Each {
            driver.unmark()?;
        }
    }
    std::mem::take(&mut left.settlement).run(driver)?;
    Ok(Some(left))
}
