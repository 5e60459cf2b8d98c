//! What the clock starts: functions of a transaction and a time, in bounded steps.
//!
//! Each step deletes what is older than a named window; running one twice, or on two nodes at once, does no
//! harm. The server owns the ticking.

use carillon_model::arn::Home;
use carillon_model::channel::Channel;
use carillon_model::event::Event;
use carillon_model::identity::{AppInstanceUser, Identity};
use carillon_model::text::{ExpirationCriterion, UserExpirationCriterion};
use carillon_model::{ChannelArn, IdentityArn, Key, Timestamp};
use carillon_store::request_token::Position;
use carillon_store::{self as store, Tx};

use crate::chat::placement::leave_all;
use crate::error::Result;
use crate::once::TOKEN_WINDOW_MS;

/// How long an event stays in the outbox.
pub const OUTBOX_WINDOW_MS: i64 = 15 * 60 * 1000;
pub use crate::chat::retention::STEP_LEN_MAX;

/// Deletes old events; false when nothing is left to do.
pub fn trim_outbox(tx: &mut Tx, now: Timestamp) -> Result<bool> {
    let deleted = store::outbox::delete_old(tx, now.plus_ms(-OUTBOX_WINDOW_MS), STEP_LEN_MAX)?;
    Ok(STEP_LEN_MAX.unsigned_abs() == deleted)
}

/// Forgets how flows ended, once their window is over; false when nothing is left to do.
pub fn trim_flows(tx: &mut Tx, now: Timestamp) -> Result<bool> {
    Ok(STEP_LEN_MAX.unsigned_abs() == store::in_flight::delete_old(tx, now, STEP_LEN_MAX)?)
}

/// Where a walk over the tokens begins.
pub fn first_token() -> Position {
    (Key([0; 16]), String::new(), String::new())
}

/// Request tokens that nobody needs any more, and where a walk goes on.
pub type OldTokens = (Vec<Position>, Option<Position>);

/// Old request tokens after `from`, of as many as one step looks at, for [`trim_tokens`], and where to go on, or
/// nothing at the end.
pub fn find_old_tokens(tx: &mut Tx, now: Timestamp, from: &Position) -> Result<OldTokens> {
    Ok(store::request_token::list_old(tx, from, now.plus_ms(-TOKEN_WINDOW_MS), STEP_LEN_MAX)?)
}

/// Deletes request tokens that were found to be old.
pub fn trim_tokens(tx: &mut Tx, now: Timestamp, old: &[Position]) -> Result<()> {
    Ok(store::request_token::delete_old(tx, old, now.plus_ms(-TOKEN_WINDOW_MS))?)
}

/// How long a day of an expiration is.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Destroys up to `limit` rows of the first deleted channel after `after`, its own row last; false when nothing is left
/// to do.
pub(crate) fn destroy_channels(tx: &mut Tx, after: Key, limit: i64) -> Result<bool> {
    let Some(channel) = find_deleted(tx, after)? else { return Ok(false) };
    let place = store::sub_channel::find_left(tx, channel)?.unwrap_or(channel);
    let emptied = store::message::delete_some(tx, place, limit)? == 0;
    if !emptied {
        return Ok(true);
    }
    if place != channel {
        store::sub_channel::delete(tx, channel, place)?;
        return Ok(true);
    }
    let gone = store::in_flight::delete_some(tx, channel, limit)? == 0
        && store::membership::delete_some(tx, channel, limit)? == 0
        && store::moderator::delete_some(tx, channel, limit)? == 0
        && store::ban::delete_some(tx, channel, limit)? == 0;
    if gone {
        store::channel::delete(tx, channel)?;
    }
    Ok(true)
}

/// The first deleted channel after `after`.
pub fn find_deleted(tx: &mut Tx, after: Key) -> Result<Option<Key>> {
    Ok(store::channel::find_deleted(tx, after)?)
}

/// Where a walk over the keys of channels or people begins.
pub const FIRST: Key = Key([0; 16]);

