//! An engine that fails where a test says: a driver before a true one, which counts the steps of all connections of a
//! store, and does at one of them what an engine may do at any.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Commit, Declared, Driver, EachRow, Effect, Kind, Query, Value};
use crate::{Error, Result, Row};

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The engine fails, and nothing of the step is done.
    Fails,
    /// It wants the transaction run again.
    Again,
    /// The connection is lost before the step was done.
    Lost,
    /// The connection is lost after a commit was done, and nobody learns of it; a statement is lost.
    AnswerLost,
}

/// What an engine is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// To do or to answer something.
    Statement,
    /// To make what was done durable.
    Commit,
}

/// Where a store is to fail. It counts only while it is armed.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    is_counting: bool,
    /// The number of the step, from one on.
    at: Option<(usize, Fault)>,
    steps: Vec<Step>,
}

impl Faults {
    /// Counts from now on, and fails at the step of this number.
    pub fn arm(&self, at: Option<(usize, Fault)>) {
        *self.plan() = Plan { is_counting: true, at, steps: Vec::new() };
    }

    /// Counts no more; answers what was asked meanwhile.
    pub fn disarm(&self) -> Vec<Step> {
        std::mem::take(&mut *self.plan()).steps
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, step: Step) -> Option<Fault> {
        let mut plan = self.plan();
        if !plan.is_counting {
            return None;
        }
        plan.steps.push(step);
        let number = plan.steps.len();
        plan.at.filter(|(at, _)| *at == number).map(|(_, fault)| fault)
    }
}

/// A connection that fails.
pub(super) struct Faulty<'d> {
    inner: &'d mut dyn Driver,
    faults: &'d Faults,
}

impl<'d> Faulty<'d> {
    pub(super) fn before(inner: &'d mut dyn Driver, faults: &'d Faults) -> Self {
        Self { inner, faults }
    }

    fn statement(&mut self) -> Result<&mut dyn Driver> {
        match self.faults.find(Step::Statement) {
            None => Ok(&mut *self.inner),
            Some(Fault::Fails) => Err(Error::broken("a statement that is to fail")),
            Some(Fault::Again) => Err(Error::Retry),
            Some(Fault::Lost | Fault::AnswerLost) => {
                Err(Error::unreachable("a connection that is to be lost"))
            }
        }
    }
}

impl Driver for Faulty<'_> {
    fn query(&mut self, sql: &'static str, values: &[Value<'_>], each: &mut EachRow<'_>) -> Result<()> {
        self.statement()?.query(sql, values, each)
    }

    fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64> {
        self.statement()?.execute(sql, values)
    }

    fn query_all(
        &mut self,
        queries: &[Query],
        each: &mut dyn FnMut(usize, &mut Row<'_>) -> Result<()>,
    ) -> Result<()> {
        self.statement()?.query_all(queries, each)
    }

    fn defer(&mut self, sql: &'static str, values: &[Value<'_>], effect: Effect) -> Result<()> {
        self.statement()?.defer(sql, values, effect)
    }

    fn append(&mut self, sql: &'static str, values: &[Value<'_>], effect: Effect) -> Result<()> {
        self.statement()?.append(sql, values, effect)
    }

    fn suppose(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.statement()?.suppose(sql, values)
    }

    fn overwrite(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.statement()?.overwrite(sql, values)
    }

    fn lock(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.statement()?.lock(sql, values)
    }

    fn time(&mut self) -> Result<Option<i64>> {
        self.statement()?.time()
    }

    fn columns(&mut self, table: &str) -> Result<Vec<Declared>> {
        self.statement()?.columns(table)
    }

    fn rest(&mut self) -> Result<()> {
        self.statement()?.rest()
    }

    fn others(&mut self) -> Result<Option<i64>> {
        self.statement()?.others()
    }

    fn take_altered(&mut self) -> bool {
        self.inner.take_altered()
    }

    fn take_time(&mut self) -> Result<()> {
        self.statement()?.take_time()
    }

    fn begin(&mut self, kind: Kind) -> Result<()> {
        self.statement()?.begin(kind)
    }

    fn commit(&mut self) -> Result<Commit> {
        match self.faults.find(Step::Commit) {
            None => self.inner.commit(),
            Some(Fault::Fails) => Err(Error::broken("a commit that is to fail")),
            Some(Fault::Again) => Err(Error::Retry),
            Some(Fault::Lost) => {
                self.inner.rollback();
                Ok(Commit::Unknown)
            }
            Some(Fault::AnswerLost) => self.inner.commit().map(|_| Commit::Unknown),
        }
    }

    fn rollback(&mut self) {
        self.inner.rollback();
    }

    fn mark(&mut self) -> Result<()> {
        self.statement()?.mark()
    }

    fn rollback_to_mark(&mut self) -> Result<()> {
        self.statement()?.rollback_to_mark()
    }

    fn unmark(&mut self) -> Result<()> {
        self.statement()?.unmark()
    }

    fn define(&mut self, ddl: &str) -> Result<()> {
        self.statement()?.define(ddl)
    }

    fn define_beside(&mut self, ddl: &str) -> Result<()> {
        self.statement()?.define_beside(ddl)
    }
}
