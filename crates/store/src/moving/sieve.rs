//! Which rows go through: of an export, those of the app instance that is asked for, or all but what is about to be
//! destroyed; of an import, all but what belongs to something that the target has already.

use std::collections::{HashMap, HashSet};

use carillon_model::Key;
use serde_json::Value as Json;

use super::{Columns, MOVED, Table};

/// Looks at rows in the order of their tables, and remembers of those that others belong to which went through.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    /// Whether only what belongs to what is noted goes through, and not all but that.
    is_narrow: bool,
    noted: HashMap<&'static str, HashSet<String>>,
}

impl Sieve {
    /// Only what is of one app instance goes through.
    pub(super) fn only(instance: Key) -> Self {
        let mut only = Self { is_narrow: true, ..Self::default() };
        only.note("app_instance", instance.to_string());
        only
    }

    /// A thing that everything else depends on stays outside, and with it what belongs to it.
    pub(super) fn leave_out(&mut self, table: &'static str, key: String) {
        self.note(table, key);
    }

    /// Whether rows of a table may go through at all.
    pub(super) fn wants(&self, table: &Table) -> bool {
        !self.is_narrow || !table.is_of_account
    }

    /// Whether a row goes through.
    pub(super) fn admits(&mut self, table: &'static Table, row: &Columns) -> bool {
        let is_doomed = table.doomed.is_some_and(|column| row.get(column).is_some_and(|at| !at.is_null()));
        let key = key_of(row, table.key[0]);
        let is_kept = !is_doomed
            && table.only.is_none_or(|only| key.starts_with(only))
            && if table.is_root() && self.is_narrow {
                self.has(table.name, &key)
            } else {
                table
                    .owners
                    .iter()
                    .all(|(column, owner)| self.has(owner, &key_of(row, column)) == self.is_narrow)
                    && (self.is_narrow || !self.has(table.name, &key))
            };
        let is_owner = MOVED.iter().any(|other| other.owners.iter().any(|(_, owner)| *owner == table.name));
        if is_owner && is_kept == self.is_narrow {
            self.note(table.name, key);
        }
        is_kept
    }

    fn has(&self, table: &str, key: &str) -> bool {
        self.noted.get(table).is_some_and(|noted| noted.contains(key))
    }

    fn note(&mut self, table: &'static str, key: String) {
        self.noted.entry(table).or_default().insert(key);
    }
}

/// What a column names. Tags name what they are of by its ARN, and belong to its app instance.
fn key_of(row: &Columns, column: &str) -> String {
    let text = row.get(column).and_then(Json::as_str).unwrap_or_default();
    match text.split_once(":app-instance/") {
        Some((_, rest)) if column == "resource" => Key::from_uuid(rest.split('/').next().unwrap_or_default())
            .map_or_else(|| text.to_owned(), |key| key.to_string()),
        _ => text.to_owned(),
    }
}