/// What a step of a walk found.
#[derive(Debug)]
pub struct Found<T> {
    /// What is due.
    pub due: Vec<T>,
    /// Where to go on, or nothing at the end.
    pub next: Option<Key>,
    /// Rows that could not be read. They keep no other waiting, and are looked at again in the next walk.
    pub broken: u64,
}

impl<T> Found<T> {
    /// What could be read of these rows.
    fn of(what: &'static str, rows: Vec<(Key, store::Result<T>)>) -> Self {
        let next = rows.last().map(|(key, _)| *key);
        let (mut due, mut broken) = (Vec::with_capacity(rows.len()), 0);
        for (key, read) in rows {
            match read {
                Ok(one) => due.push(one),
                Err(error) => {
                    broken += 1;
                    tracing::error!(what, %key, %error, "a row cannot be read; a job goes on without it");
                }
            }
        }
        Self { due, next, broken }
    }
}

/// The channels after `from` that have expired, of as many as one step looks at. Each is then deleted by
/// [`expire_channel`], in its lane: only there its last event follows the others.
pub fn find_expired_channels(tx: &mut Tx, home: &Home, now: Timestamp, from: Key) -> Result<Found<Channel>> {
    let channels = store::channel::list_expiring(tx, home, from, STEP_LEN_MAX)?;
    let mut found = Found::of("channel", channels);
    found.due.retain(|channel| is_expired(channel, now));
    Ok(found)
}

/// Deletes a channel that was found to have expired; false when something happened in it meanwhile, which may have
/// moved the day: the next walk finds out.
pub fn expire_channel(tx: &mut Tx, now: Timestamp, mut channel: Channel) -> Result<bool> {
    let claimed = store::channel::claim(tx, &mut channel, 1, now, false)?;
    if claimed {
        crate::chat::channel::delete(tx, &channel)?;
    }
    Ok(claimed)
}

/// The users after `from` that have expired, of as many as one step looks at. Each is then deleted by
/// [`expire_user`], in the lane of their app instance.
pub fn find_expired_users(tx: &mut Tx, home: &Home, now: Timestamp, from: Key) -> Result<Found<IdentityArn>> {
    let users = store::identity::list_expiring(tx, home, from, STEP_LEN_MAX)?;
    let Found { mut due, next, broken } = Found::of("user", users);
    due.retain(|user| is_user_expired(user, now));
    Ok(Found { due: due.into_iter().map(|user| user.arn).collect(), next, broken })
}

/// Deletes a user who was found to have expired; false when that is no longer so, because the user is gone or the
/// settings were changed.
pub fn expire_user(tx: &mut Tx, now: Timestamp, arn: &IdentityArn) -> Result<bool> {
    let Some(found) = store::identity::find(tx, arn)? else { return Ok(false) };
    let user = store::identity::find_user(tx, arn)?.filter(|user| is_user_expired(user, now));
    if user.is_some() {
        crate::chat::person::delete(tx, &found, now)?;
    }
    Ok(user.is_some())
}

fn is_user_expired(user: &AppInstanceUser, now: Timestamp) -> bool {
    let Some((days, UserExpirationCriterion::CreatedTimestamp)) = user.expiration else { return false };
    user.created_at.plus_ms(days.get() * DAY_MS) <= now
}

/// Channels that one look-up for [`leave_channel`] tells.
const LEAVING_LEN_MAX: i64 = 100;

/// A deleted user or bot that has still to leave its channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaving {
    /// Who.
    pub who: Identity,
    /// Some of the channels; none when they left all.
    pub channels: Vec<(Key, ChannelArn)>,
}

/// Someone after `after` who has still to leave channels, if anybody has, and how many rows before them could not be
/// read.
pub fn find_leaving(tx: &mut Tx, home: &Home, mut after: Key) -> Result<(Option<Leaving>, u64)> {
    let mut broken = 0;
    while let Some((key, read)) = store::identity::find_leaving(tx, home, after)? {
        let found = Found::of("identity", vec![(key, read)]);
        broken += found.broken;
        if let Some(who) = found.due.into_iter().next() {
            let instance = who.arn.app_instance();
            let channels = store::identity::list_involved(tx, &instance, who.key, LEAVING_LEN_MAX)?;
            return Ok((Some(Leaving { who, channels }), broken));
        }
        after = key;
    }
    Ok((None, broken))
}

