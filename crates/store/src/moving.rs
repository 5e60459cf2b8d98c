//! Moving: what of the store an export holds, table by table, and how an import puts it into another store.
//!
//! A row travels as its columns by name, so that either engine reads what the other wrote, and a later version what
//! an earlier one did. Which columns there are is asked of the engine: a new one needs nothing here, as long as its
//! default is right for rows that were made without it. A new table needs a line in [`MOVED`], or one in [`LEFT`] with
//! the reason; a test finds the one that has neither.
//!
//! What a row belongs to goes before it. What the target has already stays as it is, with all that belongs to it: an
//! import never mixes two states of one thing (`import`).

mod export;
mod import;
mod intake;
mod mark;
mod service;
mod sieve;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use data_encoding::HEXLOWER;
use serde_json::{Map, Value as Json};

use crate::engine::{Column, Declared, FromColumn, Value};
use crate::{Error, Result, Tx};

pub use export::Export;
pub use import::{Begun, begin, check, empty, end, put};
pub use intake::{Batch, Intake};
pub use mark::{Mark, Unfinished, unfinished};
pub use service::{Held, adopt, brought, keep_only, raise, replace};
use sieve::Sieve;

/// A row: its columns by name. Keys and digests are hexadecimal digits.
pub type Columns = Map<String, Json>;

/// A table that is moved.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its primary key, in whose order its rows are exported.
    key: &'static [&'static str],
    /// Which columns name what a row belongs to, and in which table that is.
    owners: &'static [(&'static str, &'static str)],
    /// A column that is set where a row is about to be destroyed.
    doomed: Option<&'static str>,
    /// A column that means something only where it was written.
    passing: Option<&'static str>,
    /// How the keys of those rows begin that are moved, where not all are.
    only: Option<&'static str>,
    /// Whether its rows hold secrets.
    pub is_secret: bool,
    /// Whether it is the account's, and no app instance's.
    is_of_account: bool,
}

const fn table(
    name: &'static str,
    key: &'static [&'static str],
    owners: &'static [(&'static str, &'static str)],
) -> Table {
    Table {
        name,
        key,
        owners,
        doomed: None,
        passing: None,
        only: None,
        is_secret: false,
        is_of_account: false,
    }
}

const fn of_account(
    name: &'static str,
    key: &'static [&'static str],
    owners: &'static [(&'static str, &'static str)],
) -> Table {
    Table { is_of_account: true, ..table(name, key, owners) }
}

impl Table {
    const fn secret(self) -> Self {
        Self { is_secret: true, ..self }
    }

    const fn unless(self, doomed: &'static str) -> Self {
        Self { doomed: Some(doomed), ..self }
    }

    const fn without(self, passing: &'static str) -> Self {
        Self { passing: Some(passing), ..self }
    }

    const fn beginning(self, only: &'static str) -> Self {
        Self { only: Some(only), ..self }
    }

    /// Whether a row of it is made row by row, and what is there already by its side stays.
    fn is_root(&self) -> bool {
        self.owners.is_empty()
    }
}

