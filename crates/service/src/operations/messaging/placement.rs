//! Where a new member goes: into the channel, or into one sub-channel of an elastic one.

use carillon_model::channel::{Channel, Membership};
use carillon_model::event::Event;
use carillon_model::text::{ChannelMembershipType, SubChannelId};
use carillon_model::{IdentityArn, Key, Timestamp};
use carillon_store::identity::Found;
use carillon_store::sub_channel::SubChannel;
use carillon_store::{self as store, Tx};

use crate::call::{Call, View};
use crate::channels::instance_key;
use crate::error::{Error, Result};
use crate::rule::{Grant, Rule};

/// Adds a member to a claimed channel, and emits the event under the channel's present number.
pub(super) fn join(
    tx: &mut Tx,
    call: &Call,
    channel: &mut Channel,
    membership: &Joining<'_>,
) -> Result<Membership> {
    let together = membership.together;
    let membership = admit(tx, call, channel, membership)?;
    let moderating = moderating(tx, channel, membership.kind)?;
    let mut event = Event::create_channel_membership(channel, &membership, &moderating);
    event.audience.include(together);
    tx.emit(event)?;
    Ok(membership)
}

/// Adds a member to a claimed channel, and leaves the event to the caller. A refusal leaves no trace.
pub(super) fn admit(
    tx: &mut Tx,
    call: &Call,
    channel: &mut Channel,
    membership: &Joining<'_>,
) -> Result<Membership> {
    let Joining { member, invited_by, kind, sub_channel, .. } = membership;
    if store::ban::exists(tx, channel.key, member.identity.key)? {
        return Err(Error::forbidden("The user or bot is banned from the channel"));
    }
    if !store::identity::hold(tx, member.identity.key)? {
        return Err(Error::conflict("The user or bot was deleted meanwhile"));
    }
    let quotas = &call.surroundings.quotas;
    if quotas.user_memberships_max <= member.membership_count {
        return Err(Error::limit_exceeded("memberships of a user", quotas.user_memberships_max));
    }
    if channel.elastic.is_none() && quotas.channel_memberships_max <= channel.member_count {
        return Err(Error::limit_exceeded("memberships of a channel", quotas.channel_memberships_max));
    }
    let membership = Membership {
        channel: channel.key,
        sub_channel: place(tx, call, channel, member, *sub_channel)?,
        member: member.identity.clone(),
        invited_by: (*invited_by).clone(),
        kind: *kind,
        created_at: channel.clock,
        updated_at: channel.clock,
    };
    if !store::membership::insert(tx, &membership)? {
        return Err(already_member());
    }
    channel.member_count += 1;
    store::channel::set_member_count(tx, channel)?;
    store::identity::add_memberships(tx, member.identity.key, 1)?;
    Ok(membership)
}

/// A membership that is about to be.
pub(super) struct Joining<'a> {
    pub(super) member: &'a Found,
    pub(super) invited_by: &'a carillon_model::identity::Identity,
    pub(super) kind: ChannelMembershipType,
    /// The sub-channel that the request names.
    pub(super) sub_channel: Option<&'a SubChannelId>,
    /// Who joins in the same transaction: they are told of each other, whoever comes first.
    pub(super) together: &'a [Key],
}

/// Takes a member out of these places of a claimed channel. Under the claim nobody else takes numbers: the events
/// get the next ones, each its own.
pub(crate) fn leave_all(
    tx: &mut Tx,
    now: Timestamp,
    channel: &mut Channel,
    places: &[Membership],
) -> Result<()> {
    for place in places {
        store::channel::claim(tx, channel, 1, now, false)?;
        leave(tx, channel, place)?;
    }
    Ok(())
}

/// Whether a caller may add these members: those who moderate always, members to an `UNRESTRICTED` channel.
/// Nobody else may add hidden ones. Sample clients join public channels by themselves.
pub(super) fn may_add(view: &View, kind: ChannelMembershipType, members: &[IdentityArn]) -> bool {
    const OPEN: Rule = Rule(&[Grant::Admin, Grant::Moderator, Grant::MemberIfUnrestricted]);
    const HIDDEN: Rule = Rule(&[Grant::Admin, Grant::Moderator]);
    const SELF: Rule = Rule(&[Grant::OutsiderIfOpen]);
    match kind {
        ChannelMembershipType::Hidden => HIDDEN.admits(view),
        ChannelMembershipType::Default => {
            let only_self = members.iter().all(|member| *member == view.caller.arn);
            OPEN.admits(view) || (only_self && SELF.admits(view))
        }
    }
}

