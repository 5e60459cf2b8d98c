//! What the clock starts: functions of a transaction and a time, in bounded steps.
//!
//! Each step deletes what is older than a named window; running one twice, or on two nodes at once, does no
//! harm. The server owns the ticking.

use carillon_model::arn::Home;
use carillon_model::channel::Channel;
use carillon_model::text::ExpirationCriterion;
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

/// Forgets how flows ended, once their window is over; false when nothing is left to do.
pub fn trim_flows(tx: &mut Tx, now: Timestamp) -> Result<bool> {
    Ok(STEP_LEN_MAX.unsigned_abs() == store::in_flight::delete_old(tx, now, STEP_LEN_MAX)?)
}

/// Where a walk over the tokens begins.
pub fn first_token() -> Position {
    (Key([0; 16]), String::new(), String::new())
}

/// Deletes old request tokens after `from`; answers where to go on, or nothing at the end.
pub fn trim_tokens(tx: &mut Tx, now: Timestamp, from: &Position) -> Result<Option<Position>> {
    Ok(store::request_token::delete_old(tx, from, now.plus_ms(-TOKEN_WINDOW_MS), STEP_LEN_MAX)?)
}

/// How long a day of an expiration is.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Destroys up to `limit` rows of a deleted channel, its own row last; false when nothing is left to do.
/// The server's limit is [`STEP_LEN_MAX`].
pub fn destroy_channels(tx: &mut Tx, limit: i64) -> Result<bool> {
    let Some(channel) = store::channel::find_deleted(tx)? else { return Ok(false) };
    let sub_channels = store::sub_channel::list(tx, channel)?;
    let place = sub_channels.first().map_or(channel, |sub_channel| sub_channel.key);
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

/// Where a walk over the channels that expire begins.
pub const FIRST_CHANNEL: Key = Key([0; 16]);

/// The channels after `from` that have expired, of as many as one step looks at, and where to go on, or nothing at
/// the end. Each is then deleted by [`expire_channel`], in the lane of its ARN: only there its last event follows
/// the others.
pub fn find_expired_channels(
    tx: &mut Tx,
    home: &Home,
    now: Timestamp,
    from: Key,
) -> Result<(Vec<Channel>, Option<Key>)> {
    let mut channels = store::channel::list_expiring(tx, home, from, STEP_LEN_MAX)?;
    let next = channels.last().map(|channel| channel.key);
    channels.retain(|channel| is_expired(channel, now));
    Ok((channels, next))
}

/// Deletes a channel that was found to have expired; false when something happened in it meanwhile, which may have
/// moved the day: the next walk finds out.
pub fn expire_channel(tx: &mut Tx, now: Timestamp, mut channel: Channel) -> Result<bool> {
    let claimed = store::channel::claim(tx, &mut channel, 1, now, false)?;
    if claimed {
        crate::channels::delete(tx, &channel)?;
    }
    Ok(claimed)
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
    use carillon_model::{ChannelArn, IdentityArn};

    use super::*;
    use crate::operations::messaging::put_channel_expiration_settings::PutChannelExpirationSettings;
    use crate::shapes::ExpirationSettings;
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
        let mut from = Some(FIRST_CHANNEL);
        while let Some(key) = from {
            let (expired, next) =
                world.step(move |tx, now| find_expired_channels(tx, &World::home(), now, key));
            for channel in expired {
                assert!(world.step(move |tx, now| expire_channel(tx, now, channel.clone())));
            }
            from = next;
        }
        world.take_events()
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
    fn a_message_in_the_last_moment_keeps_a_channel(world: &mut World) {
        let ana = world.user("ana");
        let lively = channel(world, &ana, ExpirationCriterion::LastMessageTimestamp);
        world.advance_ms(2 * DAY_MS);
        let find = |tx: &mut Tx, now| find_expired_channels(tx, &World::home(), now, FIRST_CHANNEL);
        let (expired, _) = world.step(find);
        world.send(&lively, &ana, "wait");
        let late = expired[0].clone();
        assert!(!world.step(move |tx, now| expire_channel(tx, now, late.clone())));
        assert_eq!(world.contents(&lively, &ana), ["wait"]);
        assert!(world.step(find).0.is_empty());
    }
}