/// Takes a deleted user or bot out of a channel, in the lane of the channel: memberships, of which the others
/// are told, the moderator's role, the ban.
pub fn leave_channel(tx: &mut Tx, now: Timestamp, who: &Identity, key: Key) -> Result<()> {
    let instance = who.arn.app_instance();
    let Some(mut channel) = store::channel::find(tx, &instance, key)? else { return Ok(()) };
    if !store::channel::claim(tx, &mut channel, 1, now, false)? {
        // Something happened in it meanwhile: under the claim it is read as it is.
        let Some(again) = store::channel::find(tx, &instance, key)? else { return Ok(()) };
        channel = again;
    }
    let places = store::membership::list_places(tx, &channel.arn, key, who)?;
    leave_all(tx, now, &mut channel, &places)?;
    store::moderator::delete(tx, key, who.key)?;
    store::ban::delete(tx, key, who.key)?;
    Ok(())
}

/// Notes that a deleted user or bot has no channel left to leave.
pub fn finish_leaving(tx: &mut Tx, who: &Identity) -> Result<()> {
    Ok(store::identity::set_left(tx, who.key)?)
}

/// Deleted app instances that one step looks at.
const INSTANCES_LEN_MAX: i64 = 16;

/// One step of at most about `limit` rows in destroying what was deleted: first everybody in a deleted app instance
/// loses their sockets, and its channels end; then the rows of channels are deleted, then those of the app instance,
/// its own last. False when nothing is left to do. The server's limit is [`STEP_LEN_MAX`]. Channels up to `after` are
/// left out, because something is wrong with them; while there are any, no app instance goes.
pub fn destroy(tx: &mut Tx, home: &Home, now: Timestamp, (after, limit): (Key, i64)) -> Result<bool> {
    let instances = store::app_instance::list_deleted(tx, INSTANCES_LEN_MAX)?;
    for instance in &instances {
        if end_some(tx, *instance, now, limit)? {
            return Ok(true);
        }
    }
    if destroy_channels(tx, after, limit)? {
        return Ok(true);
    }
    if after != FIRST {
        return Ok(false);
    }
    // No deleted channel is left: nothing refers to its people any more.
    let Some(instance) = instances.first() else { return Ok(false) };
    destroy_app_instance(tx, home, *instance, limit)?;
    Ok(true)
}

fn end_some(tx: &mut Tx, instance: Key, now: Timestamp, limit: i64) -> Result<bool> {
    let ended = store::identity::end_some(tx, instance, now, limit)?;
    for key in &ended {
        store::endpoint::delete_all(tx, *key)?;
        tx.emit(Event::delete_app_instance_user(*key, now))?;
    }
    Ok(!ended.is_empty() || 0 < store::channel::end_some(tx, instance, now, limit)?)
}

fn destroy_app_instance(tx: &mut Tx, home: &Home, instance: Key, limit: i64) -> Result<()> {
    let arn = home.app_instance(instance);
    let gone = store::identity::delete_some(tx, instance, limit)? == 0
        && store::channel_flow::delete_some(tx, instance, limit)? == 0
        && store::tag::delete_some(tx, &arn, limit)? == 0;
    if gone {
        store::tag::delete_all(tx, arn.as_str())?;
        store::app_instance::delete(tx, instance)?;
    }
    Ok(())
}

fn is_expired(channel: &Channel, now: Timestamp) -> bool {
    let Some((days, criterion)) = channel.expiration else { return false };
    let since = match criterion {
        ExpirationCriterion::CreatedTimestamp => channel.created_at,
        ExpirationCriterion::LastMessageTimestamp => channel.last_message_at.unwrap_or(channel.created_at),
    };
    since.plus_ms(days.get() * DAY_MS) <= now
}

#[cfg(test)]
mod tests {
    use carillon_model::text::{ChannelMode, ChannelPrivacy};

    use super::*;
    use crate::operations::identity::put_app_instance_user_expiration_settings::PutAppInstanceUserExpirationSettings;
    use crate::operations::messaging::put_channel_expiration_settings::PutChannelExpirationSettings;
    use crate::shapes::{ExpirationSettings, UserExpirationSettings};
    use crate::testing::*;

