//! Balancing, watched from outside: who is where, who is told, and what is left.

use std::collections::{BTreeMap, BTreeSet};

use carillon_model::IdentityArn;
use carillon_model::text::{ChannelMembershipType, MessageId, SubChannelId};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};

use carillon_store::Lane;

use super::*;
use crate::operations::messaging::batch_create_channel_membership::BatchCreateChannelMembership;
use crate::operations::messaging::create_channel::CreateChannel;
use crate::operations::messaging::create_channel_ban::CreateChannelBan;
use crate::operations::messaging::create_channel_membership::CreateChannelMembership;
use crate::operations::messaging::create_channel_moderator::CreateChannelModerator;
use crate::operations::messaging::delete_channel_ban::DeleteChannelBan;
use crate::operations::messaging::delete_channel_membership::DeleteChannelMembership;
use crate::operations::messaging::delete_channel_moderator::DeleteChannelModerator;
use crate::operations::messaging::list_channel_messages::ListChannelMessages;
use crate::operations::messaging::list_sub_channels::ListSubChannels;
use crate::operations::messaging::redact_channel_message::RedactChannelMessage;
use crate::operations::messaging::send_channel_message::SendChannelMessage;
use crate::operations::messaging::update_channel_message::UpdateChannelMessage;
use crate::shapes;
use crate::testing::*;

fn elastic(world: &mut World, by: &IdentityArn, (most, target, percentage): (i64, i64, i64)) -> ChannelArn {
    let elastic_channel_configuration = Some(shapes::ElasticChannelConfiguration {
        maximum_sub_channels: most.try_into().unwrap(),
        target_memberships_per_sub_channel: target.try_into().unwrap(),
        minimum_membership_percentage: percentage.try_into().unwrap(),
    });
    let client_request_token = world.token();
    let create = elastic_request(world, by);
    let create = CreateChannel { client_request_token, elastic_channel_configuration, ..create };
    world.call(&create).unwrap().channel_arn
}

fn users(world: &mut World, count: usize) -> Vec<IdentityArn> {
    (0..count).map(|number| world.user(&format!("u{number:02}"))).collect()
}

/// One step in every channel that has something to do; false when none had.
/// The channel as the store holds it: of each sub-channel that is listed, what its count says and who is there.
type Places = BTreeMap<Key, (i64, Vec<String>, Vec<String>)>;

fn places(world: &mut World, arn: &ChannelArn) -> Places {
    let arn = arn.clone();
    world.step(move |tx, _| {
        let anyone = arn.app_instance().user("ana");
        let channel = store::standing::find(tx, &anyone, &arn)?.unwrap().channel.unwrap();
        let mut places = Places::new();
        for (key, count) in store::sub_channel::list_counted(tx, channel.key, None, 1_000)? {
            let ids = |all: Vec<carillon_model::channel::Membership>| -> BTreeSet<String> {
                all.iter().map(|one| one.member.arn.id().to_owned()).collect()
            };
            let regulars = ids(store::membership::list_regulars(tx, &channel, key, 1_000)?);
            let all = ids(store::membership::list_placed(tx, &channel, key, 1_000)?);
            let moderators = all.difference(&regulars).cloned().collect();
            places.insert(key, (count, regulars.into_iter().collect(), moderators));
        }
        Ok(places)
    })
}

fn sizes(places: &Places) -> Vec<usize> {
    let mut sizes: Vec<usize> = places.values().map(|(_, regulars, _)| regulars.len()).collect();
    sizes.sort_unstable();
    sizes
}

fn leave(arn: &ChannelArn, who: &IdentityArn) -> DeleteChannelMembership {
    DeleteChannelMembership {
        channel_arn: arn.clone(),
        member_arn: who.clone(),
        chime_bearer: who.clone(),
        sub_channel_id: None,
    }
}

fn add(arn: &ChannelArn, by: &IdentityArn, who: &IdentityArn) -> CreateChannelMembership {
    CreateChannelMembership {
        channel_arn: arn.clone(),
        member_arn: who.clone(),
        kind: ChannelMembershipType::Default,
        chime_bearer: by.clone(),
        sub_channel_id: None,
    }
}

fn say(
    world: &mut World,
    arn: &ChannelArn,
    who: &IdentityArn,
    place: &SubChannelId,
    text: &str,
) -> MessageId {
    let send = SendChannelMessage {
        client_request_token: world.token(),
        sub_channel_id: Some(place.clone()),
        ..message_request(arn, who, text)
    };
    world.call(&send).unwrap().message_id
}

