//! Policies that belong to one user or role.

use super::Rows;
use crate::engine::values;
use crate::row::{Written, read, row, sql};
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

row! { ($) inline_policy_columns:
    fn inline_policy(row) -> InlinePolicy { principal, name, document }
}

/// Sets a policy, over one with the same name.
pub fn set(tx: &mut Tx, policy: &InlinePolicy) -> Result<()> {
    let sql = sql!(inline_policy_columns!(INSERT INTO iam_inline_policy (..))
                   " ON CONFLICT (principal, name) DO UPDATE SET document = EXCLUDED.document");
    tx.defer(sql, &policy.values(&[]))
}

/// The document of a policy.
pub fn find(tx: &mut Tx, principal: &str, name: &str) -> Result<Option<String>> {
    let sql = "SELECT document FROM iam_inline_policy WHERE principal = $1 AND name = $2";
    tx.row(sql, values![principal, name], read)
}

/// The policies of a principal, in the order of their names; they have no path.
pub fn list(tx: &mut Tx, principal: &str, rows: Rows<'_>) -> Result<Vec<InlinePolicy>> {
    let sql = sql!("SELECT " inline_policy_columns!()
                   " FROM iam_inline_policy WHERE principal = $1 AND $2 < name ORDER BY name LIMIT $3");
    tx.rows(sql, values![principal, rows.after, rows.limit], inline_policy)
}

/// Every policy of every principal.
pub fn all(tx: &mut Tx) -> Result<Vec<InlinePolicy>> {
    let sql = sql!("SELECT " inline_policy_columns!() " FROM iam_inline_policy ORDER BY principal, name");
    tx.rows(sql, &[], inline_policy)
}

/// Takes a policy away; false where there is none of the name.
pub fn delete(tx: &mut Tx, principal: &str, name: &str) -> Result<bool> {
    let sql = "DELETE FROM iam_inline_policy WHERE principal = $1 AND name = $2";
    Ok(tx.execute(sql, values![principal, name])? == 1)
}
