//! Where a new member goes: into the channel, or into one sub-channel of an elastic one.

use carillon_model::channel::{Channel, Membership};
use carillon_model::event::Event;
use carillon_model::text::{ChannelMembershipType, SubChannelId};
use carillon_model::{IdentityArn, Key, Timestamp};
use carillon_store::claim::Claim;
use carillon_store::membership::Candidate;
use carillon_store::{self as store, Tx};

use crate::call::Call;
use crate::call::rule::{Grant, Rule};
use crate::chat::channel::instance_key;
use crate::chat::{balancing, bots};
use crate::error::{Error, Result};

/// Adds a member to a claimed channel, and emits the event under the channel's present number.
pub(crate) fn join(
    tx: &mut Tx,
    call: &Call,
    channel: &mut Channel,
    candidate: &Candidate,
    joining: &Joining<'_>,
) -> Result<Membership> {
    let mut admitted = admit_all(tx, call, channel, std::slice::from_ref(candidate), joining)?;
    let membership = admitted.pop().unwrap_or_else(|| Err(already_member()))?;
    let moderating = moderating(tx, channel, membership.kind)?;
    let mut event = Event::create_channel_membership(channel, &membership, &moderating);
    event.audience.include(joining.together);
    tx.emit(event)?;
    Ok(membership)
}

/// Adds members to a claimed channel, each who can be, and leaves the events to the caller. Who cannot leaves no trace.
/// Bots are let say their first words. The candidates were read under the claim, and each is another.
pub(crate) fn admit_all(
    tx: &mut Tx,
    call: &Call,
    channel: &mut Channel,
    candidates: &[Candidate],
    joining: &Joining<'_>,
) -> Result<Vec<Result<Membership>>> {
    let mut seats = Seats { place: channel.key, room: 0, newcomers: 0 };
    let mut all = Vec::with_capacity(candidates.len());
    let mut keys = Vec::with_capacity(candidates.len());
    for (part, candidate) in (0..).zip(candidates) {
        let placed = check(call, channel, candidate, joining.sub_channel)
            .and_then(|()| place(tx, call, channel, (candidate, joining.sub_channel), &mut seats));
        let sub_channel = match placed {
            Ok(sub_channel) => sub_channel,
            Err(error) => {
                all.push(Err(error));
                continue;
            }
        };
        let membership = Membership {
            channel: channel.key,
            sub_channel,
            member: candidate.found.identity.clone(),
            invited_by: joining.invited_by.clone(),
            kind: joining.kind,
            created_at: channel.clock,
            updated_at: channel.clock,
        };
        store::membership::insert(tx, &membership)?;
        bots::welcome(tx, call, channel, &membership, part)?;
        channel.member_count += 1;
        keys.push(membership.member.key);
        all.push(Ok(membership));
    }
    seats.settle(tx, channel)?;
    store::identity::join(tx, &keys)?;
    if !keys.is_empty() {
        store::channel::set_member_count(tx, channel)?;
    }
    Ok(all)
}

/// What is asked of those who are to be members.
pub(crate) struct Joining<'a> {
    pub(crate) invited_by: &'a carillon_model::identity::Identity,
    pub(crate) kind: ChannelMembershipType,
    /// The sub-channel that the request names.
    pub(crate) sub_channel: Option<&'a SubChannelId>,
    /// Who joins in the same transaction: they are told of each other, whoever comes first.
    pub(crate) together: &'a [Key],
}

fn check(call: &Call, channel: &Channel, candidate: &Candidate, named: Option<&SubChannelId>) -> Result<()> {
    if candidate.is_banned {
        return Err(Error::forbidden("The user or bot is banned from the channel"));
    }
    let quotas = &call.surroundings.quotas;
    if quotas.user_memberships_max <= candidate.found.membership_count {
        return Err(Error::limit_exceeded("memberships of a user", quotas.user_memberships_max));
    }
    if channel.elastic.is_none() && quotas.channel_memberships_max <= channel.member_count {
        return Err(Error::limit_exceeded("memberships of a channel", quotas.channel_memberships_max));
    }
    match (channel.elastic.is_some(), candidate.is_moderator, named) {
        (false, _, Some(_)) => Err(Error::bad_request("SubChannelId: the channel is not elastic")),
        (true, true, None) => Err(Error::bad_request("SubChannelId: is required for a moderator")),
        (true, false, Some(_)) => {
            Err(Error::bad_request("SubChannelId: only a moderator's place can be chosen"))
        }
        _ if candidate.is_member => Err(already_member()),
        _ => Ok(()),
    }
}

