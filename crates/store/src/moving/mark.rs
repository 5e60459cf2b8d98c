//! The mark of an import in the store: which archive it is, and how far it has come; or which app instance is being
//! brought from a service.

use std::collections::{BTreeMap, BTreeSet};

use carillon_model::Key;
use serde::{Deserialize, Serialize};

use super::{Sieve, find as find_table};
use crate::engine::values;
use crate::row::read;
use crate::{Error, Result, Tx, setting};

/// Where it is.
pub(super) const NAME: &str = "import";
/// How the names begin under which it stands what came from a service,
const FROM_SERVICE: &str = "from service ";
/// and what stands there while it has not come to its end.
pub(super) const UNDER_WAY: &str = "under way";

/// The name under which it stands whether an app instance came from a service.
pub(super) fn of_service(instance: Key) -> String {
    format!("{FROM_SERVICE}{instance}")
}

/// An import that has not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfinished {
    /// Of an archive, of which so many rows were looked at.
    Archive(u64),
    /// Of an app instance, from a service.
    Service(Key),
}

/// The imports that have not come to their end: they were cut off, unless one is under way.
pub fn unfinished(tx: &mut Tx) -> Result<Vec<Unfinished>> {
    let mut found: Vec<_> = find(tx)?.map(|mark| Unfinished::Archive(mark.rows)).into_iter().collect();
    let sql = "SELECT name FROM setting WHERE value = $1 ORDER BY name";
    let names: Vec<String> = tx.rows(sql, values![UNDER_WAY], read)?;
    let keys = names.iter().filter_map(|name| Key::from_hex(name.strip_prefix(FROM_SERVICE)?));
    found.extend(keys.map(Unfinished::Service));
    Ok(found)
}

/// How far an import has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The archive, by the id that its export gave it.
    pub archive: String,
    /// How many of its rows were looked at.
    pub rows: u64,
    /// Whether nothing was in the store when it began.
    pub(super) began_empty: bool,
    /// What was there already, by table and key.
    pub there: BTreeMap<String, BTreeSet<String>>,
}

impl Mark {
    /// What was there already, and was not known to be before.
    pub(super) fn news(&self, before: &Self) -> Vec<(&'static str, String)> {
        let mut news = Vec::new();
        for (table, keys) in &self.there {
            let Some(table) = find_table(table) else { continue };
            let known = before.there.get(table.name);
            let new = keys.iter().filter(|key| known.is_none_or(|known| !known.contains(*key)));
            news.extend(new.map(|key| (table.name, key.clone())));
        }
        news
    }

    /// What lets through all but what belongs to what was there already.
    pub(super) fn sieve(&self) -> Sieve {
        let mut sieve = Sieve::default();
        for (table, keys) in &self.there {
            let Some(table) = find_table(table) else { continue };
            for key in keys {
                sieve.leave_out(table.name, key.clone());
            }
        }
        sieve
    }
}

/// The mark, while an import is under way or was cut off.
pub(super) fn find(tx: &mut Tx) -> Result<Option<Mark>> {
    let Some(text) = setting::find(tx, NAME)? else { return Ok(None) };
    let read = serde_json::from_str(&text);
    read.map(Some).map_err(|error| Error::broken(format!("its mark is unreadable: {error}")))
}

/// Sets it.
pub(super) fn write(tx: &mut Tx, mark: &Mark) -> Result<()> {
    let text = serde_json::to_string(mark).expect("texts, numbers and lists of them always serialize");
    setting::set(tx, NAME, &text)
}
