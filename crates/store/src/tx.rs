//! A transaction, as the SQL modules see it.

use std::collections::{BTreeMap, BTreeSet};

use carillon_model::event::Event;
use carillon_model::{Key, Timestamp};

use crate::claim::Claimed;
use crate::engine::{Change, Declared, Driver, Effect, Query, Value};
use crate::horizon::Ticket;
use crate::look::Looked;
use crate::outlets::{Alteration, Outlets};
use crate::read_marker::Moved;
use crate::settlement::{Noted, Settlement, Shared, Token};
use crate::{Error, Result, Row, Work, outbox, outgoing};

/// The time by a clock of the engine's own; nothing where it has only that of this machine.
pub fn engine_time(tx: &mut Tx) -> Result<Option<Timestamp>> {
    Ok(tx.run(|driver| driver.time())?.map(Timestamp::from_ms))
}

/// Gives back what the worker's connection keeps only to save itself reading, where that is memory of this process.
pub fn rest(tx: &mut Tx) -> Result<()> {
    tx.run(|driver| driver.rest())
}

/// One transaction. Its methods are for the SQL modules of this crate; everyone else passes it on, and emits.
pub struct Tx<'a> {
    driver: &'a mut dyn Driver,
    /// Of the batch that this is a part of; a transaction that tells nobody has none.
    ticket: Option<&'a Ticket>,
    /// What leaves the server; nothing is known where nothing is written.
    outlets: Option<&'a Outlets>,
    /// What the transactions before it in its batch leave.
    before: Option<&'a Left>,
    /// What was looked at before any transaction of its batch ran.
    looked: Looked,
    /// Whether a claim waits for its channel, instead of supposing that nobody else has it.
    is_careful: bool,
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
    /// Numbers of channels that were taken, and that no event has yet.
    pub(crate) blanks: Vec<(Key, i64)>,
    pub(crate) work: BTreeSet<Work>,
    /// Read markers that moved.
    pub(crate) read: Vec<Moved>,
    /// What it changes of what leaves the server.
    pub(crate) outlets: Vec<(Key, Alteration)>,
    /// Not done yet: the batch does it at its end.
    pub(crate) settlement: Settlement,
    /// The channels that it claimed, as they are until the batch ends.
    pub(crate) claimed: BTreeMap<Key, Claimed>,
}

impl Left {
    /// Adds what a later transaction of the same batch leaves.
    pub(crate) fn append(&mut self, later: Self) {
        self.events.extend(later.events);
        self.blanks.extend(later.blanks);
        self.work.extend(later.work);
        self.read.extend(later.read);
        self.outlets.extend(later.outlets);
        self.settlement.append(later.settlement);
        self.claimed.extend(later.claimed);
    }
}

/// How a transaction ended.
pub(crate) struct End {
    pub(crate) left: Left,
    pub(crate) failed: Option<Error>,
    pub(crate) wrote: bool,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(driver: &'a mut dyn Driver, ticket: Option<&'a Ticket>) -> Self {
        let (looked, left) = (Looked::default(), Left::default());
        Self {
            driver,
            ticket,
            outlets: None,
            before: None,
            looked,
            is_careful: true,
            left,
            failed: None,
            wrote: false,
        }
    }

    /// The same, after others of its batch.
    pub(crate) fn after(self, before: &'a Left, is_careful: bool) -> Self {
        Self { before: Some(before), is_careful, ..self }
    }

    /// The same, which knows what leaves the server.
    pub(crate) fn knowing(self, outlets: &'a Outlets) -> Self {
        Self { outlets: Some(outlets), ..self }
    }

    /// The same, of which some things were looked at already.
    pub(crate) fn having(self, looked: Looked) -> Self {
        Self { looked, ..self }
    }

    /// What was looked at before: it is good for the first who asks.
    pub(crate) fn looked(&mut self) -> &mut Looked {
        &mut self.looked
    }

    /// Whether claims wait.
    pub(crate) fn is_careful(&self) -> bool {
        self.is_careful
    }

    /// A channel that this batch claimed. Nobody else changes it until the batch ends.
    pub(crate) fn claimed(&self, channel: Key) -> Option<Claimed> {
        let before = self.before.and_then(|before| before.claimed.get(&channel));
        self.left.claimed.get(&channel).or(before).copied()
    }

    /// Keeps what a claimed channel is from now on.
    pub(crate) fn keep_claimed(&mut self, channel: Key, claimed: Claimed) {
        self.left.claimed.insert(channel, claimed);
    }

    /// The instant of what this transaction does at `now`: later where something that was done later was told already.
    /// No event may be earlier.
    pub fn instant(&self, now: Timestamp) -> Timestamp {
        self.ticket.map_or(now, |ticket| ticket.instant(now))
    }

