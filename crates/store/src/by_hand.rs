//! A store whose workers have no threads: whoever has its hands lets them work, on its own thread, when it likes. So a
//! simulation decides in which order the transactions of several nodes come, and an order that it found comes again.
//!
//! All else is the store: the queue, the batches, the SQL, SQLite on its file.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use crate::batch::{Caution, Shared};
use crate::engine::sqlite::{self, Sqlite};
use crate::engine::{self, Kind};
use crate::worker::{Tasks, Workers, turn};
use crate::{Location, Result, Sink, Store, begin};

/// What a disk does to whoever writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// It takes all.
    Well,
    /// It takes nothing, as a file system that an error has left for reading alone.
    Failing,
    /// It takes what needs no new page.
    Full,
}

/// The workers of a store, for whoever lets them work.
pub struct Hands {
    writes: Hand,
    reads: Hand,
    keeper: Connection,
}

struct Hand {
    kind: Kind,
    queue: Arc<Tasks>,
    connection: &'static Connection,
    driver: Sqlite<'static>,
    caution: Caution,
    shared: Shared,
}

impl Store {
    /// Opens the store in this file, with workers that work when they are let.
    pub fn open_by_hand(path: &Path, now_ms: i64, sink: &Sink) -> Result<(Self, Hands)> {
        let opened = engine::Connection::Sqlite(sqlite::connect(path)?);
        let shared = begin(opened.into(), now_ms, sink)?;
        let (writes, of_writes) = Hand::new(Kind::Write, path, &shared)?;
        let (reads, of_reads) = Hand::new(Kind::Read, path, &shared)?;
        let hands = Hands { writes: of_writes, reads: of_reads, keeper: sqlite::connect(path)? };
        let location = Location::Sqlite(path.to_owned());
        let (writes, jobs, checkpoints) = (vec![writes], None, None);
        let Shared { horizon, outlets, reach, measured, .. } = shared;
        Ok((Self { reads, writes, jobs, checkpoints, horizon, outlets, reach, measured, location }, hands))
    }
}

impl Hand {
    fn new(kind: Kind, path: &Path, shared: &Shared) -> Result<(Workers, Self)> {
        let workers = Workers::without_threads(kind, shared);
        // What is compiled for a connection is kept for as long as it lives, which here is as long as the process.
        let connection: &'static Connection = Box::leak(Box::new(sqlite::open(path, kind)?));
        let (queue, driver) = (workers.queue(), Sqlite::on(connection));
        let (caution, shared) = (Caution::default(), shared.clone());
        Ok((workers, Self { kind, queue, connection, driver, caution, shared }))
    }

    /// Does the next batch; false where nothing waits.
    fn turn(&mut self) -> bool {
        0 < self.queue.len() && {
            turn(&mut self.driver, self.kind, &mut self.caution, (&self.queue, &self.shared))
        }
    }
}

impl Hands {
    /// Lets the worker that writes do its next batch; false where nothing waits.
    pub fn write(&mut self) -> bool {
        self.writes.turn()
    }

    /// Lets a worker that reads do its next transaction; false where nothing waits.
    pub fn read(&mut self) -> bool {
        self.reads.turn()
    }

    /// Moves the log into the database file, as far as may be.
    pub fn checkpoint(&self) {
        let moved = self.keeper.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        moved.expect("a checkpoint answers what it did");
    }

    /// Has the disk be so for whoever writes here.
    pub fn set_disk(&mut self, disk: Disk) {
        let unlimited = i64::from(u32::MAX) - 1;
        // The least that it may be is what the file has.
        let pages = if disk == Disk::Full { 1 } else { unlimited };
        let limited =
            self.writes.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        limited.expect("a limit of pages is a number");
        self.writes.driver.set_read_only(disk == Disk::Failing).expect("it is a flag");
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::{Error, Lane, setting};

    /// Waits for a future, and lets the hands work whenever it is not ready.
    fn done<T>(work: impl Future<Output = T>, mut work_on: impl FnMut()) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _context = runtime.enter();
        let mut work = pin!(work);
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            work_on();
        }
    }

    #[test]
    fn what_waits_is_done_when_it_is_let_and_not_where_the_disk_fails() {
        let folder = tempfile::tempdir().unwrap();
        let sink: Sink = Arc::new(|_| {});
        let (store, mut hands) = Store::open_by_hand(&folder.path().join("store"), 0, &sink).unwrap();
        assert!(!hands.write());
        let long = "x".repeat(100_000);
        let mut set = |disk: Disk, value: &str| {
            hands.set_disk(disk);
            let value = value.to_owned();
            let write = store.write(Lane::Account, move |tx| setting::set(tx, "key", &value));
            let outcome = done(write, || assert!(hands.write(), "it waits"));
            let read = store.read(|tx| setting::find(tx, "key"));
            let found = done(read, || assert!(hands.read(), "it waits")).unwrap();
            (outcome.is_ok(), matches!(outcome, Err(Error::Broken(_))), found)
        };
        assert_eq!(set(Disk::Well, "one"), (true, false, Some("one".to_owned())));
        assert_eq!(set(Disk::Failing, "two"), (false, true, Some("one".to_owned())));
        assert_eq!(set(Disk::Full, &long), (false, true, Some("one".to_owned())));
        assert_eq!(set(Disk::Full, "three"), (true, false, Some("three".to_owned())));
        assert_eq!(set(Disk::Well, &long), (true, false, Some(long.clone())));
        hands.checkpoint();
    }
}
