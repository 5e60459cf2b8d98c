//! Deletes old events.

use carillon_store::{self as store, Lane};

use super::{Found, Job, OUTBOX_WINDOW_MS, Progress, STEP_LEN_MAX, SWEEP_EVERY, Thing};

pub(crate) const JOB: Job = Job {
    name: "trim outbox",
    every: SWEEP_EVERY,
    woken_by: None,
    find: |_, _| {
        Ok(Found::one(Thing::new(Lane::Job, "events", |tx, turn| {
            let rows_max = turn.at_most(STEP_LEN_MAX);
            let deleted = store::outbox::delete_old(tx, turn.call.now.plus_ms(-OUTBOX_WINDOW_MS), rows_max)?;
            Ok(Progress::after(deleted, rows_max))
        })))
    },
};
