//! Which runs of a place a new one replaces.
//!
//! Each time that messages are taken in, a run is made. When a level has many, they and the new one become one, which
//! is of the next level if that makes it large; so a place has few runs, and a message is written again only two or
//! three times. Messages that are gone are left out then.

use std::collections::{BTreeMap, BTreeSet};

use carillon_model::{Key, MessageKey, Timestamp};
use carillon_store::index::{self, HEAD, Name, Part};
use carillon_store::{self as store, Tx};

use super::run::{FAN, LEVEL_MAX, Packed, Run, Start, level_of, pack_head, unpack_head};

/// What becomes of the runs of a place.
#[derive(Debug, Default, Clone)]
pub(crate) struct Changes {
    /// Heads in which messages are marked as gone.
    pub(crate) heads: BTreeMap<Name, Vec<u8>>,
    /// Runs that go.
    pub(crate) gone: BTreeSet<Name>,
    /// Rows of the run that comes.
    pub(crate) parts: Vec<Part>,
}

/// The runs of a place while they are changed.
pub(crate) struct Runs<'a, 'b> {
    tx: &'a mut Tx<'b>,
    place: Key,
    spans: BTreeMap<Name, (i64, i64)>,
    /// Those that go into the new one.
    absorbed: BTreeSet<Name>,
    changes: Changes,
}

/// A run that is not what was written. It is made anew with all of its place.
#[derive(Debug)]
pub(crate) enum Fault {
    Unreadable,
    Store(store::Error),
}

impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl<'a, 'b> Runs<'a, 'b> {
    pub(crate) fn of(tx: &'a mut Tx<'b>, place: Key) -> Result<Self, Fault> {
        let spans = index::list_runs(tx, place)?.into_iter().collect();
        Ok(Self { tx, place, spans, absorbed: BTreeSet::new(), changes: Changes::default() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Marks these messages as gone, wherever they are.
    pub(crate) fn mark_gone(&mut self, messages: &[MessageKey]) -> Result<(), Fault> {
        let starts: BTreeSet<Start> = messages.iter().map(|key| Start::of(*key)).collect();
        let meets =
            |span: &(i64, i64)| starts.iter().any(|start| span.0 <= start.ms() && start.ms() <= span.1);
        let met: Vec<Name> =
            self.spans.iter().filter(|(_, span)| meets(span)).map(|(name, _)| *name).collect();
        for name in met {
            let head = index::read_head(self.tx, self.place, name)?.ok_or(Fault::Unreadable)?;
            let mut entries = unpack_head(&head).ok_or(Fault::Unreadable)?;
            let mut is_changed = false;
            for entry in entries.iter_mut().filter(|entry| !entry.is_gone && starts.contains(&entry.start)) {
                (entry.is_gone, is_changed) = (true, true);
            }
            if !is_changed {
                continue;
            }
            self.changes.heads.insert(name, pack_head(&entries));
            let gone = entries.iter().filter(|entry| entry.is_gone).count();
            if gone == entries.len() {
                self.changes.gone.insert(name);
            } else if entries.len() < gone * 2 {
                self.absorbed.insert(name);
            }
        }
        Ok(())
    }

    /// Lets runs go whose messages are all older than the first that is there.
    pub(crate) fn sweep(&mut self, first: Option<Timestamp>) {
        let is_past = |span: &(i64, i64)| first.is_none_or(|first| span.1 < first.ms());
        let past = self.spans.iter().filter(|(_, span)| is_past(span)).map(|(name, _)| *name);
        self.changes.gone.extend(past.collect::<Vec<_>>());
    }

    /// Adds a run, with all that it is to replace.
    pub(crate) fn add(mut self, run: Run, number: i64) -> Result<Changes, Fault> {
        let mut new = run;
        loop {
            let level = level_of(new.entries.len());
            let is_left = |name: &&Name| !self.changes.gone.contains(name) && !self.absorbed.contains(name);
            let peers: Vec<Name> =
                self.spans.keys().filter(is_left).filter(|name| name.level == level).copied().collect();
            if level < LEVEL_MAX && FAN <= peers.len() + usize::from(!new.entries.is_empty()) {
                self.absorbed.extend(peers);
            }
            let absorbed = std::mem::take(&mut self.absorbed);
            if absorbed.is_empty() {
                break;
            }
            let mut all = vec![new];
            for name in &absorbed {
                all.push(self.read(*name)?);
            }
            self.changes.gone.extend(absorbed);
            new = Run::merge(all);
        }
        if !new.entries.is_empty() {
            self.changes.parts = rows(new.pack(), number);
        }
        let Changes { heads, gone, .. } = &mut self.changes;
        heads.retain(|name, _| !gone.contains(name));
        Ok(self.changes)
    }

    fn read(&mut self, name: Name) -> Result<Run, Fault> {
        let mut rows = index::read_run(self.tx, self.place, name)?.into_iter();
        let head = rows.next().filter(|row| row.part == HEAD).ok_or(Fault::Unreadable)?.body;
        let head = self.changes.heads.get(&name).cloned().unwrap_or(head);
        Run::unpack(&head, &rows.map(|row| row.body).collect::<Vec<_>>()).ok_or(Fault::Unreadable)
    }
}

fn rows(packed: Packed, run: i64) -> Vec<Part> {
    let Packed { level, span, head, parts } = packed;
    let all = std::iter::once((HEAD, head)).chain(parts);
    all.map(|(part, body)| Part { name: Name { level, run }, part, span, body }).collect()
}
