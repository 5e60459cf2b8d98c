//! Idempotency: a repeated `ClientRequestToken` returns the first result and has no second effect.

use carillon_model::Key;
use carillon_model::text::ClientRequestToken;
use carillon_store::request_token::{self, Earlier, Scope};
use carillon_store::{self as store, Tx};

use crate::call::Call;
use crate::error::{Error, Result};
use crate::operation::Operation;

/// How long a token is remembered.
pub const TOKEN_WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// What a request led to, now or when its token was first used.
pub enum Once<T> {
    /// Now.
    First(T),
    /// Earlier, in the words that the operation kept.
    Earlier(String),
}

/// Runs `effect`, unless an earlier request with the same token did. The same token with other input is a
/// conflict. `keep` says what a repetition will need of the result.
pub fn once<O: Operation, T>(
    tx: &mut Tx,
    call: &Call,
    operation: &O,
    (owner, token): (Key, &ClientRequestToken),
    keep: impl FnOnce(&T) -> String,
    effect: impl FnOnce(&mut Tx) -> Result<T>,
) -> Result<Once<T>> {
    let scope = Scope { owner, operation: O::NAME, token };
    let since = call.now.plus_ms(-TOKEN_WINDOW_MS);
    let input = call.digest(|| operation.canonical()).to_vec();
    if let Some(earlier) = request_token::find(tx, scope, since)? {
        return if earlier.input == input { Ok(Once::Earlier(earlier.result)) } else { Err(other_input()) };
    }
    let result = effect(tx)?;
    let kept = Earlier { input, result: keep(&result) };
    store::request_token::insert(tx, scope, kept, call.now, TOKEN_WINDOW_MS)?;
    Ok(Once::First(result))
}

fn other_input() -> Error {
    Error::conflict("The ClientRequestToken was used before, with other input")
}

/// What was kept for a repetition cannot be read back.
pub fn unreadable(operation: &str) -> Error {
    store::Error::broken(format!("what was kept of {operation} under its token cannot be read")).into()
}
