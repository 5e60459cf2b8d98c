//! Deletes request tokens that nobody needs any more.

use carillon_store::request_token::Position;
use carillon_store::{self as store, Lane, Tx};

use super::{FIRST, Found, Job, Progress, STEP_LEN_MAX, Thing, Turn, WALK_EVERY};
use crate::error::Result;
use crate::once::TOKEN_WINDOW_MS;

pub(crate) const JOB: Job = Job {
    name: "trim tokens",
    every: WALK_EVERY,
    woken_by: None,
    find: |tx, turn| find(tx, turn, &(FIRST, String::new(), String::new())),
};

fn find(tx: &mut Tx, turn: &Turn, from: &Position) -> Result<Found> {
    let bound = turn.call.now.plus_ms(-TOKEN_WINDOW_MS);
    let (old, next) = store::request_token::list_old(tx, from, bound, turn.at_most(STEP_LEN_MAX))?;
    let mut found = Found::default();
    if !old.is_empty() {
        found = Found::one(Thing::new(Lane::Job, "tokens", move |tx, _| {
            store::request_token::delete_old(tx, &old, bound)?;
            Ok(Progress::Done)
        }));
    }
    Ok(match next {
        Some(next) => found.then(move |tx, turn| find(tx, turn, &next)),
        None => found,
    })
}
