//! Managed policies: their versions, and who has them attached.

use carillon_model::Timestamp;

use super::principal::Kind;
use super::{Rows, Tag, fold};
use crate::engine::values;
use crate::row::{Written, read, row, sql};
use crate::{Result, Tx};

/// A managed policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its id.
    pub id: String,
    /// Its name, as it was given.
    pub name: String,
    /// Its path.
    pub path: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The version that is in force.
    pub default_version: i64,
    /// The highest version that there ever was.
    pub last_version: i64,
    /// Since when there is one.
    pub created_at: Timestamp,
    /// When its default version last changed.
    pub updated_at: Timestamp,
    /// How many have it attached.
    pub attachment_count: i64,
}

/// A version of a managed policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its number, from one.
    pub number: i64,
    /// Its document.
    pub document: String,
    /// Since when there is one.
    pub created_at: Timestamp,
}

/// Who has a policy attached.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

row! { ($) policy_columns:
    fn policy(row) -> Policy {
        id, name, path, description, tags, default_version, last_version, created_at, updated_at;
        attachment_count: row.read()?
    }
}

/// Policies as [`policy`] reads them; the rest of the statement follows, where `p` is a policy.
macro_rules! select {
    ($rest:literal) => {
        sql!("SELECT " policy_columns!(p)
             ", (SELECT COUNT(*) FROM iam_attachment b WHERE b.policy = p.id) FROM " $rest)
    };
}

row! { ($) version_columns:
    fn version(row) -> Version { number: (version), document, created_at }
}

/// Adds a policy without a version; false where one has the name.
pub fn insert(tx: &mut Tx, policy: &Policy) -> Result<bool> {
    let sql = sql!(policy_columns!(INSERT INTO iam_policy (folded, ..)) " ON CONFLICT DO NOTHING");
    Ok(tx.execute(sql, &policy.values(values![fold(&policy.name)]))? == 1)
}

/// The policy with this name.
pub fn find(tx: &mut Tx, name: &str) -> Result<Option<Policy>> {
    tx.row(select!("iam_policy p WHERE p.folded = $1"), values![fold(name)], policy)
}

/// The policies, in the order of their names.
pub fn list(tx: &mut Tx, rows: Rows<'_>) -> Result<Vec<Policy>> {
    let sql = select!(
        "iam_policy p
         WHERE $1 < p.folded AND SUBSTR(p.path, 1, LENGTH(CAST($2 AS TEXT))) = $2 ORDER BY p.folded LIMIT $3"
    );
    tx.rows(sql, values![rows.after, rows.path, rows.limit], policy)
}

/// How many there are.
pub fn count(tx: &mut Tx) -> Result<i64> {
    Ok(tx.row("SELECT COUNT(*) FROM iam_policy", &[], read)?.unwrap_or_default())
}

/// Writes what may change of a policy.
pub fn update(tx: &mut Tx, policy: &Policy) -> Result<()> {
    tx.defer(
        "UPDATE iam_policy SET tags = $2, default_version = $3, last_version = $4, updated_at = $5 WHERE id = $1",
        values![
            policy.id,
            policy.tags,
            policy.default_version,
            policy.last_version,
            policy.updated_at
        ],
    )
}

/// Takes a policy away, with its versions.
pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    tx.defer("DELETE FROM iam_policy_version WHERE policy = $1", values![id])?;
    tx.defer("DELETE FROM iam_policy WHERE id = $1", values![id])
}

/// Adds a version.
pub fn insert_version(tx: &mut Tx, policy: &str, version: &Version) -> Result<()> {
    let sql = version_columns!(INSERT INTO iam_policy_version (policy, ..));
    tx.defer(sql, &version.values(values![policy]))
}

/// The versions of a policy, newest first. Their number has a quota.
pub fn list_versions(tx: &mut Tx, policy: &str) -> Result<Vec<Version>> {
    let sql = sql!("SELECT " version_columns!()
                   " FROM iam_policy_version WHERE policy = $1 ORDER BY version DESC");
    tx.rows(sql, values![policy], version)
}

/// Takes a version away.
pub fn delete_version(tx: &mut Tx, policy: &str, number: i64) -> Result<()> {
    let sql = "DELETE FROM iam_policy_version WHERE policy = $1 AND version = $2";
    tx.defer(sql, values![policy, number])
}

/// Attaches a policy to a principal, where it is not attached yet.
pub fn attach(tx: &mut Tx, principal: &str, policy: &str) -> Result<()> {
    let sql = "INSERT INTO iam_attachment (principal, policy) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    tx.defer(sql, values![principal, policy])
}

/// Takes a policy from a principal; false where it was not attached.
pub fn detach(tx: &mut Tx, principal: &str, policy: &str) -> Result<bool> {
    let sql = "DELETE FROM iam_attachment WHERE principal = $1 AND policy = $2";
    Ok(tx.execute(sql, values![principal, policy])? == 1)
}

/// The policies that a principal has attached, in the order of their names. Their number has a quota.
pub fn list_attached(tx: &mut Tx, principal: &str) -> Result<Vec<Policy>> {
    let sql = select!(
        "iam_attachment a JOIN iam_policy p ON p.id = a.policy WHERE a.principal = $1 ORDER BY p.folded"
    );
    tx.rows(sql, values![principal], policy)
}

/// Who has a policy attached, in the order of their ids.
pub fn list_entities(tx: &mut Tx, policy: &str, rows: Rows<'_>) -> Result<Vec<Entity>> {
    tx.rows(
        "SELECT r.id, r.kind, r.name FROM iam_attachment a JOIN iam_principal r ON r.id = a.principal
         WHERE a.policy = $1 AND $2 < r.id AND SUBSTR(r.path, 1, LENGTH(CAST($3 AS TEXT))) = $3
         ORDER BY r.id LIMIT $4",
        values![policy, rows.after, rows.path, rows.limit],
        |row| Ok(Entity { id: row.read()?, kind: row.read()?, name: row.read()? }),
    )
}

/// What is in force by attachment: each principal's id with the name of a policy and its document.
pub fn all_attached(tx: &mut Tx) -> Result<Vec<(String, String, String)>> {
    tx.rows(
        "SELECT a.principal, p.name, v.document FROM iam_attachment a JOIN iam_policy p ON p.id = a.policy
         JOIN iam_policy_version v ON v.policy = p.id AND v.version = p.default_version
         ORDER BY a.principal, p.folded",
        &[],
        read,
    )
}