    /// What leaves the server, as a transaction that writes knows it.
    pub fn outlets(&self) -> Option<&'a Outlets> {
        self.outlets
    }

    /// Notes what is to leave the server of an app instance from the commit on.
    pub(crate) fn alter_outlet(&mut self, instance: Key, alteration: Alteration) {
        self.left.outlets.push((instance, alteration));
    }

    /// Stores an event in the outbox; it is published after the commit. Where its app instance has a stream for it, it
    /// goes there, too.
    pub fn emit(&mut self, event: Event) -> Result<()> {
        outgoing::record(self, &event, 0)?;
        self.emit_unrecorded(event)
    }

    /// Lets something into the streams of its app instance of which no socket is told: a part of what happened under
    /// its number, from one on, because zero is the event's.
    pub fn record(&mut self, event: &Event, part: i64) -> Result<()> {
        debug_assert!(0 < part, "the first part is the event itself");
        outgoing::record(self, event, part)
    }

    /// Emits an event that streams are told of in other words.
    pub fn emit_unrecorded(&mut self, event: Event) -> Result<()> {
        debug_assert!(
            self.ticket.is_none_or(|ticket| ticket.floor() <= event.at),
            "an event is earlier than what was told: its channel's clock must not be behind Tx::instant"
        );
        outbox::insert(self, &event)?;
        self.left.blanks.retain(|blank| *blank != (event.channel, event.sequence));
        self.left.events.push(event);
        Ok(())
    }

    /// Notes the numbers of a channel that events of this transaction are to have. Whoever follows the channel is told
    /// which of them none has.
    pub(crate) fn take_numbers(&mut self, channel: Key, numbers: std::ops::RangeInclusive<i64>) {
        self.left.blanks.extend(numbers.map(|number| (channel, number)));
    }

    /// Says that the commit leaves something to be done soon.
    pub fn wake(&mut self, work: Work) {
        self.left.work.insert(work);
    }

    /// Notes that a read marker moved: no event, so it is neither numbered nor stored.
    pub(crate) fn note_read(&mut self, moved: Moved) {
        self.left.read.push(moved);
    }

    pub(crate) fn rows<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&mut Row<'_>) -> Result<T>,
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

    /// Asks several things in one go, and shows each row with the place of its question.
    pub(crate) fn rows_of_all(
        &mut self,
        queries: &[Query],
        each: &mut dyn FnMut(usize, &mut Row<'_>) -> Result<()>,
    ) -> Result<()> {
        self.run(|driver| driver.query_all(queries, each))
    }

    /// The answers to several questions that are asked in one go, in their order.
    pub(crate) fn answers<T>(
        &mut self,
        queries: &[Query],
        mut read: impl FnMut(&mut Row<'_>) -> Result<T>,
    ) -> Result<Vec<Vec<T>>> {
        let mut answers: Vec<Vec<T>> = queries.iter().map(|_| Vec::new()).collect();
        if !queries.is_empty() {
            self.rows_of_all(queries, &mut |at, row| {
                answers[at].push(read(row)?);
                Ok(())
            })?;
        }
        Ok(answers)
    }

    pub(crate) fn row<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl FnMut(&mut Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.rows(sql, values, read)?.pop())
    }

    /// Changes rows and shows one of them.
    pub(crate) fn change<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl FnMut(&mut Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.change_all(sql, values, read)?.pop())
    }

    /// Changes rows and shows them.
    pub(crate) fn change_all<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl FnMut(&mut Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.wrote = true;
        self.rows(sql, values, read)
    }

    pub(crate) fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64> {
        self.wrote = true;
        self.run(|driver| driver.execute(sql, values))
    }

    pub(crate) fn defer(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.wrote = true;
        self.run(|driver| driver.defer(sql, values, Effect::Any))
    }

    /// Adds a row whose key nobody used before.
    pub(crate) fn append(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.wrote = true;
        self.run(|driver| driver.append(sql, values, Effect::Any))
    }

    /// Changes a row that this batch has locked, whose key is the first value; what a later one says stands.
    pub(crate) fn overwrite(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.wrote = true;
        self.run(|driver| driver.overwrite(sql, values))
    }

    /// Changes a row of the lane that is as this transaction supposes, or the whole batch runs again.
    pub(crate) fn suppose(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.wrote = true;
        self.run(|driver| driver.suppose(sql, values))
    }

    /// Changes a row that lanes share, at the end of the batch. The statement must change it, and says in its condition
    /// what it supposes of it: where it does not, nothing stands, and the transaction runs again. So whoever calls this
    /// looked first, and refuses by what it saw.
    pub(crate) fn settle(&mut self, row: Shared, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.note(row, sql, values, (Effect::Must, false))
    }

    /// The same for a row that is added, by an `INSERT` as [`Tx::append`] takes it.
    pub(crate) fn settle_new(&mut self, row: Shared, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.note(row, sql, values, (Effect::Must, true))
    }

    /// The same where the row may be gone, and nobody minds.
    pub(crate) fn settle_if_there(
        &mut self,
        row: Shared,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<()> {
        self.note(row, sql, values, (Effect::Any, false))
    }

    fn note(
        &mut self,
        row: Shared,
        sql: &'static str,
        values: &[Value<'_>],
        (effect, is_append): (Effect, bool),
    ) -> Result<()> {
        let values = values.iter().map(Value::to_owned).collect();
        self.check()?;
        self.left.settlement.add(row, Change { sql, values, effect, is_append });
        Ok(())
    }

    /// What an earlier request of the same batch with this token led to.
    pub(crate) fn noted_token(&self, token: &Token) -> Option<Noted> {
        let before = self.before.and_then(|before| before.settlement.find_token(token));
        before.or_else(|| self.left.settlement.find_token(token)).cloned()
    }

    /// Notes what a request with a token leads to.
    pub(crate) fn note_token(&mut self, token: Token, noted: Noted) {
        self.left.settlement.note_token(token, noted);
    }

    /// The columns of a table; none where there is no such table.
    pub(crate) fn columns(&mut self, table: &str) -> Result<Vec<Declared>> {
        self.run(|driver| driver.columns(table))
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
