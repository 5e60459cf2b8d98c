//! The rows of an archive on their way in, gathered into batches: each of one table, and short.

use std::sync::Arc;

use super::mark::Mark;
use super::{Columns, Sieve, Table};

/// The most rows of an archive that one transaction looks at.
const BATCH_LEN_MAX: u64 = 1_000;

/// The most bytes of texts of those rows; one more row may be over it.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What one transaction puts into the store.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(super) from: Mark,
    pub(super) table: &'static Table,
    pub(super) rows: Arc<Vec<Columns>>,
    /// How many rows of the archive were looked at for it.
    pub(super) looked_at: u64,
}

/// Gathers the rows of an archive from its beginning: those that an earlier run has seen are looked at and not taken.
#[derive(Debug)]
pub struct Intake {
    mark: Mark,
    sieve: Sieve,
    looked_at: u64,
    table: Option<&'static Table>,
    rows: Vec<Columns>,
    waiting: u64,
    /// How many bytes the texts of the rows have.
    bytes: usize,
    /// How many rows were not taken, because what they belong to was there already.
    pub passed_over: u64,
}

impl Intake {
    /// Goes on from where an import is.
    pub fn new(mark: Mark) -> Self {
        let sieve = mark.sieve();
        Self {
            mark,
            sieve,
            looked_at: 0,
            table: None,
            rows: Vec::new(),
            waiting: 0,
            bytes: 0,
            passed_over: 0,
        }
    }

    /// What is to be put into the store before a row of this table may be taken, or, at the end, of none.
    pub fn due(&mut self, next: Option<&'static Table>) -> Option<Batch> {
        let table = self.table?;
        let goes_on = next.is_some_and(|next| next.name == table.name)
            && self.waiting < BATCH_LEN_MAX
            && self.bytes < BATCH_BYTES_MAX;
        if goes_on || self.waiting == 0 {
            return None;
        }
        self.bytes = 0;
        let rows = Arc::new(std::mem::take(&mut self.rows));
        Some(Batch { from: self.mark.clone(), table, rows, looked_at: std::mem::take(&mut self.waiting) })
    }

    /// Learns what came of a batch.
    pub fn put(&mut self, mark: Mark) {
        for (table, key) in mark.news(&self.mark) {
            self.passed_over += 1;
            self.sieve.leave_out(table, key);
        }
        self.mark = mark;
    }

    /// Takes a row.
    pub fn take(&mut self, table: &'static Table, row: Columns) {
        self.looked_at += 1;
        let is_admitted = self.sieve.admits(table, &row);
        self.passed_over += u64::from(!is_admitted);
        if self.looked_at <= self.mark.rows {
            return;
        }
        self.table = Some(table);
        self.waiting += 1;
        if is_admitted {
            self.bytes += row.values().filter_map(|value| value.as_str()).map(str::len).sum::<usize>();
            self.rows.push(row);
        }
    }

    /// How far it is.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }
}
