//! Forgets how flows ended, once their window is over.

use carillon_store::{self as store, Lane};

use super::{Found, Job, Progress, STEP_LEN_MAX, Thing, WALK_EVERY};

pub(crate) const JOB: Job = Job {
    name: "trim flows",
    every: WALK_EVERY,
    woken_by: None,
    find: |_, _| {
        Ok(Found::one(Thing::new(Lane::Job, "outcomes", |tx, turn| {
            let rows_max = turn.at_most(STEP_LEN_MAX);
            let deleted = store::in_flight::delete_old(tx, turn.call.now, rows_max)?;
            Ok(Progress::after(deleted, rows_max))
        })))
    },
};
