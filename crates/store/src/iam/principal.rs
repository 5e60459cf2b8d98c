//! Users and roles.

use carillon_model::Timestamp;

use super::{Rows, Tag, fold};
use crate::engine::{Column, FromColumn, ToValue, Value, values};
use crate::row::{FromRow, ToColumns, Written, read, row, sql};
use crate::{Result, Row, Tx};

/// Whether a principal has keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It has keys.
    User,
    /// Others act as it for a while.
    Role,
}

impl Kind {
    /// How an ARN spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Role => "role",
        }
    }
}

impl ToValue for Kind {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self.as_str().into())
    }
}

impl FromColumn for Kind {
    fn from_column(column: Column<'_>) -> Option<Self> {
        let Column::Text(text) = column else { return None };
        [Self::User, Self::Role].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A user or a role.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// Its id, which no later principal of the same name has.
    pub id: String,
    /// Whether it is a user or a role.
    pub kind: Kind,
    /// Its name, as it was given.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Since when there is one.
    pub created_at: Timestamp,
    /// What only a role has.
    pub trusting: Option<Trusting>,
}

/// What only a role has.
#[derive(Debug, Clone, PartialEq)]
pub struct Trusting {
    /// What it is for.
    pub description: Option<String>,
    /// The document that says who may assume it.
    pub policy: String,
    /// How long a session may be.
    pub session_seconds_max: i64,
    /// Sessions that were issued before are over.
    pub revoked_before: Option<Timestamp>,
}

row! { ($) principal_columns:
    fn principal(row) -> Principal {
        id, kind, name, path, tags, created_at, trusting: (description, trust, session_seconds_max, revoked_before)
    }
}

/// Principals as [`principal`] reads them; the rest of the statement follows.
macro_rules! select {
    ($rest:literal) => {
        sql!("SELECT " principal_columns!() " FROM iam_principal " $rest)
    };
}

/// Adds a principal; false where one of its kind has the name.
pub fn insert(tx: &mut Tx, principal: &Principal) -> Result<bool> {
    let sql = sql!(principal_columns!(INSERT INTO iam_principal (folded, ..)) " ON CONFLICT DO NOTHING");
    Ok(tx.execute(sql, &principal.values(values![fold(&principal.name)]))? == 1)
}

/// The principal of this kind with this name.
pub fn find(tx: &mut Tx, kind: Kind, name: &str) -> Result<Option<Principal>> {
    tx.row(select!("WHERE kind = $1 AND folded = $2"), values![kind, fold(name)], principal)
}

/// The principals of a kind, in the order of their names.
pub fn list(tx: &mut Tx, kind: Kind, rows: Rows<'_>) -> Result<Vec<Principal>> {
    let sql = select!(
        "WHERE kind = $1 AND $2 < folded AND SUBSTR(path, 1, LENGTH(CAST($3 AS TEXT))) = $3
         ORDER BY folded LIMIT $4"
    );
    tx.rows(sql, values![kind, rows.after, rows.path, rows.limit], principal)
}

/// Every principal.
pub fn all(tx: &mut Tx) -> Result<Vec<Principal>> {
    tx.rows(select!("ORDER BY kind, folded"), &[], principal)
}

/// How many there are of a kind.
pub fn count(tx: &mut Tx, kind: Kind) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM iam_principal WHERE kind = $1";
    Ok(tx.row(sql, values![kind], read)?.unwrap_or_default())
}

/// Writes what may change of a principal; false where another has its new name.
pub fn update(tx: &mut Tx, principal: &Principal) -> Result<bool> {
    let sql = "SELECT 1 FROM iam_principal WHERE kind = $1 AND folded = $2 AND id <> $3";
    let folded = fold(&principal.name);
    if tx.row(sql, values![principal.kind, folded, principal.id], |_| Ok(()))?.is_some() {
        return Ok(false);
    }
    let (path, tags) = (&principal.path, &principal.tags);
    let mut values = values![principal.id, folded, principal.name, path, tags].to_vec();
    principal.trusting.add_to(&mut values);
    tx.execute(
        "UPDATE iam_principal SET folded = $2, name = $3, path = $4, tags = $5, description = $6, trust = $7,
                                  session_seconds_max = $8, revoked_before = $9
         WHERE id = $1",
        &values,
    )?;
    Ok(true)
}

/// Takes a principal away, and nothing that belongs to it.
pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    tx.defer("DELETE FROM iam_principal WHERE id = $1", values![id])
}

/// A user has none.
impl FromRow for Option<Trusting> {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let (description, policy): (_, Option<String>) = row.read()?;
        let (session_seconds_max, revoked_before): (Option<i64>, _) = row.read()?;
        Ok(policy.map(|policy| Trusting {
            description,
            policy,
            session_seconds_max: session_seconds_max.unwrap_or_default(),
            revoked_before,
        }))
    }
}

impl ToColumns for Option<Trusting> {
    fn add_to<'a>(&'a self, values: &mut Vec<Value<'a>>) {
        let Some(role) = self else {
            return values.extend([Value::Null, Value::Null, Value::Null, Value::Null]);
        };
        values.extend_from_slice(values![
            role.description,
            role.policy,
            role.session_seconds_max,
            role.revoked_before
        ]);
    }
}
