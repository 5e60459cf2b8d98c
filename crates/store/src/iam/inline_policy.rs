//! Policies that belong to one user or role.

use super::Rows;
use crate::engine::{Row, values};
use crate::{Result, Tx};

/// A policy of one principal.
#[derive(Debug, Clone, PartialEq)]
pub struct InlinePolicy {
    /// The id of the principal.
    pub principal: String,
    /// Its name, unique within the principal's.
    pub name: String,
    /// Its document.
    pub document: String,
}

/// Sets a policy, over one with the same name.
pub fn set(tx: &mut Tx, policy: &InlinePolicy) -> Result<()> {
    tx.defer(
        "INSERT INTO iam_inline_policy (principal, name, document) VALUES ($1, $2, $3)
         ON CONFLICT (principal, name) DO UPDATE SET document = EXCLUDED.document",
        values![policy.principal, policy.name, policy.document],
    )
}

/// The document of a policy.
pub fn find(tx: &mut Tx, principal: &str, name: &str) -> Result<Option<String>> {
    let sql = "SELECT document FROM iam_inline_policy WHERE principal = $1 AND name = $2";
    tx.row(sql, values![principal, name], |row| row.get(0))
}

/// The policies of a principal, in the order of their names; they have no path.
pub fn list(tx: &mut Tx, principal: &str, rows: Rows<'_>) -> Result<Vec<InlinePolicy>> {
    tx.rows(
        "SELECT principal, name, document FROM iam_inline_policy
         WHERE principal = $1 AND $2 < name ORDER BY name LIMIT $3",
        values![principal, rows.after, rows.limit],
        inline_policy,
    )
}

/// Every policy of every principal.
pub fn all(tx: &mut Tx) -> Result<Vec<InlinePolicy>> {
    let sql = "SELECT principal, name, document FROM iam_inline_policy ORDER BY principal, name";
    tx.rows(sql, &[], inline_policy)
}

/// Takes a policy away; false where there is none of the name.
pub fn delete(tx: &mut Tx, principal: &str, name: &str) -> Result<bool> {
    let sql = "DELETE FROM iam_inline_policy WHERE principal = $1 AND name = $2";
    Ok(tx.execute(sql, values![principal, name])? == 1)
}

fn inline_policy(row: &Row<'_>) -> Result<InlinePolicy> {
    Ok(InlinePolicy { principal: row.get(0)?, name: row.get(1)?, document: row.get(2)? })
}
