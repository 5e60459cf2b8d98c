//! A batch: transactions that share one of the engine's.
//!
//! What they look at first is asked for all of them together. Then each runs to its end, one after the other, and what
//! it changes goes to the engine with the next question, or with the commit; so on an engine across a network a batch
//! waits for its looks, for its commit, and in between only for what somebody asks beyond that. A claim supposes that
//! its channel is as it was looked at; where that is not so, the batch is undone, and the next ones are careful.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use carillon_model::Key;
use tokio::time::Instant;

use crate::engine::{Commit, Driver, Kind};
use crate::horizon::Horizon;
use crate::known::Standings;
use crate::lane::{self, Lane};
use crate::look::{self, Looked};
use crate::measured::Measured;
use crate::outlets::{Known, Outlets};
use crate::reach::Reach;
use crate::standing::Look;
use crate::tx::Left;
use crate::{Committed, Error, Result, Sink, Ticket, Tx};

/// What the workers of a store share: who is told of commits, what has been told, and whether the engine is there.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) sink: Sink,
    pub(crate) horizon: Arc<Horizon>,
    pub(crate) reach: Arc<Reach>,
    pub(crate) outlets: Arc<Known>,
    pub(crate) measured: Arc<Measured>,
}

/// A transaction that waits for its turn.
pub(crate) trait Work: Send {
    /// Its lane; a read has none.
    fn lane(&self) -> Option<&Lane>;
    /// What it asks first.
    fn look(&self) -> Option<&Look>;
    /// Whether somebody still waits for its answer.
    fn is_awaited(&self) -> bool;
    /// Runs it; false when it refuses, and is to be undone.
    fn run(&mut self, tx: &mut Tx) -> bool;
    /// Answers whoever waits: with what it returned, or with the reason why nothing of it stands.
    fn answer(self: Box<Self>, outcome: Result<()>);
}

/// The engine could not be reached, and these are to be told so.
pub(crate) struct Unreached {
    pub(crate) error: Error,
    pub(crate) works: Vec<Box<dyn Work>>,
}

/// How many batches of a worker are careful after one that supposed too much: somebody else has its channels, too.
const CAREFUL_BATCHES: u32 = 64;
/// How often a transaction that the engine wants run again is run.
pub(crate) const ATTEMPTS_MAX: usize = 8;

/// What a worker keeps from batch to batch: for how many it is careful yet, and what it remembers.
#[derive(Default)]
pub(crate) struct Caution(u32, Standings);

/// Runs transactions that write, and answers all of them, but for those for which the engine could not be reached.
pub(crate) fn write(
    driver: &mut dyn Driver,
    (kind, caution): (Kind, &mut Caution),
    mut batch: Vec<Box<dyn Work>>,
    shared: &Shared,
) -> std::result::Result<(), Unreached> {
    let sink = &shared.sink;
    let mut how = How { marks: Marks::None, is_careful: kind == Kind::Job || 0 < caution.0 };
    caution.0 = caution.0.saturating_sub(1);
    let mut outcome = attempt(driver, &mut batch, how, (shared, &mut caution.1));
    if !how.is_careful && matches!(outcome, Outcome::Undone(Error::Retry)) {
        (caution.0, how.is_careful) = (CAREFUL_BATCHES, true);
        outcome = attempt(driver, &mut batch, how, (shared, &mut caution.1));
    }
    if matches!(outcome, Outcome::Refused) {
        how.marks = Marks::Each;
        outcome = attempt(driver, &mut batch, how, (shared, &mut caution.1));
    }
    let (mut attempts, again) = (1, How { marks: Marks::Each, is_careful: true });
    while batch.len() == 1 && attempts < ATTEMPTS_MAX && is_to_run_again(&outcome, kind) {
        outcome = attempt(driver, &mut batch, again, (shared, &mut caution.1));
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
        Outcome::Undone(error @ Error::Unreachable(_)) => Err(Unreached { error, works: batch }),
        Outcome::Undone(Error::Busy) => {
            shared.measured.of(kind).locked_out.fetch_add(batch.len() as u64, Ordering::Relaxed);
            fail_all(batch, &Error::Busy);
            Ok(())
        }
        Outcome::Undone(error) if 1 < batch.len() => {
            tracing::debug!(%error, len = batch.len(), "a batch was undone; running its transactions alone");
            let mut reached = Ok(());
            for work in batch {
                match &mut reached {
                    Ok(()) => reached = write(driver, (kind, caution), vec![work], shared),
                    Err(Unreached { works, .. }) => works.push(work),
                }
            }
            reached
        }
        Outcome::Undone(error) => {
            fail_all(batch, &error);
            Ok(())
        }
        Outcome::Unknown(committed) => {
            sink(committed);
            let error = Error::unreachable("the connection was lost while the commit was under way");
            fail_all(batch, &error);
            Ok(())
        }
        Outcome::Refused => unreachable!("with a mark before each, a refusal undoes itself alone"),
    }
}

