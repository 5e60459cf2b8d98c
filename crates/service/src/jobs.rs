//! What the clock starts: functions of a transaction and a time, in bounded steps.
//!
//! Each step deletes what is older than a named window; running one twice, or on two nodes at once, does no
//! harm. The server owns the ticking.

use carillon_model::{Key, Timestamp};
use carillon_store::request_token::Position;
use carillon_store::{self as store, Tx};

use crate::error::Result;
use crate::once::TOKEN_WINDOW_MS;

/// How long an event stays in the outbox.
pub const OUTBOX_WINDOW_MS: i64 = 15 * 60 * 1000;
/// Rows that one step looks at, so that it never holds a send up.
pub const STEP_LEN_MAX: i64 = 500;

/// Deletes old events; false when nothing is left to do.
pub fn trim_outbox(tx: &mut Tx, now: Timestamp) -> Result<bool> {
    let deleted = store::outbox::delete_old(tx, now.plus_ms(-OUTBOX_WINDOW_MS), STEP_LEN_MAX)?;
    Ok(STEP_LEN_MAX.unsigned_abs() == deleted)
}

/// Where a walk over the tokens begins.
pub fn first_token() -> Position {
    (Key([0; 16]), String::new(), String::new())
}

/// Deletes old request tokens after `from`; answers where to go on, or nothing at the end.
pub fn trim_tokens(tx: &mut Tx, now: Timestamp, from: &Position) -> Result<Option<Position>> {
    Ok(store::request_token::delete_old(tx, from, now.plus_ms(-TOKEN_WINDOW_MS), STEP_LEN_MAX)?)
}