fn read(arn: &ChannelArn, who: &IdentityArn, place: &SubChannelId) -> ListChannelMessages {
    ListChannelMessages { sub_channel_id: Some(place.clone()), ..messages_of(arn, who) }
}

fn contents(world: &mut World, list: &ListChannelMessages) -> Vec<String> {
    let listed = world.call(list).unwrap().channel_messages;
    listed.into_iter().map(|message| message.content.unwrap().into_string()).collect()
}

fn id(place: Key) -> SubChannelId {
    SubChannelId::stored(place.to_string())
}

#[engine_test]
fn the_one_too_many_opens_a_sub_channel_and_some_move_there(world: &mut World) {
    let ana = world.user("ana");
    let arn = elastic(world, &ana, (2, 4, 40));
    let all = users(world, 9);
    let first = world.join(&arn, &ana, &all[0]).unwrap();
    for member in &all[1..4] {
        assert_eq!(world.join(&arn, &ana, member).unwrap(), first);
    }
    say(world, &arn, &all[0], &first, "before");
    world.take_events();
    let second = world.join(&arn, &ana, &all[4]).unwrap();
    assert_ne!(first, second);
    assert_eq!(world.take_events(), ["CREATE_SUB_CHANNEL", "CREATE_CHANNEL_MEMBERSHIP"]);
    world.balance();
    let moved = world.take_full_events();
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].kind.as_str(), "UPDATE_CHANNEL_MEMBERSHIP");
    let payload: serde_json::Value = serde_json::from_str(&moved[0].payload).unwrap();
    assert_eq!(payload["SubChannelId"], second.as_str());
    assert_eq!(payload["InvitedBy"]["Arn"], ana.as_str());
    let mover: IdentityArn = payload["Member"]["Arn"].as_str().unwrap().parse().unwrap();
    assert!(moved[0].audience.sub_channels.is_empty() && moved[0].audience.users.len() == 1);
    assert_eq!(sizes(&places(world, &arn)), [2, 3]);

    // Who moved is told of the new one, and only of it.
    say(world, &arn, &all[4], &second, "in the second");
    let told = world.told();
    assert!(told[0].contains(&mover.id().to_owned()) && told[0].len() == 2);
    let stayed = all[..4].iter().find(|member| **member != mover).unwrap();
    say(world, &arn, stayed, &first, "in the first");
    assert!(!world.told()[0].contains(&mover.id().to_owned()));
    assert_eq!(contents(world, &read(&arn, &mover, &second)), ["in the second"]);
    assert_eq!(world.call(&read(&arn, &mover, &first)).unwrap_err().code, ErrorCode::Forbidden);
    assert_eq!(contents(world, &read(&arn, &ana, &first)), ["in the first", "before"]);

    for member in &all[5..8] {
        world.join(&arn, &ana, member);
    }
    world.balance();
    assert_eq!(sizes(&places(world, &arn)), [4, 4]);
    let refused = world.call(&add(&arn, &ana, &all[8])).unwrap_err();
    assert_eq!(refused.code, ErrorCode::ResourceLimitExceeded);
}

#[engine_test]
fn what_was_written_before_a_transfer_cannot_be_changed_after_it(world: &mut World) {
    let ana = world.user("ana");
    let arn = elastic(world, &ana, (2, 4, 40));
    let all = users(world, 5);
    let old = world.join(&arn, &ana, &all[0]).unwrap();
    for member in &all[1..4] {
        world.join(&arn, &ana, member);
    }
    let said: Vec<_> = all[..4].iter().map(|who| say(world, &arn, who, &old, who.id())).collect();
    let new = world.join(&arn, &ana, &all[4]).unwrap();
    world.balance();
    let after = places(world, &arn);
    let there = &after[&Key::from_hex(new.as_str()).unwrap()].1;
    let (mover, message_id) =
        all.iter().zip(said).find(|(who, _)| there.contains(&who.id().to_owned())).unwrap();
    let redact = |by: &IdentityArn, place: &SubChannelId| RedactChannelMessage {
        channel_arn: arn.clone(),
        message_id: message_id.clone(),
        chime_bearer: by.clone(),
        sub_channel_id: Some(place.clone()),
    };
    for place in [&old, &new] {
        let update = UpdateChannelMessage {
            channel_arn: arn.clone(),
            message_id: message_id.clone(),
            content: text("changed"),
            metadata: None,
            chime_bearer: mover.clone(),
            sub_channel_id: Some(place.clone()),
            content_type: None,
        };
        assert_eq!(world.call(&update).unwrap_err().code, ErrorCode::Forbidden);
        assert_eq!(world.call(&redact(mover, place)).unwrap_err().code, ErrorCode::Forbidden);
    }
    assert!(world.call(&redact(&ana, &old)).is_ok(), "a moderator redacts in any");
}