/// Answers all who wait with the reason why nothing stands, as far as is known.
pub(crate) fn fail_all(batch: Vec<Box<dyn Work>>, error: &Error) {
    for work in batch {
        work.answer(Err(error.clone()));
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

/// How a batch is run.
#[derive(Clone, Copy)]
struct How {
    marks: Marks,
    /// Whether claims wait for their channels.
    is_careful: bool,
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
    how: How,
    (shared, standings): (&Shared, &mut Standings),
) -> Outcome {
    let (ticket, known) = (shared.horizon.begin(), shared.outlets.current());
    let ran = run_all(driver, batch, how, (&ticket, &known), standings);
    let Left { events, blanks, work, read, outlets, claimed, .. } = match ran {
        Ok(Some(left)) => left,
        Ok(None) => {
            shared.measured.undo();
            standings.forget();
            driver.rollback();
            return Outcome::Refused;
        }
        Err(error) => {
            shared.measured.undo();
            standings.forget();
            driver.rollback();
            return Outcome::Undone(error);
        }
    };
    let committed = Committed { events, blanks, work, read, ticket, is_doubtful: false };
    let begun = Instant::now();
    let end = driver.commit();
    shared.measured.commits.observe(begun.elapsed());
    match end {
        Ok(Commit::Stands) => {
            shared.measured.batches.observe(batch.len());
            shared.outlets.alter(outlets);
            standings.committed(&claimed);
            Outcome::Committed(committed)
        }
        Ok(Commit::Unknown) => {
            standings.forget();
            Outcome::Unknown(Committed { is_doubtful: true, ..committed })
        }
        Err(error) => {
            shared.measured.undo();
            standings.forget();
            driver.rollback();
            Outcome::Undone(error)
        }
    }
}

fn run_all(
    driver: &mut dyn Driver,
    batch: &mut [Box<dyn Work>],
    How { marks, is_careful }: How,
    (ticket, outlets): (&Ticket, &Outlets),
    standings: &mut Standings,
) -> Result<Option<Left>> {
    driver.begin(Kind::Write)?;
    enter_all(driver, batch)?;
    standings.begin(driver.others()?);
    let looked = look_all(driver, batch, standings)?;
    let mut left = Left::default();
    for (work, looked) in batch.iter_mut().zip(looked) {
        if marks == Marks::Each {
            driver.mark()?;
        }
        let mut tx = Tx::new(driver, Some(ticket)).knowing(outlets).after(&left, is_careful).having(looked);
        let keep = work.run(&mut tx);
        let end = tx.finish();
        forget_altered(driver, work.lane(), standings);
        if let Some(error) = end.failed {
            return Err(error);
        }
        match (keep, marks) {
            (true, _) => left.append(end.left),
            (false, Marks::Each) => driver.rollback_to_mark()?,
            (false, Marks::None) if end.wrote => return Ok(None),
            (false, Marks::None) => {}
        }
        if marks == Marks::Each {
            driver.unmark()?;
        }
    }
    std::mem::take(&mut left.settlement).run(driver)?;
    forget_altered(driver, None, standings);
    Ok(Some(left))
}

/// Forgets what a transaction of this lane altered of how people stand; without a lane, what anything altered.
fn forget_altered(driver: &mut dyn Driver, lane: Option<&Lane>, standings: &mut Standings) {
    if driver.take_altered() {
        standings.altered(lane);
    }
}

/// Enters the lanes of a batch that have a row for it.
fn enter_all(driver: &mut dyn Driver, batch: &[Box<dyn Work>]) -> Result<()> {
    let mut rows: Vec<Key> = batch.iter().filter_map(|work| work.lane()?.row()).collect();
    rows.dedup(); // The batch is sorted.
    rows.into_iter().try_for_each(|row| lane::enter(driver, row))
}

/// Looks at what the transactions ask first, in one go.
fn look_all(
    driver: &mut dyn Driver,
    batch: &[Box<dyn Work>],
    standings: &mut Standings,
) -> Result<Vec<Looked>> {
    let looks: Vec<Option<&Look>> = batch.iter().map(|work| work.look()).collect();
    look::all(driver, &looks, Some(standings))
}
