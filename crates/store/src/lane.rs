//! A lane: a thread with one connection and a bounded queue of transactions.
//!
//! A write lane takes all that waits, up to a bound, runs it, commits once, and answers all: the flush to disk
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

/// Transactions that wait in a lane; one more is refused with [`Error::Busy`].
const QUEUE_LEN_MAX: usize = 8_192;
/// Transactions that share a commit.
const BATCH_LEN_MAX: usize = 256;
/// How often a transaction that the engine wants run again is run.
const ATTEMPTS_MAX: usize = 8;

/// Who is told of commits, and what has been told.
pub(crate) type Told = (Sink, Arc<Horizon>);

pub(crate) struct Lane {
    queue: Option<mpsc::Sender<Box<dyn Work>>>,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    /// Starts the thread and waits until its connection stands.
    pub(crate) fn start(
        kind: Kind,
        number: usize,
        open: impl FnOnce() -> Result<Box<dyn Driver>> + Send + 'static,
        told: Told,
    ) -> Result<Self> {
        let (queue, waiting) = mpsc::channel(QUEUE_LEN_MAX);
        let (ready, opened) = std::sync::mpsc::channel();
        let name = if kind == Kind::Write { "write" } else { "read" };
        let thread = std::thread::Builder::new()
            .name(format!("store-{name}-{number}"))
            .spawn(move || match open() {
                Ok(driver) => {
                    let _ = ready.send(Ok(()));
                    run(driver, kind, waiting, &told);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })
            .map_err(|error| Error::broken(format!("cannot start a thread: {error}")))?;
        opened.recv().map_err(|_| Error::broken("a lane ended before it began"))??;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    pub(crate) async fn run<T, E, F>(&self, work: F) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Fn(&mut Tx) -> std::result::Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Box::new(Task { work, result: None, reply });
        let queue = self.queue.as_ref().expect("a lane that is being dropped has no callers");
        match queue.try_send(task) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(Error::Busy.into()),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return Err(Error::broken("the lane has ended").into());
            }
        }
        answer.await.unwrap_or_else(|_| Err(Error::broken("the lane ended before it answered").into()))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.queue = None; // The thread ends once the queue is empty and closed.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A transaction that waits for its turn.
trait Work: Send {
    /// Runs it; false when it refuses, and is to be undone.
    fn run(&mut self, tx: &mut Tx) -> bool;
    /// Answers whoever waits: with what it returned, or with the reason why nothing of it stands.
    fn answer(self: Box<Self>, outcome: Result<()>);
}

struct Task<T, E, F> {
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
    fn run(&mut self, tx: &mut Tx) -> bool {
        // A panic in one transaction must not take the lane, and every later write, with it.
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

fn run(mut driver: Box<dyn Driver>, kind: Kind, mut queue: mpsc::Receiver<Box<dyn Work>>, told: &Told) {
    while let Some(first) = queue.blocking_recv() {
        if kind == Kind::Read {
            read(driver.as_mut(), first);
            continue;
        }
        let mut batch = vec![first];
        while batch.len() < BATCH_LEN_MAX
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        write(driver.as_mut(), batch, told);
    }
}

fn read(driver: &mut dyn Driver, mut work: Box<dyn Work>) {
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
    work.answer(outcome);
    driver.rollback(); // The answer does not wait for the end of the snapshot.
}

fn write(driver: &mut dyn Driver, mut batch: Vec<Box<dyn Work>>, told: &Told) {
    let (sink, horizon) = told;
    let mut outcome = attempt(driver, &mut batch, Marks::None, horizon);
    if matches!(outcome, Outcome::Refused) {
        outcome = attempt(driver, &mut batch, Marks::Each, horizon);
    }
    let mut attempts = 1;
    while batch.len() == 1 && attempts < ATTEMPTS_MAX && matches!(outcome, Outcome::Undone(Error::Retry)) {
        outcome = attempt(driver, &mut batch, Marks::Each, horizon);
        attempts += 1;
    }
    match outcome {
        Outcome::Committed(committed) => {
            sink(committed);
            for work in batch {
                work.answer(Ok(()));
            }
        }
        Outcome::Undone(error) if 1 < batch.len() => {
            tracing::debug!(%error, len = batch.len(), "a batch was undone; running its transactions alone");
            for work in batch {
                write(driver, vec![work], told);
            }
        }
        Outcome::Undone(error) => {
            for work in batch {
                work.answer(Err(error.clone()));
            }
        }
        Outcome::Unknown(committed) => {
            sink(committed);
            let error = Error::broken("the connection was lost while the commit was under way");
            for work in batch {
                work.answer(Err(error.clone()));
            }
        }
        Outcome::Refused => unreachable!("with a mark before each, a refusal undoes itself alone"),
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
    let Left { events, work } = match run_all(driver, batch, marks, &ticket) {
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
        let mut tx = Tx::new(driver, Some(ticket));
        let keep = work.run(&mut tx);
        let end = tx.finish();
        if let Some(error) = end.failed {
            return Err(error);
        }
        match (keep, marks) {
            (true, _) => {
                left.events.extend(end.left.events);
                left.work.extend(end.left.work);
            }
            (false, Marks::Each) => driver.rollback_to_mark()?,
            (false, Marks::None) if end.wrote => return Ok(None),
            (false, Marks::None) => {}
        }
        if marks == Marks::Each {
            driver.unmark()?;
        }
    }
    Ok(Some(left))
}
