//! What a `ClientRequestToken` led to, so that a repeated request has one effect.

use carillon_model::text::ClientRequestToken;
use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::{Result, Tx};

/// What an earlier request with the same token asked and got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// The digest of its input.
    pub input: Vec<u8>,
    /// What it led to, in the operation's own words.
    pub result: String,
}

/// Whose token it is, and for what: tokens of other owners and operations are other tokens.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The bearer, or the app instance, or zeros for the account.
    pub owner: Key,
    /// The operation.
    pub operation: &'a str,
    /// The token.
    pub token: &'a ClientRequestToken,
}

/// What an earlier request with this token led to, if it came after `since`.
pub fn find(tx: &mut Tx, scope: Scope<'_>, since: Timestamp) -> Result<Option<Earlier>> {
    tx.row(
        "SELECT input, result FROM request_token
         WHERE owner = $1 AND operation = $2 AND token = $3 AND $4 < created_at",
        values![scope.owner, scope.operation, scope.token, since],
        |row| Ok(Earlier { input: row.get(0)?, result: row.get(1)? }),
    )
}

/// Keeps what this request led to, unless a request with the same token came after `since`: then false.
pub fn insert(
    tx: &mut Tx,
    scope: Scope<'_>,
    earlier: &Earlier,
    now: Timestamp,
    since: Timestamp,
) -> Result<bool> {
    let count = tx.execute(
        "INSERT INTO request_token (owner, operation, token, input, result, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (owner, operation, token) DO UPDATE
           SET input = EXCLUDED.input, result = EXCLUDED.result, created_at = EXCLUDED.created_at
           WHERE request_token.created_at <= $7",
        values![scope.owner, scope.operation, scope.token, &earlier.input[..], earlier.result, now, since],
    )?;
    Ok(count == 1)
}

/// Where a round of [`delete_old`] goes on.
pub type Position = (Key, String, String);

/// Deletes tokens from before `before` among the next `limit` after `from`; answers where to go on, or nothing
/// at the end. It walks the table in the order of its key, so that the hot path keeps one index, not two.
pub fn delete_old(tx: &mut Tx, from: &Position, before: Timestamp, limit: i64) -> Result<Option<Position>> {
    let rows = tx.rows(
        "SELECT owner, operation, token, created_at FROM request_token
         WHERE (owner, operation, token) > ($1, $2, $3) ORDER BY owner, operation, token LIMIT $4",
        values![from.0, from.1, from.2, limit],
        |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get::<Timestamp>(3)?)),
    )?;
    for ((owner, operation, token), created_at) in &rows {
        if *created_at < before {
            tx.defer(
                "DELETE FROM request_token WHERE owner = $1 AND operation = $2 AND token = $3",
                values![owner, operation, token],
            )?;
        }
    }
    let full = usize::try_from(limit).is_ok_and(|limit| rows.len() == limit);
    Ok(rows.into_iter().last().map(|(position, _)| position).filter(|_| full))
}