/// The tables that are moved, in their order.
pub const MOVED: &[Table] = &[
    of_account("setting", &["name"], &[]).secret().beginning("web push "),
    of_account("iam_principal", &["id"], &[]),
    of_account("iam_access_key", &["id"], &[("principal", "iam_principal")]).secret(),
    of_account("iam_inline_policy", &["principal", "name"], &[("principal", "iam_principal")]),
    of_account("iam_policy", &["id"], &[]),
    of_account("iam_policy_version", &["policy", "version"], &[("policy", "iam_policy")]),
    of_account(
        "iam_attachment",
        &["principal", "policy"],
        &[("principal", "iam_principal"), ("policy", "iam_policy")],
    ),
    of_account("iam_oidc_provider", &["url"], &[]),
    table("app_instance", &["key"], &[]).unless("deleted_at"),
    table("streaming_configuration", &["app_instance", "data_type"], INSTANCE),
    table("channel_flow", &["app_instance", "key"], INSTANCE),
    table("tag", &["resource", "key"], &[("resource", "app_instance")]),
    table("identity", &["key"], INSTANCE),
    table("erasure", &["person"], &[("person", "identity"), ("app_instance", "app_instance")]),
    table("endpoint", &["owner", "key"], &[("owner", "identity")]),
    table("channel", &["key"], INSTANCE).unless("deleted_at"),
    table("sub_channel", &["channel", "key"], CHANNEL),
    table("membership", &["channel", "member", "sub_channel"], CHANNEL),
    table("moderator", &["channel", "member"], CHANNEL),
    table("ban", &["channel", "member"], CHANNEL),
    table("message", &["sub_channel", "key"], CHANNEL),
    // Who had leased the call is not who makes it there.
    table("in_flight", &["channel", "run"], CHANNEL).without("lease"),
    table("outbox", &["channel", "sequence"], CHANNEL),
];
const INSTANCE: &[(&str, &str)] = &[("app_instance", "app_instance")];
const CHANNEL: &[(&str, &str)] = &[("channel", "channel")];

/// The tables that are not, and why. Of those whose rows somebody may miss an export says how many there are.
pub const LEFT: &[(&str, &str)] = &[
    ("migration", "each store has its own schema"),
    ("migration_lock", "each store has its own schema"),
    ("lane", "made anew by whoever writes"),
    ("lease", "of a server, which the other store does not have"),
    ("beat", "of a server, which the other store does not have"),
    ("search_instance", "an index is made anew of the messages"),
    ("search_place", "an index is made anew of the messages"),
    ("search_run", "an index is made anew of the messages"),
    ("search_late", "an index is made anew of the messages"),
    ("request_token", "tokens are for requests that are repeated soon, to the same server"),
    (MISSED, "the server that was exported delivers them itself"),
];
/// The table of [`LEFT`] whose rows may be missed.
const MISSED: &str = "outgoing";

/// The table of this name, if it is moved.
pub fn find(name: &str) -> Option<&'static Table> {
    MOVED.iter().find(|table| table.name == name)
}

/// The table of this name, which is one that is moved.
pub fn get(name: &str) -> &'static Table {
    find(name).expect("the table is in the list of those that are moved")
}

/// A value as it travels.
struct Travelling(Json);

impl FromColumn for Travelling {
    fn from_column(column: Column<'_>) -> Option<Self> {
        Some(Self(match column {
            Column::Null => Json::Null,
            Column::Int(number) => number.into(),
            Column::Text(text) => text.into(),
            Column::Bytes(bytes) => HEXLOWER.encode(bytes).into(),
        }))
    }
}

/// A value of a column, as it arrived.
fn arrived<'a>(column: &Declared, value: Option<&'a Json>) -> Result<Value<'a>> {
    let unreadable = || Error::broken(format!("{} is not what it should be", column.name));
    Ok(match value {
        None | Some(Json::Null) => Value::Null,
        Some(Json::Number(number)) => Value::Int(number.as_i64().ok_or_else(unreadable)?),
        Some(Json::String(text)) if column.is_bytes => {
            Value::Bytes(HEXLOWER.decode(text.as_bytes()).map_err(|_| unreadable())?.into())
        }
        Some(Json::String(text)) => Value::Text(text.into()),
        Some(_) => return Err(unreadable()),
    })
}

/// The columns of a table, as the engine has them.
fn columns(tx: &mut Tx, table: &str) -> Result<Vec<Declared>> {
    let columns = tx.columns(table)?;
    if columns.is_empty() { Err(Error::broken(format!("there is no table {table}"))) } else { Ok(columns) }
}

/// The names of columns, as a statement lists them.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// A statement's text that was put together. There are a few for each table, and each is kept for ever.
pub(crate) fn kept(text: String) -> &'static str {
    static KEPT: LazyLock<Mutex<HashMap<String, &'static str>>> = LazyLock::new(Mutex::default);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = kept.get(&text) {
        return kept;
    }
    let made: &'static str = text.clone().leak();
    kept.insert(text, made);
    made
}