#[engine_test]
fn a_sub_channel_with_few_members_goes_with_its_messages(world: &mut World) {
    let ana = world.user("ana");
    let arn = elastic(world, &ana, (2, 4, 40));
    let all = users(world, 5);
    for member in &all {
        world.join(&arn, &ana, member);
    }
    world.balance();
    let before = places(world, &arn);
    for place in before.keys() {
        world.join_sub_channel(&arn, &ana, &id(*place));
    }
    let small = before.iter().find(|(_, (_, regulars, _))| regulars.len() == 2).unwrap();
    let (gone, members) = (id(*small.0), small.1.1.clone());
    let [left, stays] = [0, 1].map(|at| world.instance().user(&members[at]));
    say(world, &arn, &stays, &gone, "soon gone");
    world.take_events();
    world.call(&leave(&arn, &left)).unwrap();
    world.take_events();
    world.balance();
    let events = world.take_full_events();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["UPDATE_CHANNEL_MEMBERSHIP", "DELETE_CHANNEL_MEMBERSHIP", "DELETE_SUB_CHANNEL"]);
    let frame = events[1].frame(events[1].at);
    assert!(frame.contains(r#""x-amz-chime-event-reason":"subchannel_DELETED""#), "{frame}");
    assert!(events[1].audience.sub_channels.is_empty() && events[1].audience.users.len() == 1);
    let payload: serde_json::Value = serde_json::from_str(&events[2].payload).unwrap();
    assert_eq!(payload, serde_json::json!({ "ChannelArn": arn.as_str(), "SubChannelId": gone.as_str() }));

    let after = places(world, &arn);
    assert_eq!(sizes(&after), [4]);
    assert_eq!(world.call(&read(&arn, &ana, &gone)).unwrap_err().code, ErrorCode::Forbidden);
    let rest = after.keys().next().copied().unwrap();
    assert!(contents(world, &read(&arn, &stays, &id(rest))).is_empty(), "no message crosses over");
    let gone = Key::from_hex(gone.as_str()).unwrap();
    let left = world.step(move |tx, _| Ok(store::message::delete_some(tx, gone, 1)?));
    assert_eq!(left, 0, "its messages are deleted");
    let list = ListSubChannels { channel_arn: arn, chime_bearer: ana, max_results: None, next_token: None };
    let listed = world.call(&list).unwrap().sub_channels;
    assert_eq!((listed.len(), listed[0].membership_count), (1, 5));
}

#[engine_test]
fn a_newcomer_who_finds_no_room_keeps_a_sub_channel_from_going(world: &mut World) {
    let ana = world.user("ana");
    let arn = elastic(world, &ana, (2, 10, 40));
    let all = users(world, 20);
    for member in &all[..11] {
        world.join(&arn, &ana, member);
    }
    world.balance();
    assert_eq!(sizes(&places(world, &arn)), [5, 6]);
    let small = places(world, &arn).into_values().find(|(_, regulars, _)| regulars.len() == 5).unwrap().1;
    for leaving in &small[..2] {
        let leaving = world.instance().user(leaving);
        world.call(&leave(&arn, &leaving)).unwrap();
    }
    assert!(world.balance_once(1), "one of three moves, the others are about to");
    assert_eq!(sizes(&places(world, &arn)), [2, 7]);
    for member in &all[11..13] {
        world.join(&arn, &ana, member);
    }
    assert_eq!(
        sizes(&places(world, &arn)),
        [3, 8],
        "one found room; no place of those to come was given away"
    );
    world.balance();
    assert_eq!(sizes(&places(world, &arn)), [3, 8], "and together they no longer fit into one");
    for member in &all[13..] {
        world.join(&arn, &ana, member);
    }
    assert_eq!(sizes(&places(world, &arn)), [8, 10]);
}

#[engine_test]
fn a_moderator_reads_the_sub_channels_of_the_own_channel_only(world: &mut World) {
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let private = world.channel_of(&bob, carillon_model::text::ChannelMode::Restricted, {
        carillon_model::text::ChannelPrivacy::Private
    });
    world.send(&private, &bob, "not for ana");
    let arn = elastic(world, &ana, (2, 2, 40));
    // A channel without an id of its own has its key in its ARN.
    let guessed: SubChannelId = private.id().replace('-', "").parse().unwrap();
    assert_eq!(world.call(&read(&arn, &ana, &guessed)).unwrap_err().code, ErrorCode::Forbidden);
}

#[engine_test]
fn many_at_once_on_two_nodes_leave_every_count_right(world: &mut World) {
    world.set_quotas(|quotas| quotas.elastic_channels_max = 10);
    let ana = world.user("ana");
    let arn = elastic(world, &ana, (6, 5, 40));
    let all = users(world, 32);
    let (arn_of_step, lane) = (arn.clone(), Lane::channel(&arn));
    let job = move |tx: &mut Tx, now| {
        for (_, key) in store::sub_channel::list_busy_channels(tx, &World::home(), Key([0; 16]), 9)? {
            step(tx, now, (&arn_of_step, key), 1)?;
        }
        Ok(())
    };
    let joins: Vec<_> = all.iter().map(|who| add(&arn, &ana, who)).collect();
    let answers = world.call_beside_jobs(&joins, &lane, job.clone());
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(refused.iter().all(|refused| refused.code == ErrorCode::ResourceLimitExceeded), "{refused:?}");
    assert_eq!(refused.len(), 2, "six times five");
    let joined = all.iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
    let regulars = joined.map(|(who, _)| who.id().to_owned()).collect();
    let mut truth = Model { regulars, ..Model::default() };
    truth.check(world, &arn, 5);
    let leaving: Vec<_> = truth.regulars.iter().take(24).cloned().collect();
    let leaves: Vec<_> = leaving.iter().map(|who| leave(&arn, &world.instance().user(who))).collect();
    assert!(world.call_beside_jobs(&leaves, &lane, job).iter().all(std::result::Result::is_ok));
    for who in &leaving {
        assert!(truth.regulars.remove(who));
    }
    truth.check(world, &arn, 5);
    world.balance();
    truth.check(world, &arn, 5);
    truth.check_quiet(world, &arn, (6, 5, 40));
    // Six are left. Who sat where depends on whose turn came first: two are enough to stay as they are, three times.
    assert!((2..=3).contains(&places(world, &arn).len()));
}

/// What must be true of a channel, as the answers of the service say it.
#[derive(Default)]
struct Model {
    regulars: BTreeSet<String>,
    moderators: BTreeSet<String>,
    banned: BTreeSet<String>,
    /// The contents of each sub-channel.
    said: BTreeMap<Key, BTreeSet<String>>,
    saying: u32,
}

impl Model {
    /// Each regular member is in exactly one sub-channel, none has more than the target, the counts are right, and who
    /// is told of what is who belongs there.
    fn check(&self, world: &mut World, arn: &ChannelArn, target: usize) -> Places {
        let places = places(world, arn);
        let mut seen = BTreeSet::new();
        let mut belonging = Vec::new();
        for (key, (count, regulars, moderators)) in &places {
            assert!(regulars.len() <= target, "{regulars:?}");
            assert_eq!(usize::try_from(*count).unwrap(), regulars.len() + moderators.len());
            for regular in regulars {
                assert!(seen.insert(regular.clone()), "{regular} is in two sub-channels");
            }
            assert!(moderators.iter().all(|moderator| self.moderators.contains(moderator)));
            belonging.extend(regulars.iter().chain(moderators).map(|who| (*key, who.clone())));
        }
        assert_eq!(seen, self.regulars);
        belonging.sort();
        let mut told = world.subscriptions();
        // What is closing is not listed any more; its moderators are told of it until they are out.
        told.retain(|(place, who)| places.contains_key(place) || !self.moderators.contains(who));
        assert_eq!(told, belonging);
        let arn = arn.clone();
        let target = i64::try_from(target).unwrap();
        world.step(move |tx, _| {
            let anyone = arn.app_instance().user("ana");
            let channel = store::standing::find(tx, &anyone, &arn)?.unwrap().channel.unwrap();
            let fullest = store::sub_channel::find_fullest(tx, channel.key, i64::MAX, None)?;
            assert!(fullest.is_none_or(|fullest| fullest.taken <= target));
            let emptiest = store::sub_channel::find_emptiest(tx, channel.key, i64::MAX)?;
            assert!(emptiest.is_none_or(|emptiest| 0 <= emptiest.regular_count));
            Ok(())
        });
        places
    }

    /// No two could be one, and nothing is left to do.
    fn check_quiet(&self, world: &mut World, arn: &ChannelArn, (most, target, percentage): (i64, i64, i64)) {
        let places = self.check(world, arn, usize::try_from(target).unwrap());
        let sizes: Vec<i64> = sizes(&places).into_iter().map(|size| i64::try_from(size).unwrap()).collect();
        assert!(!sizes.is_empty() && i64::try_from(sizes.len()).unwrap() <= most);
        let least = (target * percentage + 99) / 100;
        if let [smallest, next, ..] = sizes[..] {
            assert!(least <= smallest || target < smallest + next, "{sizes:?}");
        }
        let arn = arn.clone();
        world.step(move |tx, _| {
            let anyone = arn.app_instance().user("ana");
            let channel = store::standing::find(tx, &anyone, &arn)?.unwrap().channel.unwrap();
            assert_eq!(store::sub_channel::find_busy(tx, channel.key)?, None);
            let live = store::sub_channel::count(tx, channel.key)?;
            assert_eq!(usize::try_from(live).unwrap(), sizes.len());
            let fullest = store::sub_channel::find_fullest(tx, channel.key, i64::MAX, None)?.unwrap();
            assert_eq!(fullest.taken, *sizes.last().unwrap());
            Ok(())
        });
    }

    /// No message is seen anywhere but where it was sent.
    fn check_messages(&self, world: &mut World, arn: &ChannelArn, places: &Places) {
        let ana = world.instance().user("ana");
        for (key, (_, regulars, _)) in places {
            let nothing = BTreeSet::new();
            let said = self.said.get(key).unwrap_or(&nothing);
            let reader = regulars.first().map_or(ana.clone(), |id| world.instance().user(id));
            for who in [&ana, &reader] {
                let seen: BTreeSet<_> = contents(world, &read(arn, who, &id(*key))).into_iter().collect();
                assert_eq!(seen, said.iter().rev().take(50).cloned().collect::<BTreeSet<_>>());
            }
        }
    }

    fn act(&mut self, world: &mut World, arn: &ChannelArn, capacity: usize, random: &mut StdRng) {
        let room = capacity - self.regulars.len();
        match random.random_range(0..100) {
            0..30 => self.join(world, arn, room, random),
            30..40 => self.batch(world, arn, room, random),
            40..66 => {
                if let Some(who) = any(&self.regulars, random) {
                    world.call(&leave(arn, &world.instance().user(&who))).unwrap();
                    self.regulars.remove(&who);
                }
            }
            66..74 => self.ban_or_lift(world, arn, random),
            74..82 => self.promote_or_demote(world, arn, random),
            82..90 => self.seat_a_moderator(world, arn, random),
            _ => self.talk(world, arn, random),
        }
    }

    fn is_free(&self, who: &String) -> bool {
        !(self.regulars.contains(who) || self.moderators.contains(who) || self.banned.contains(who))
    }

    fn join(&mut self, world: &mut World, arn: &ChannelArn, room: usize, random: &mut StdRng) {
        let (who, ana) = (someone(random), world.instance().user("ana"));
        match world.call(&add(arn, &ana, &world.instance().user(&who))) {
            Ok(_) => assert!(self.is_free(&who) && 0 < room && self.regulars.insert(who)),
            Err(refused) if refused.code == ErrorCode::ResourceLimitExceeded => assert_eq!(room, 0),
            Err(refused) => assert!(!self.is_free(&who), "{refused:?}"),
        }
    }

    fn ban_or_lift(&mut self, world: &mut World, arn: &ChannelArn, random: &mut StdRng) {
        let (channel_arn, chime_bearer) = (arn.clone(), world.instance().user("ana"));
        if random.random() {
            let who = someone(random);
            let member_arn = world.instance().user(&who);
            if world.call(&CreateChannelBan { channel_arn, member_arn, chime_bearer }).is_ok() {
                self.regulars.remove(&who);
                self.banned.insert(who);
            }
        } else if let Some(who) = any(&self.banned, random) {
            let member_arn = world.instance().user(&who);
            world.call(&DeleteChannelBan { channel_arn, member_arn, chime_bearer }).unwrap();
            self.banned.remove(&who);
        }
    }

    fn promote_or_demote(&mut self, world: &mut World, arn: &ChannelArn, random: &mut StdRng) {
        let (channel_arn, chime_bearer) = (arn.clone(), world.instance().user("ana"));
        // Not the one who does all this.
        let others = self.moderators.iter().filter(|who| *who != "ana").cloned().collect();
        if random.random() {
            let who = someone(random);
            let channel_moderator_arn = world.instance().user(&who);
            let promote = CreateChannelModerator { channel_arn, channel_moderator_arn, chime_bearer };
            if world.call(&promote).is_ok() {
                self.regulars.remove(&who);
                self.moderators.insert(who);
            }
        } else if let Some(who) = any(&others, random) {
            let channel_moderator_arn = world.instance().user(&who);
            let demote = DeleteChannelModerator { channel_arn, channel_moderator_arn, chime_bearer };
            world.call(&demote).unwrap();
            self.moderators.remove(&who);
        }
    }

    fn seat_a_moderator(&mut self, world: &mut World, arn: &ChannelArn, random: &mut StdRng) {
        let place = places(world, arn).into_keys().collect::<Vec<_>>().choose(random).copied();
        if let (Some(who), Some(place)) = (any(&self.moderators, random), place) {
            let member = world.instance().user(&who);
            let sub_channel_id = Some(id(place));
            let join = CreateChannelMembership { sub_channel_id, ..add(arn, &member, &member) };
            if let Err(refused) = world.call(&join) {
                assert_eq!(refused.code, ErrorCode::Conflict, "it is there already");
            }
        }
    }

    fn talk(&mut self, world: &mut World, arn: &ChannelArn, random: &mut StdRng) {
        let Some(who) = any(&self.regulars, random) else { return };
        let places = places(world, arn);
        let place = places.iter().find(|(_, (_, ids, _))| ids.contains(&who)).unwrap().0;
        self.saying += 1;
        let content = format!("{:05}", self.saying);
        let sender = world.instance().user(&who);
        say(world, arn, &sender, &id(*place), &content);
        self.said.entry(*place).or_default().insert(content);
    }

    fn batch(&mut self, world: &mut World, arn: &ChannelArn, room: usize, random: &mut StdRng) {
        let ids: BTreeSet<String> = (0..8).map(|_| someone(random)).collect();
        let batch = BatchCreateChannelMembership {
            channel_arn: arn.clone(),
            kind: None,
            member_arns: ids.iter().map(|id| world.instance().user(id)).collect(),
            chime_bearer: world.instance().user("ana"),
            sub_channel_id: None,
        };
        let created = world.call(&batch).unwrap();
        let added = created.batch_channel_memberships.members;
        let free = ids.iter().filter(|who| self.is_free(who));
        assert_eq!(added.len(), free.count().min(room));
        self.regulars.extend(added.iter().map(|member| member.arn.id().to_owned()));
    }
}

fn someone(random: &mut StdRng) -> String {
    format!("u{:02}", random.random_range(0..USERS))
}

fn any(of: &BTreeSet<String>, random: &mut StdRng) -> Option<String> {
    of.iter().collect::<Vec<_>>().choose(random).map(|who| (*who).clone())
}

/// Users that a history moves about.
const USERS: u32 = 26;
/// Histories of a test run; `CARILLON_TEST_HISTORIES` asks for more.
const HISTORIES: u64 = 4;
/// What happens in one.
const ACTS: usize = 90;

#[engine_test]
fn random_histories_keep_every_promise(world: &mut World) {
    let histories = std::env::var("CARILLON_TEST_HISTORIES").map_or(HISTORIES, |all| all.parse().unwrap());
    world.set_quotas(|quotas| quotas.elastic_channels_max = 1_000_000);
    let ana = world.user("ana");
    users(world, USERS as usize);
    for seed in 0..histories {
        // A failure names it by what the test prints before it panics.
        println!("history {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let most = random.random_range(2..6);
        let configuration = (most, random.random_range(2..9), random.random_range(1..41));
        let capacity = usize::try_from(configuration.0 * configuration.1).unwrap();
        let arn = elastic(world, &ana, configuration);
        let before = world.subscriptions();
        assert!(before.is_empty(), "the last history was ended: {before:?}");
        let mut model = Model { moderators: BTreeSet::from(["ana".to_owned()]), ..Model::default() };
        for _ in 0..ACTS {
            match random.next_u32() % 100 {
                0..2 => world.restart(),
                2..45 => drop(world.balance_once(1)),
                _ => model.act(world, &arn, capacity, &mut random),
            }
            model.check(world, &arn, usize::try_from(configuration.1).unwrap());
        }
        world.balance();
        model.check_quiet(world, &arn, configuration);
        let places = places(world, &arn);
        model.check_messages(world, &arn, &places);
        world.end(&arn, &ana);
    }
}