/// The places of regular members who join an elastic channel in one call: many are placed by one look for room.
struct Seats {
    place: Key,
    room: i64,
    newcomers: i64,
}

impl Seats {
    fn take(&mut self, tx: &mut Tx, call: &Call, channel: &mut Channel) -> Result<Key> {
        if self.room == 0 {
            self.settle(tx, channel)?;
            let elastic = channel.elastic.expect("only the members of an elastic channel are placed");
            (self.place, self.room) = balancing::find_room(tx, channel, (elastic, call.new_key()), call.now)?;
        }
        self.room -= 1;
        self.newcomers += 1;
        Ok(self.place)
    }

    /// Counts those who were placed.
    fn settle(&mut self, tx: &mut Tx, channel: &Channel) -> Result<()> {
        let newcomers = std::mem::take(&mut self.newcomers);
        if 0 < newcomers {
            store::sub_channel::add_regulars(tx, channel.key, self.place, newcomers)?;
        }
        Ok(())
    }
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
        store::claim::take(tx, channel, Claim::of(1), now)?;
        leave(tx, channel, place)?;
    }
    Ok(())
}

/// Who may add these members: those who moderate always, members to an `UNRESTRICTED` channel.
/// Nobody else may add hidden ones. Sample clients join public channels by themselves, the `RESTRICTED` ones too unless
/// a setting forbids it.
pub(crate) fn who_adds(call: &Call, kind: ChannelMembershipType, members: &[IdentityArn]) -> Result<Rule> {
    const OPEN: &[Grant] = &[Grant::Admin, Grant::Moderator, Grant::MemberIfUnrestricted];
    const HIDDEN: &[Grant] = &[Grant::Admin, Grant::Moderator];
    const SELF: &[Grant] =
        &[Grant::Admin, Grant::Moderator, Grant::MemberIfUnrestricted, Grant::OutsiderIfPublic];
    const SELF_IF_OPEN: &[Grant] =
        &[Grant::Admin, Grant::Moderator, Grant::MemberIfUnrestricted, Grant::OutsiderIfOpen];
    if kind == ChannelMembershipType::Hidden {
        return Ok(Rule(HIDDEN));
    }
    let bearer = call.bearer_arn()?;
    Ok(Rule(match members.iter().all(|member| member == bearer) {
        false => OPEN,
        true if call.surroundings.quotas.public_restricted_self_join => SELF,
        true => SELF_IF_OPEN,
    }))
}

/// Takes a member out of one place of a claimed channel, and emits the event under the channel's present number.
pub(crate) fn leave(tx: &mut Tx, channel: &mut Channel, membership: &Membership) -> Result<()> {
    let moderating = moderating(tx, channel, membership.kind)?;
    store::membership::delete(tx, membership)?;
    channel.member_count -= 1;
    store::channel::set_member_count(tx, channel)?;
    store::identity::add_memberships(tx, membership.member.key, -1)?;
    tx.emit(Event::delete_channel_membership(channel, membership, &moderating))?;
    if channel.elastic.is_none() {
        return Ok(());
    }
    if store::moderator::exists(tx, channel.key, membership.member.key)? {
        store::sub_channel::add_moderators(tx, channel.key, membership.sub_channel, -1)?;
        return Ok(());
    }
    store::sub_channel::remove_regular(tx, channel.key, membership.sub_channel)?;
    balancing::consider(tx, channel)
}

fn already_member() -> Error {
    Error::conflict("The user or bot is a member of the channel already")
}

/// Who learns of a hidden membership, beside its member.
pub(crate) fn moderating(tx: &mut Tx, channel: &Channel, kind: ChannelMembershipType) -> Result<Vec<Key>> {
    if kind == ChannelMembershipType::Default {
        return Ok(Vec::new());
    }
    let instance = instance_key(&channel.arn.app_instance())?;
    Ok(store::membership::list_moderating(tx, channel.key, instance)?)
}

fn place(
    tx: &mut Tx,
    call: &Call,
    channel: &mut Channel,
    (candidate, named): (&Candidate, Option<&SubChannelId>),
    seats: &mut Seats,
) -> Result<Key> {
    if channel.elastic.is_none() {
        return Ok(channel.key);
    }
    if !candidate.is_moderator {
        return seats.take(tx, call, channel);
    }
    let unknown = || Error::not_found("SubChannelId: the sub-channel does not exist");
    let key = named.and_then(|id| Key::from_hex(id.as_str())).ok_or_else(unknown)?;
    if !store::sub_channel::exists(tx, channel.key, key)? {
        return Err(unknown());
    }
    store::sub_channel::add_moderators(tx, channel.key, key, 1)?;
    Ok(key)
}
