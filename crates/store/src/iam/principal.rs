//! Users and roles.

use carillon_model::Timestamp;

use super::{Rows, Tag, fold, from_json, to_json};
use crate::engine::{Column, FromColumn, Row, ToValue, Value, values};
use crate::{Result, Tx};

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
        Value::Text(self.as_str())
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

const ONE: &str = "SELECT id, kind, name, path, tags, created_at, description, trust, session_seconds_max,
                          revoked_before
                   FROM iam_principal WHERE kind = $1 AND folded = $2";

/// Adds a principal; false where one of its kind has the name.
pub fn insert(tx: &mut Tx, principal: &Principal) -> Result<bool> {
    let role = principal.trusting.as_ref();
    let count = tx.execute(
        "INSERT INTO iam_principal (id, kind, folded, name, path, tags, created_at, description, trust,
                                    session_seconds_max, revoked_before)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
        values![
            principal.id,
            principal.kind,
            fold(&principal.name),
            principal.name,
            principal.path,
            to_json(&principal.tags),
            principal.created_at,
            role.and_then(|role| role.description.as_deref()),
            role.map(|role| role.policy.as_str()),
            role.map(|role| role.session_seconds_max),
            role.and_then(|role| role.revoked_before)
        ],
    )?;
    Ok(count == 1)
}

/// The principal of this kind with this name.
pub fn find(tx: &mut Tx, kind: Kind, name: &str) -> Result<Option<Principal>> {
    tx.row(ONE, values![kind, fold(name)], principal)
}

/// The principals of a kind, in the order of their names.
pub fn list(tx: &mut Tx, kind: Kind, rows: Rows<'_>) -> Result<Vec<Principal>> {
    tx.rows(
        "SELECT id, kind, name, path, tags, created_at, description, trust, session_seconds_max, revoked_before
         FROM iam_principal
         WHERE kind = $1 AND $2 < folded AND SUBSTR(path, 1, LENGTH(CAST($3 AS TEXT))) = $3
         ORDER BY folded LIMIT $4",
        values![kind, rows.after, rows.path, rows.limit],
        principal,
    )
}

/// Every principal.
pub fn all(tx: &mut Tx) -> Result<Vec<Principal>> {
    tx.rows(
        "SELECT id, kind, name, path, tags, created_at, description, trust, session_seconds_max, revoked_before
         FROM iam_principal ORDER BY kind, folded",
        &[],
        principal,
    )
}

/// How many there are of a kind.
pub fn count(tx: &mut Tx, kind: Kind) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM iam_principal WHERE kind = $1";
    Ok(tx.row(sql, values![kind], |row| row.get(0))?.unwrap_or_default())
}

/// Writes what may change of a principal; false where another has its new name.
pub fn update(tx: &mut Tx, principal: &Principal) -> Result<bool> {
    let sql = "SELECT 1 FROM iam_principal WHERE kind = $1 AND folded = $2 AND id <> $3";
    let folded = fold(&principal.name);
    if tx.row(sql, values![principal.kind, folded, principal.id], |_| Ok(()))?.is_some() {
        return Ok(false);
    }
    let role = principal.trusting.as_ref();
    tx.execute(
        "UPDATE iam_principal SET folded = $2, name = $3, path = $4, tags = $5, description = $6, trust = $7,
                                  session_seconds_max = $8, revoked_before = $9
         WHERE id = $1",
        values![
            principal.id,
            folded,
            principal.name,
            principal.path,
            to_json(&principal.tags),
            role.and_then(|role| role.description.as_deref()),
            role.map(|role| role.policy.as_str()),
            role.map(|role| role.session_seconds_max),
            role.and_then(|role| role.revoked_before)
        ],
    )?;
    Ok(true)
}

/// Takes a principal away, and nothing that belongs to it.
pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    tx.defer("DELETE FROM iam_principal WHERE id = $1", values![id])
}

fn principal(row: &Row<'_>) -> Result<Principal> {
    let (tags, trust): (String, Option<String>) = (row.get(4)?, row.get(7)?);
    let (description, session_seconds_max): (Option<String>, Option<i64>) = (row.get(6)?, row.get(8)?);
    let revoked_before = row.get(9)?;
    let trusting = trust.map(|policy| Trusting {
        description,
        policy,
        session_seconds_max: session_seconds_max.unwrap_or_default(),
        revoked_before,
    });
    Ok(Principal {
        id: row.get(0)?,
        kind: row.get(1)?,
        name: row.get(2)?,
        path: row.get(3)?,
        tags: from_json(&tags)?,
        created_at: row.get(5)?,
        trusting,
    })
}