/// Takes a member out of one place of a claimed channel, and emits the event under the channel's present number.
pub(super) fn leave(tx: &mut Tx, channel: &mut Channel, membership: &Membership) -> Result<()> {
    let moderating = moderating(tx, channel, membership.kind)?;
    store::membership::delete(tx, membership)?;
    channel.member_count -= 1;
    store::channel::set_member_count(tx, channel)?;
    store::identity::add_memberships(tx, membership.member.key, -1)?;
    if channel.elastic.is_some() && !store::channel::is_moderator(tx, channel.key, membership.member.key)? {
        store::sub_channel::add_regulars(tx, channel.key, membership.sub_channel, -1)?;
    }
    tx.emit(Event::delete_channel_membership(channel, membership, &moderating))?;
    Ok(())
}

fn already_member() -> Error {
    Error::conflict("The user or bot is a member of the channel already")
}

/// Who learns of a hidden membership, beside its member.
pub(super) fn moderating(tx: &mut Tx, channel: &Channel, kind: ChannelMembershipType) -> Result<Vec<Key>> {
    if kind == ChannelMembershipType::Default {
        return Ok(Vec::new());
    }
    let instance = instance_key(&channel.arn.app_instance())?;
    Ok(store::membership::list_moderating(tx, channel.key, instance)?)
}

fn place(
    tx: &mut Tx,
    call: &Call,
    channel: &Channel,
    member: &Found,
    named: Option<&SubChannelId>,
) -> Result<Key> {
    if channel.elastic.is_none() {
        return match named {
            None => Ok(channel.key),
            Some(_) => Err(Error::bad_request("SubChannelId: the channel is not elastic")),
        };
    }
    let sub_channels = store::sub_channel::list(tx, channel.key)?;
    if store::channel::is_moderator(tx, channel.key, member.identity.key)? {
        let id = named.ok_or_else(|| Error::bad_request("SubChannelId: is required for a moderator"))?;
        let key = Key::from_hex(id.as_str());
        let found = sub_channels.iter().find(|sub_channel| Some(sub_channel.key) == key);
        return found
            .map(|found| found.key)
            .ok_or_else(|| Error::not_found("The sub-channel does not exist"));
    }
    if named.is_some() {
        return Err(Error::bad_request("SubChannelId: only a moderator's place can be chosen"));
    }
    if !store::membership::list_places(tx, &channel.arn, channel.key, &member.identity)?.is_empty() {
        return Err(already_member());
    }
    let key = place_regular(tx, call, channel, &sub_channels)?;
    store::sub_channel::add_regulars(tx, channel.key, key, 1)?;
    Ok(key)
}

/// The fullest sub-channel that has room, the oldest of equals, because few full ones serve everybody better
/// than many empty ones; a new one when all are full.
fn place_regular(tx: &mut Tx, call: &Call, channel: &Channel, sub_channels: &[SubChannel]) -> Result<Key> {
    let elastic = channel.elastic.expect("only the members of an elastic channel are placed");
    let target = elastic.target_memberships_per_sub_channel.get();
    let open = sub_channels.iter().filter(|sub_channel| sub_channel.regular_count < target);
    let fullest = open.reduce(|best, next| if best.regular_count < next.regular_count { next } else { best });
    if let Some(fullest) = fullest {
        return Ok(fullest.key);
    }
    let most = elastic.maximum_sub_channels.get();
    if i64::try_from(sub_channels.len()).unwrap_or(i64::MAX) >= most {
        return Err(Error::limit_exceeded(
            "memberships of this elastic channel",
            most.saturating_mul(target),
        ));
    }
    let key = call.new_key();
    store::sub_channel::insert(tx, channel.key, key, channel.clock)?;
    Ok(key)
}
