use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use carillon_model::text::*;
use carillon_model::{ChannelArn, IdentityArn};

use super::*;
use crate::Service;
use crate::chat::retention::DAY_MS;
use crate::front::rounds::{End, LeaseWatch};
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
    let expired = world.find(&expire_users::JOB).due;
    assert_eq!(expired.len(), 3);
    world.call(&settings(&ana, None)).unwrap();
    world.call(&settings(&bob, Some(2))).unwrap();
    let done: Vec<_> = expired.iter().filter(|user| world.step_on(user) == Progress::Done).collect();
    assert_eq!(done.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), [cy.as_str()]);
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
    assert_eq!(world.find(&expire_channels::JOB).unreadable, 1);
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
    assert_eq!(world.run_job(&leave_channels::JOB).failed, 1);
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
    let deleted = world.find(&destroy::JOB).due;
    assert_eq!(deleted.len(), 2);
    while world.step_on(&deleted[1]) == Progress::More {}
    let left: Vec<_> = world.find(&destroy::JOB).due.into_iter().map(|channel| channel.name).collect();
    assert_eq!(left, [deleted[0].name.as_str()]);
    world.run_jobs();
    assert!(world.find(&destroy::JOB).due.is_empty());
}

/// A thing whose step leaves a mark in the store, unless it is broken.
fn marking(name: &'static str) -> Thing {
    Thing::new(Lane::Job, name, move |tx, turn| {
        store::lease::keep(tx, name, FIRST, None, turn.call.now)?;
        if name == "broken" { Err(store::Error::broken("planted").into()) } else { Ok(Progress::Done) }
    })
}

#[engine_test]
fn what_cannot_be_done_keeps_no_other_waiting(world: &mut World) {
    let find = |_: &mut Tx, _: &Turn| {
        let due = ["broken", "whole"].map(marking);
        Ok(Found::all(due).then(|_, _| Ok(Found::one(marking("next")))))
    };
    let job = Job { name: "test", every: SWEEP_EVERY, woken_by: None, find };
    assert_eq!(world.run_job(&job).failed, 1);
    let done = ["broken", "whole", "next"]
        .map(|name| world.step(move |tx, _| Ok(store::lease::find(tx, name)?)).is_some());
    assert_eq!(done, [false, true, true]);
}

#[engine_test]
fn a_message_in_the_last_moment_keeps_a_channel(world: &mut World) {
    let ana = world.user("ana");
    let lively = channel(world, &ana, ExpirationCriterion::LastMessageTimestamp);
    world.advance_ms(2 * DAY_MS);
    let expired = world.find(&expire_channels::JOB).due;
    world.send(&lively, &ana, "wait");
    assert_eq!(world.step_on(&expired[0]), Progress::Passed);
    assert_eq!(world.contents(&lively, &ana), ["wait"]);
    assert!(world.find(&expire_channels::JOB).due.is_empty());
}

const NODES: [Key; 2] = [Key([1; 16]), Key([2; 16])];

/// A node is stopped in the middle of a round, for so long that another takes its round up; then it wakes, once while
/// the other is at it, and once after that one has ended.
#[engine_test]
fn a_node_that_was_stopped_ends_its_round_when_it_wakes(world: &mut World) {
    for wakes_late in [false, true] {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        for number in 0..12 {
            world.send(&channel, &ana, &number.to_string());
        }
        world.end(&channel, &ana);
        let ([first, second], job) = (world.nodes(), &destroy::JOB);
        let [slept, woken, ended] = [(); 3].map(|()| Barrier::new(2));
        let ends = std::thread::scope(|scope| {
            let stopped = scope.spawn(|| {
                let checks = AtomicU64::new(0);
                let sleeps_amid = || {
                    if checks.fetch_add(1, Ordering::Relaxed) == 3 {
                        slept.wait();
                        woken.wait();
                    }
                    false
                };
                let outcome = drive(&first, job, 2, (NODES[0], None), &sleeps_amid);
                ended.wait();
                outcome
            });
            slept.wait();
            let mut watch = LeaseWatch::default();
            assert!(look(&mut watch, &second, NODES[1]).is_empty(), "it may have moved just now");
            world.advance_ms(9_999);
            assert!(look(&mut watch, &second, NODES[1]).is_empty());
            world.advance_ms(1);
            let gone = look(&mut watch, &second, NODES[1]);
            let [(taken_up, left)] = gone[..] else { panic!("one lease does not move") };
            assert_eq!(taken_up.name, job.name);
            let wake = || {
                woken.wait();
                ended.wait();
            };
            let checks = AtomicU64::new(0);
            let wakes_amid = || {
                if !wakes_late && checks.fetch_add(1, Ordering::Relaxed) == 3 {
                    wake();
                }
                false
            };
            let other = drive(&second, job, 2, (NODES[1], Some(left)), &wakes_amid);
            if wakes_late {
                wake();
            }
            [stopped.join().unwrap(), other].map(|outcome| outcome.end.unwrap())
        });
        assert_eq!(ends, [End::Elsewhere, End::All]);
        assert!(world.find(job).due.is_empty());
    }
}

#[engine_test]
fn a_node_that_comes_back_goes_on_at_once(world: &mut World) {
    let held = world.step(|tx, now| Ok(store::lease::keep(tx, destroy::JOB.name, NODES[0], None, now)?));
    let [first, second] = world.nodes();
    let ana = world.user("ana");
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.end(&channel, &ana);
    let round =
        |node: &Service, key, left| drive(node, &destroy::JOB, 9, (key, left), &|| false).end.unwrap();
    assert_eq!(round(&second, NODES[1], None), End::Elsewhere);
    assert_eq!(round(&first, NODES[0], None), End::All);
    assert_eq!(round(&second, NODES[1], held), End::All, "nothing is left to be taken up");
}
