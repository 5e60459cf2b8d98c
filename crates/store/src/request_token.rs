//! What a `ClientRequestToken` led to, so that a repeated request has one effect.

use carillon_model::text::ClientRequestToken;
use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::row::read;
use crate::settlement::{Shared, Token};
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

impl Scope<'_> {
    fn key(&self) -> Token {
        (self.owner, self.operation.to_owned(), self.token.as_str().to_owned())
    }

    fn row(&self) -> Shared {
        let (owner, operation, token) = self.key();
        Shared::Token(owner, operation, token)
    }
}

/// What an earlier request with this token led to, if it came after `since`; one of the same batch, too.
pub fn find(tx: &mut Tx, scope: Scope<'_>, since: Timestamp) -> Result<Option<Earlier>> {
    if let Some((input, result)) = tx.noted_token(&scope.key()) {
        return Ok(Some(Earlier { input, result }));
    }
    if let Some(asked) = tx.looked().take_token(scope) {
        return Ok(asked.found.filter(|(_, at)| since < *at).map(|(earlier, _)| earlier));
    }
    tx.row(
        "SELECT input, result FROM request_token
         WHERE owner = $1 AND operation = $2 AND token = $3 AND $4 < created_at",
        values![scope.owner, scope.operation, scope.token, since],
        |row| Ok(Earlier { input: row.read()?, result: row.read()? }),
    )
}

/// Keeps what this request led to. It was looked for before: where a request with the same token came less than
/// `window_ms` before meanwhile, on another lane or another node, the transaction runs again and finds it.
pub fn insert(tx: &mut Tx, scope: Scope<'_>, earlier: Earlier, now: Timestamp, window_ms: i64) -> Result<()> {
    tx.settle_new(
        scope.row(),
        "INSERT INTO request_token (owner, operation, token, input, result, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (owner, operation, token) DO UPDATE
           SET input = EXCLUDED.input, result = EXCLUDED.result, created_at = EXCLUDED.created_at
           WHERE request_token.created_at <= EXCLUDED.created_at - $7",
        values![
            scope.owner,
            scope.operation,
            scope.token,
            &earlier.input[..],
            earlier.result,
            now,
            window_ms,
        ],
    )?;
    tx.note_token(scope.key(), (earlier.input, earlier.result));
    Ok(())
}

/// Where a round of [`delete_old`] goes on.
pub type Position = (Key, String, String);

/// Tokens from before `before` among the next `limit` after `from`, and where to go on, or nothing at the end. It walks
/// the table in the order of its key, so that the hot path keeps one index, not two.
pub fn list_old(
    tx: &mut Tx,
    from: &Position,
    before: Timestamp,
    limit: i64,
) -> Result<(Vec<Position>, Option<Position>)> {
    let rows: Vec<(Position, Timestamp)> = tx.rows(
        "SELECT owner, operation, token, created_at FROM request_token
         WHERE (owner, operation, token) > ($1, $2, $3) ORDER BY owner, operation, token LIMIT $4",
        values![from.0, from.1, from.2, limit],
        read,
    )?;
    let is_full = usize::try_from(limit).is_ok_and(|limit| rows.len() == limit);
    let next = rows.last().filter(|_| is_full).map(|(position, _)| position.clone());
    let old = rows.into_iter().filter(|(_, created_at)| *created_at < before);
    Ok((old.map(|(position, _)| position).collect(), next))
}

/// Deletes these tokens, but for those that were used again since they were found.
pub fn delete_old(tx: &mut Tx, old: &[Position], before: Timestamp) -> Result<()> {
    for (owner, operation, token) in old {
        tx.settle_if_there(
            Shared::Token(*owner, operation.clone(), token.clone()),
            "DELETE FROM request_token WHERE owner = $1 AND operation = $2 AND token = $3 AND created_at < $4",
            values![owner, operation, token, before],
        )?;
    }
    Ok(())
}
