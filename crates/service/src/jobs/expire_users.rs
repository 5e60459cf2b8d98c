//! Deletes the users whose time is over, in the lane where their settings are changed.

use carillon_model::identity::AppInstanceUser;
use carillon_model::text::UserExpirationCriterion;
use carillon_model::{IdentityArn, Key, Timestamp};
use carillon_store::{self as store, Lane, Tx};

use super::{FIRST, Found, Job, Progress, STEP_LEN_MAX, Thing, Turn, WALK_EVERY};
use crate::chat;
use crate::chat::retention::DAY_MS;
use crate::error::Result;

pub(crate) const JOB: Job =
    Job { name: "expire users", every: WALK_EVERY, woken_by: None, find: |tx, turn| find(tx, turn, FIRST) };

fn find(tx: &mut Tx, turn: &Turn, after: Key) -> Result<Found> {
    let rows = store::identity::list_expiring(tx, turn.home(), after, turn.at_most(STEP_LEN_MAX))?;
    let Some(last) = rows.last().map(|(key, _)| *key) else { return Ok(Found::default()) };
    let mut found = Found::default();
    let mut users = found.readable("user", rows);
    users.retain(|user| is_expired(user, turn.call.now));
    found.due = users.into_iter().map(|user| thing(user.arn)).collect();
    Ok(found.then(move |tx, turn| find(tx, turn, last)))
}

fn thing(arn: IdentityArn) -> Thing {
    let (lane, name) = (Lane::instance(&arn.app_instance()), arn.as_str().to_owned());
    let expire = move |tx: &mut Tx, turn: &Turn| expire(tx, turn.call.now, &arn);
    Thing { said_as: Some(("ExpireAppInstanceUser", "AppInstanceUserArn")), ..Thing::new(lane, name, expire) }
}

/// The user may be gone by now, or the settings changed.
fn expire(tx: &mut Tx, now: Timestamp, arn: &IdentityArn) -> Result<Progress> {
    let Some(found) = store::identity::find(tx, arn)? else { return Ok(Progress::Passed) };
    if !store::identity::find_user(tx, arn)?.is_some_and(|user| is_expired(&user, now)) {
        return Ok(Progress::Passed);
    }
    chat::person::delete(tx, &found, now)?;
    Ok(Progress::Done)
}

fn is_expired(user: &AppInstanceUser, now: Timestamp) -> bool {
    let Some((days, UserExpirationCriterion::CreatedTimestamp)) = user.expiration else { return false };
    user.created_at.plus_ms(days.get() * DAY_MS) <= now
}