    fn channel(world: &mut World, who: &IdentityArn, criterion: ExpirationCriterion) -> ChannelArn {
        let channel_arn = world.channel_of(who, ChannelMode::Restricted, ChannelPrivacy::Private);
        let put = PutChannelExpirationSettings {
            channel_arn: channel_arn.clone(),
            chime_bearer: Some(who.clone()),
            expiration_settings: Some(ExpirationSettings {
                expiration_days: 2.try_into().unwrap(),
                expiration_criterion: criterion,
            }),
        };
        world.call(&put).unwrap();
        channel_arn
    }

    fn expire(world: &mut World) -> Vec<&'static str> {
        world.take_events();
        world.expire_channels();
        world.take_events()
    }

    fn expire_users(world: &mut World) -> Vec<&'static str> {
        world.take_events();
        world.expire_users();
        world.take_events()
    }

    fn settings(who: &IdentityArn, days: Option<i64>) -> PutAppInstanceUserExpirationSettings {
        PutAppInstanceUserExpirationSettings {
            app_instance_user_arn: who.clone(),
            expiration_settings: days.map(|days| UserExpirationSettings {
                expiration_days: days.try_into().unwrap(),
                expiration_criterion: UserExpirationCriterion::CreatedTimestamp,
            }),
        }
    }

    #[engine_test]
    fn a_user_expires_counted_from_creation_and_acts_until_then(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let lobby = world.channel_of(&bob, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&lobby, &bob, &ana);
        world.advance_ms(DAY_MS);
        world.call(&settings(&ana, Some(2))).unwrap();
        world.advance_ms(DAY_MS - 1);
        assert!(expire_users(world).is_empty());
        world.advance_ms(1);
        world.restart();
        world.send(&lobby, &ana, "not yet");
        assert_eq!(expire_users(world), ["DELETE_APP_INSTANCE_USER"]);
        assert_eq!(world.refusal(&settings(&ana, None)), ErrorCode::Forbidden);
        world.restart();
        world.run_jobs();
        assert_eq!(world.take_events(), ["DELETE_CHANNEL_MEMBERSHIP"]);
        assert_eq!(
            (world.members(&lobby, &bob), world.contents(&lobby, &bob)),
            (vec!["bob".to_owned()], vec!["not yet".to_owned()],)
        );
        let again = world.user("ana");
        assert!(expire_users(world).is_empty());
        world.call(&settings(&again, Some(1))).unwrap();
    }

    #[engine_test]
    fn settings_that_are_changed_in_the_last_moment_count(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        for who in [&ana, &bob, &cy] {
            world.call(&settings(who, Some(1))).unwrap();
        }
        world.advance_ms(DAY_MS);
        let find = |tx: &mut Tx, now| find_expired_users(tx, &World::home(), now, FIRST);
        let Found { due: expired, .. } = world.step(find);
        assert_eq!(expired.len(), 3);
        world.call(&settings(&ana, None)).unwrap();
        world.call(&settings(&bob, Some(2))).unwrap();
        let done: Vec<String> = expired
            .into_iter()
            .filter_map(|who| {
                let id = who.id().to_owned();
                world.step(move |tx, now| expire_user(tx, now, &who)).then_some(id)
            })
            .collect();
        assert_eq!(done, ["cy"]);
        assert!(expire_users(world).is_empty());
    }

    #[engine_test]
    fn a_channel_expires_by_its_own_criterion(world: &mut World) {
        let ana = world.user("ana");
        channel(world, &ana, ExpirationCriterion::CreatedTimestamp);
        let lively = channel(world, &ana, ExpirationCriterion::LastMessageTimestamp);
        let silent = channel(world, &ana, ExpirationCriterion::LastMessageTimestamp);
        world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.advance_ms(DAY_MS);
        world.send(&lively, &ana, "still here");
        world.advance_ms(DAY_MS - 1);
        assert!(expire(world).is_empty());
        world.advance_ms(1);
        assert_eq!(expire(world), ["DELETE_CHANNEL", "DELETE_CHANNEL"]);
        assert_eq!(world.contents(&lively, &ana), ["still here"]);
        let put = PutChannelExpirationSettings {
            channel_arn: silent,
            chime_bearer: Some(ana.clone()),
            expiration_settings: None,
        };
        assert_eq!(world.call(&put).unwrap_err().code, ErrorCode::Forbidden);
        world.advance_ms(DAY_MS);
        assert_eq!(expire(world), ["DELETE_CHANNEL"]);
        world.advance_ms(DAY_MS);
        assert!(expire(world).is_empty());
    }

    #[engine_test]
    fn a_row_that_cannot_be_read_keeps_no_other_from_expiring(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        for _ in 0..3 {
            channel(world, &ana, ExpirationCriterion::CreatedTimestamp);
        }
        for who in [&bob, &cy] {
            world.call(&settings(who, Some(2))).unwrap();
        }
        world.advance_ms(2 * DAY_MS);
        assert_eq!(world.step(|tx, _| Ok(store::testing::spoil_expiring(tx)?)), 2);
        let find = |tx: &mut Tx, now| find_expired_channels(tx, &World::home(), now, FIRST);
        assert_eq!(world.step(find).broken, 1);
        assert_eq!(expire(world), ["DELETE_CHANNEL", "DELETE_CHANNEL"]);
        assert_eq!(expire_users(world), ["DELETE_APP_INSTANCE_USER"]);
        world.step(|tx, _| Ok(store::testing::mend(tx)?));
        assert_eq!(expire(world), ["DELETE_CHANNEL"]);
        assert_eq!(expire_users(world), ["DELETE_APP_INSTANCE_USER"]);
    }

    #[engine_test]
    fn a_row_that_cannot_be_read_keeps_no_other_from_leaving(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let lobby = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        for who in [&bob, &cy] {
            world.join(&lobby, &ana, who);
            world.call(&settings(who, Some(1))).unwrap();
        }
        world.advance_ms(DAY_MS);
        world.expire_users();
        assert_eq!(world.step(|tx, _| Ok(store::testing::spoil_leaving(tx)?)), 1);
        let (found, broken) = world.step(|tx, _| find_leaving(tx, &World::home(), FIRST));
        assert_eq!((found.is_some(), broken), (true, 1));
        world.run_jobs();
        world.step(|tx, _| Ok(store::testing::mend(tx)?));
        assert_eq!(world.members(&lobby, &ana).len(), 2);
        world.run_jobs();
        assert_eq!(world.members(&lobby, &ana), ["ana"]);
    }

    #[engine_test]
    fn a_channel_that_cannot_be_destroyed_is_left_out(world: &mut World) {
        let ana = world.user("ana");
        for _ in 0..2 {
            let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
            world.end(&channel, &ana);
        }
        let first = world.step(|tx, _| find_deleted(tx, FIRST)).unwrap();
        let second = world.step(move |tx, _| find_deleted(tx, first)).unwrap();
        while world.step(move |tx, now| destroy(tx, &World::home(), now, (first, STEP_LEN_MAX))) {}
        assert_eq!(world.step(|tx, _| find_deleted(tx, FIRST)), Some(first));
        assert_ne!(first, second);
        world.run_jobs();
        assert_eq!(world.step(|tx, _| find_deleted(tx, FIRST)), None);
    }

    #[engine_test]
    fn a_message_in_the_last_moment_keeps_a_channel(world: &mut World) {
        let ana = world.user("ana");
        let lively = channel(world, &ana, ExpirationCriterion::LastMessageTimestamp);
        world.advance_ms(2 * DAY_MS);
        let find = |tx: &mut Tx, now| find_expired_channels(tx, &World::home(), now, FIRST);
        let Found { due: expired, .. } = world.step(find);
        world.send(&lively, &ana, "wait");
        let late = expired[0].clone();
        assert!(!world.step(move |tx, now| expire_channel(tx, now, late.clone())));
        assert_eq!(world.contents(&lively, &ana), ["wait"]);
        assert!(world.step(find).due.is_empty());
    }
}
