//! What a batch of transactions does last: changes of rows that lanes share, in one order.
//!
//! While a transaction runs, it locks only rows that are its lane's own ([`crate::Lane`] says which). What it changes
//! of others (the counts of an app instance, the memberships of a person, a request token) it notes here, and the
//! whole batch does so at its end, sorted by row: of two batches that want the same rows one waits for the other, and
//! never both. A change says what it supposes; where that is not so any more, nothing of the batch stands, and each
//! of its transactions runs again, alone, and sees what is.

use std::collections::BTreeMap;

use carillon_model::Key;

use crate::Result;
use crate::engine::{Change, Driver};

/// A row that lanes share. The order of the variants, and of the keys in each, is the order in which rows are locked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shared {
    /// An app instance, with its counts.
    Instance(Key),
    /// A channel flow.
    Flow(Key),
    /// A user or a bot, with the count of their memberships.
    Person(Key),
    /// A request token: its owner, operation and text.
    Token(Key, String, String),
    /// A lease.
    Lease(String),
}

/// A request token: its owner, operation and text.
pub(crate) type Token = (Key, String, String);
/// What is kept of a request with a token: the digest of its input, and what it led to.
pub(crate) type Noted = (Vec<u8>, String);

/// The changes of a batch, or of one transaction of it.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    changes: BTreeMap<Shared, Vec<Change>>,
    tokens: BTreeMap<Token, Noted>,
}

impl Settlement {
    pub(crate) fn add(&mut self, row: Shared, change: Change) {
        self.changes.entry(row).or_default().push(change);
    }

    /// Notes what a request with a token led to, so that another with the same token in the same batch finds it.
    pub(crate) fn note_token(&mut self, token: Token, noted: Noted) {
        self.tokens.insert(token, noted);
    }

    pub(crate) fn find_token(&self, token: &Token) -> Option<&Noted> {
        self.tokens.get(token)
    }

    /// Adds what a later transaction of the same batch does.
    pub(crate) fn append(&mut self, later: Self) {
        for (row, changes) in later.changes {
            self.changes.entry(row).or_default().extend(changes);
        }
        self.tokens.extend(later.tokens);
    }

    /// Does all of it, each row by a statement of its own: in which order an engine goes about several rows is its own
    /// affair. New rows come in the order in which they are said, in however many statements. [`crate::Error::Retry`]
    /// here, or at the commit, where something is not as a change supposes.
    pub(crate) fn run(self, driver: &mut dyn Driver) -> Result<()> {
        let mut changes = self.changes.into_values().flatten();
        changes.try_for_each(|Change { sql, values, effect, is_append }| {
            if is_append { driver.append(sql, &values, effect) } else { driver.defer(sql, &values, effect) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Effect;

    fn run(sql: &'static str) -> Change {
        Change { sql, values: Vec::new(), effect: Effect::Any, is_append: false }
    }

    #[test]
    fn rows_come_in_one_order_whatever_order_they_were_noted_in() {
        let (one, two) = (Key([1; 16]), Key([2; 16]));
        let mut settlement = Settlement::default();
        settlement.add(Shared::Person(two), run("person two"));
        settlement.add(Shared::Token(one, String::new(), String::new()), run("token"));
        settlement.add(Shared::Person(one), run("person one"));
        let mut later = Settlement::default();
        later.add(Shared::Person(one), run("person one, later"));
        later.add(Shared::Instance(two), run("instance two"));
        later.add(Shared::Instance(one), run("instance one"));
        settlement.append(later);
        let texts: Vec<_> = settlement.changes.into_values().flatten().map(|change| change.sql).collect();
        let sorted =
            ["instance one", "instance two", "person one", "person one, later", "person two", "token"];
        assert_eq!(texts, sorted);
    }
}
