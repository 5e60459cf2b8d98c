//! A transaction, as the SQL modules see it.

use std::collections::BTreeSet;

use carillon_model::Timestamp;
use carillon_model::event::{Audience, Event};

use crate::engine::{Change, Driver, Owned, Row, Value};
use crate::horizon::Ticket;
use crate::settlement::{Noted, Settlement, Shared, Token};
use crate::{Error, Result, Work, outbox};

/// One transaction. Its methods are for the SQL modules of this crate; everyone else passes it on, and emits.
pub struct Tx<'a> {
    driver: &'a mut dyn Driver,
    /// Of the batch that this is a part of; a transaction that tells nobody has none.
    ticket: Option<&'a Ticket>,
    /// What the transactions before it in its batch leave to be done at the end.
    before: Option<&'a Settlement>,
    left: Left,
    /// Set by the first statement that failed: an engine may have given the transaction up, so nothing may
    /// follow, and nothing of it may be committed.
    failed: Option<Error>,
    wrote: bool,
}

/// What a transaction leaves to be told and to be done.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) events: Vec<Event>,
    pub(crate) work: BTreeSet<Work>,
    /// Not done yet: the batch does it at its end.
    pub(crate) settlement: Settlement,
}

/// How a transaction ended.
pub(crate) struct End {
    pub(crate) left: Left,
    pub(crate) failed: Option<Error>,
    pub(crate) wrote: bool,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(driver: &'a mut dyn Driver, ticket: Option<&'a Ticket>) -> Self {
        Self { driver, ticket, before: None, left: Left::default(), failed: None, wrote: false }
    }

    /// The same, after others of its batch.
    pub(crate) fn after(self, before: &'a Settlement) -> Self {
        Self { before: Some(before), ..self }
    }

    /// The instant of what this transaction does at `now`: later where something that was done later was told already.
    /// No event may be earlier.
    pub fn instant(&self, now: Timestamp) -> Timestamp {
        self.ticket.map_or(now, |ticket| ticket.instant(now))
    }

    /// Stores an event in the outbox; it is published after the commit.
    pub fn emit(&mut self, event: Event) -> Result<()> {
        debug_assert!(
            event.audience == Audience::default()
                || self.ticket.is_none_or(|ticket| ticket.floor() <= event.at),
            "an event is earlier than what was told: its channel's clock must not be behind Tx::instant"
        );
        outbox::insert(self, &event)?;
        self.left.events.push(event);
        Ok(())
    }

    /// Says that the commit leaves something to be done soon.
    pub fn wake(&mut self, work: Work) {
        self.left.work.insert(work);
    }

    pub(crate) fn rows<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.run(|driver| {
            driver.query(sql, values, &mut |row| {
                rows.push(read(row)?);
                Ok(())
            })
        })?;
        Ok(rows)
    }

    pub(crate) fn row<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.rows(sql, values, read)?.pop())
    }

    /// Changes rows and shows one of them.
    pub(crate) fn change<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.wrote = true;
        self.row(sql, values, read)
    }

    pub(crate) fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64> {
        self.wrote = true;
        self.run(|driver| driver.execute(sql, values))
    }

    pub(crate) fn defer(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.wrote = true;
        self.run(|driver| driver.defer(sql, values))
    }

    /// Changes a row that lanes share, at the end of the batch. The statement must change it, and says in its condition
    /// what it supposes of it: where it does not, nothing stands, and the transaction runs again. So whoever calls this
    /// looked first, and refuses by what it saw.
    pub(crate) fn settle(&mut self, row: Shared, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.note(row, sql, values, true)
    }

    /// The same where the row may be gone, and nobody minds.
    pub(crate) fn settle_if_there(
        &mut self,
        row: Shared,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<()> {
        self.note(row, sql, values, false)
    }

    fn note(&mut self, row: Shared, sql: &'static str, values: &[Value<'_>], must: bool) -> Result<()> {
        let values = values.iter().map(Owned::from).collect();
        self.check()?;
        self.left.settlement.add(row, Change { sql, values, must });
        Ok(())
    }

    /// What an earlier request of the same batch with this token led to.
    pub(crate) fn noted_token(&self, token: &Token) -> Option<Noted> {
        let before = self.before.and_then(|before| before.find_token(token));
        before.or_else(|| self.left.settlement.find_token(token)).cloned()
    }

    /// Notes what a request with a token leads to.
    pub(crate) fn note_token(&mut self, token: Token, noted: Noted) {
        self.left.settlement.note_token(token, noted);
    }

    fn run<T>(&mut self, statement: impl FnOnce(&mut dyn Driver) -> Result<T>) -> Result<T> {
        self.check()?;
        statement(self.driver).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn check(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn finish(self) -> End {
        End { left: self.left, failed: self.failed, wrote: self.wrote }
    }
}
