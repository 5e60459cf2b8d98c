use std::cell::RefCell;
use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::operations::messaging::create_channel::CreateChannel;
use crate::operations::messaging::delete_channel_message::DeleteChannelMessage;
use crate::operations::messaging::redact_channel_message::RedactChannelMessage;
use crate::testing::*;
use carillon_model::event::Event;
use carillon_model::text::*;
use carillon_model::{ChannelArn, IdentityArn};

/// Histories on each engine; `PROPTEST_CASES` sets another number.
const HISTORIES: u32 = 40;
const STEPS_MAX: usize = 40;

/// What a session of `who` is shown: the type of each frame, and the event that it tells again.
fn shown(world: &mut World, who: &IdentityArn, from: &str) -> Vec<(String, Option<(Key, i64)>)> {
    let frames = world.shown(who, &format!("resume-from={from}"));
    let kind =
        |frame: &serde_json::Value| frame["Headers"]["x-amz-chime-event-type"].as_str().unwrap().to_owned();
    frames.iter().map(|(frame, event)| (kind(frame), *event)).collect()
}

fn kinds(world: &mut World, who: &IdentityArn, from: &str) -> Vec<String> {
    shown(world, who, from).into_iter().map(|(kind, _)| kind).collect()
}

/// What a client that was told everything until now resumes from.
fn now(world: &mut World) -> String {
    EventId { told: world.now(), last: None }.to_string()
}

fn open_channel(world: &mut World, who: &IdentityArn) -> ChannelArn {
    world.channel_of(who, ChannelMode::Unrestricted, ChannelPrivacy::Private)
}

#[engine_test]
fn what_was_missed_is_shown_and_nothing_else(world: &mut World) {
    let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
    let [lobby, other, foreign] = [(); 3].map(|()| open_channel(world, &ana));
    world.join(&lobby, &ana, &bob);
    world.join(&other, &ana, &bob);
    world.join(&lobby, &ana, &cy);
    world.send(&lobby, &ana, "seen");
    world.advance_ms(1);
    let from = now(world);
    assert!(shown(world, &bob, &from).is_empty());
    world.send(&lobby, &ana, "missed");
    world.send_to(&lobby, &ana, "not for bob", &cy);
    world.send(&foreign, &ana, "not for bob either");
    world.join(&foreign, &ana, &bob);
    world.send(&foreign, &ana, "for bob");
    world.leave(&other, &bob);
    world.send(&other, &ana, "no longer for bob");
    let mut all = kinds(world, &bob, &from);
    all.sort();
    let (message, joined, left) =
        ("CREATE_CHANNEL_MESSAGE", "CREATE_CHANNEL_MEMBERSHIP", "DELETE_CHANNEL_MEMBERSHIP");
    assert_eq!(all, [joined, message, message, left]);
    let from = now(world);
    assert_eq!(shown(world, &bob, &from).len(), 4, "within the same millisecond it may come again");
    world.advance_ms(1);
    let from = now(world);
    assert!(shown(world, &bob, &from).is_empty());
}

#[engine_test]
fn whoever_missed_what_cannot_be_read_is_told_to_reload(world: &mut World) {
    let ana = world.user("ana");
    let lobby = open_channel(world, &ana);
    let from = now(world);
    let channel = world.take_full_events().last().unwrap().channel;
    world.send(&lobby, &ana, "missed");
    assert_eq!(world.step(move |tx, _| Ok(store::testing::spoil_event(tx, channel)?)), 1);
    assert_eq!(kinds(world, &ana, &from), ["RELOAD_REQUIRED"]);
}

#[engine_test]
fn an_event_that_says_itself_what_was_told_is_not_told_again(world: &mut World) {
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let lobby = open_channel(world, &ana);
    world.join(&lobby, &ana, &bob);
    world.take_full_events();
    for number in 0..3 {
        world.send(&lobby, &ana, &number.to_string());
    }
    let events = world.take_full_events();
    for (number, event) in events.iter().enumerate() {
        let id = EventId { told: event.at, last: Some((event.channel, event.sequence)) }.to_string();
        let came: Vec<_> = shown(world, &bob, &id).into_iter().map(|(_, event)| event).collect();
        let due: Vec<_> =
            events[number + 1..].iter().map(|event| Some((event.channel, event.sequence))).collect();
        assert_eq!(came, due);
    }
}

#[engine_test]
fn who_cannot_be_shown_all_is_told_to_reload(world: &mut World) {
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let lobby = open_channel(world, &ana);
    world.join(&lobby, &ana, &bob);
    let reload = ["RELOAD_REQUIRED"];
    for wrong in ["", "yesterday", "1.2", "-1", "9999999999999"] {
        assert_eq!(kinds(world, &bob, wrong), reload, "{wrong}");
    }
    // Too long ago, if anything happened since.
    world.advance_ms(1);
    let from = now(world);
    world.advance_ms(RESUME_WINDOW_MS + 1);
    assert!(shown(world, &bob, &from).is_empty());
    world.send(&lobby, &ana, "late");
    assert_eq!(kinds(world, &bob, &from), reload);
    // Too much.
    world.advance_ms(1);
    let from = now(world);
    for number in 0..RESUME_EVENTS_MAX {
        world.send(&lobby, &ana, &number.to_string());
    }
    assert_eq!(kinds(world, &bob, &from).len(), RESUME_EVENTS_MAX);
    world.send(&lobby, &ana, "one more");
    assert_eq!(kinds(world, &bob, &from), reload);
    // What a reload says is where the next one resumes.
    let frames = world.shown(&bob, &format!("resume-from={from}&prefetch-on=connect"));
    let id = frames[0].0["Headers"]["x-carillon-event-id"].as_str().unwrap().to_owned();
    assert_eq!(frames[1].0["Headers"]["x-amz-chime-event-type"], "CHANNEL_DETAILS");
    assert!(shown(world, &bob, &id).len() <= 1);
    world.send(&lobby, &ana, "after");
    let after = world.shown(&bob, &format!("resume-from={id}&prefetch-on=connect"));
    let last = after.last().unwrap().0["Payload"].as_str().unwrap();
    assert!(last.contains("\"after\""), "{last}");
}

#[engine_test]
fn a_channel_that_is_gone_is_told_of_or_makes_a_reload(world: &mut World) {
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let lobby = open_channel(world, &ana);
    world.join(&lobby, &ana, &bob);
    world.advance_ms(1);
    let from = now(world);
    world.send(&lobby, &ana, "last words");
    world.end(&lobby, &ana);
    assert_eq!(kinds(world, &bob, &from), ["CREATE_CHANNEL_MESSAGE", "DELETE_CHANNEL"]);
    world.run_jobs();
    assert_eq!(kinds(world, &bob, &from), ["RELOAD_REQUIRED"]);
    world.advance_ms(1);
    let from = now(world);
    assert!(shown(world, &bob, &from).is_empty());
}

#[engine_test]
fn what_was_erased_meanwhile_is_not_shown(world: &mut World) {
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let lobby = open_channel(world, &ana);
    world.join(&lobby, &ana, &bob);
    world.advance_ms(1);
    let from = now(world);
    let message_id = world.send(&lobby, &ana, "secret");
    let redact =
        RedactChannelMessage { channel_arn: lobby, message_id, chime_bearer: ana, sub_channel_id: None };
    world.call(&redact).unwrap();
    let frames = world.shown(&bob, &format!("resume-from={from}"));
    assert_eq!(frames.len(), 2);
    assert!(frames.iter().all(|(frame, _)| !frame.to_string().contains("secret")));
}

#[engine_test]
fn sender_and_target_who_left_are_shown_what_became_of_their_message(world: &mut World) {
    let (ana, bob, cy) = (world.admin("ana"), world.user("bob"), world.user("cy"));
    let lobby = open_channel(world, &ana);
    world.join(&lobby, &ana, &bob);
    world.join(&lobby, &ana, &cy);
    let message_id = world.send_to(&lobby, &bob, "secret", &cy);
    world.leave(&lobby, &bob);
    world.leave(&lobby, &cy);
    world.advance_ms(1);
    world.tell();
    let from = now(world);
    let delete = DeleteChannelMessage {
        channel_arn: lobby,
        message_id,
        chime_bearer: ana.clone(),
        sub_channel_id: None,
    };
    world.call(&delete).unwrap();
    let told = world.tell();
    for who in [&ana, &bob, &cy] {
        let key = world.connect(who).unwrap().entrance.user;
        let told = told.iter().filter(|(_, told)| told.contains(&key)).count();
        assert_eq!(kinds(world, who, &from).len(), told, "{who}");
    }
    assert_eq!(told.iter().map(|(_, told)| told.len()).sum::<usize>(), 2);
}

/// One thing that happens. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Step {
    Send { channel: usize, who: usize },
    Target { channel: usize, who: usize, whom: usize },
    Join { channel: usize, who: usize, hidden: bool },
    Leave { channel: usize, who: usize },
    Moderate { channel: usize, who: usize },
    Ban { channel: usize, who: usize },
    End { channel: usize },
    Balance,
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let (channel, who) = (0..usize::MAX, 0..usize::MAX);
    prop_oneof![
        6 => (channel.clone(), who.clone()).prop_map(|(channel, who)| Step::Send { channel, who }),
        1 => (channel.clone(), who.clone(), who.clone())
            .prop_map(|(channel, who, whom)| Step::Target { channel, who, whom }),
        6 => (channel.clone(), who.clone(), any::<bool>())
            .prop_map(|(channel, who, hidden)| Step::Join { channel, who, hidden }),
        3 => (channel.clone(), who.clone()).prop_map(|(channel, who)| Step::Leave { channel, who }),
        1 => (channel.clone(), who.clone()).prop_map(|(channel, who)| Step::Moderate { channel, who }),
        1 => (channel.clone(), who).prop_map(|(channel, who)| Step::Ban { channel, who }),
        1 => channel.prop_map(|channel| Step::End { channel }),
        2 => Just(Step::Balance),
        3 => Just(Step::Wait),
    ]
}

/// After whatever happened, whoever comes back to any of it is shown each event that they were told of since, in each
/// channel's order, and none that they were not told of.
#[engine_test]
fn whoever_comes_back_to_any_point_of_any_history_is_shown_what_they_were_told(world: &mut World) {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = HISTORIES;
    }
    world.set_quotas(|quotas| quotas.app_instances_max = i64::MAX);
    let world = RefCell::new(world);
    let (counts, reloads) = (RefCell::new(0_usize), RefCell::new(0_usize));
    let strategy = (prop::collection::vec(step(), 1..STEPS_MAX), any::<prop::sample::Index>());
    TestRunner::new(config)
        .run(&strategy, |(steps, point)| {
            let world = &mut **world.borrow_mut();
            let (shown, reload) = play(world, &steps, point);
            *counts.borrow_mut() += shown;
            *reloads.borrow_mut() += reload;
            Ok(())
        })
        .unwrap();
    println!("{} events were shown again, {} sessions had to reload", counts.borrow(), reloads.borrow());
    assert!(0 < *counts.borrow());
}

fn play(world: &mut World, steps: &[Step], point: prop::sample::Index) -> (usize, usize) {
    world.use_new_instance();
    world.take_full_events();
    let people: Vec<_> = ["ana", "bob", "cy", "dora", "eve"].map(|name| world.user(name)).into();
    let keys: Vec<Key> = people.iter().map(|who| world.connect(who).unwrap().entrance.user).collect();
    let ana = &people[0];
    let elastic = world.token();
    let elastic = CreateChannel { client_request_token: elastic, ..elastic_request(world, ana) };
    let mut channels = vec![open_channel(world, ana), open_channel(world, ana)];
    channels.push(world.call(&elastic).unwrap().channel_arn);
    let mut destroyed = false;
    for step in steps {
        take(world, &people, &channels, step, &mut destroyed);
    }
    let history = world.tell();
    let mut counts = (0, 0);
    for (user, key) in people.iter().zip(&keys) {
        let told: Vec<&Event> =
            history.iter().filter(|(_, who)| who.contains(key)).map(|(event, _)| event).collect();
        if told.is_empty() {
            continue;
        }
        let last = point.index(told.len());
        let (of, sequence) = (told[last].channel, told[last].sequence);
        let from = EventId { told: told[last].at, last: Some((of, sequence)) };
        let shown = shown(world, user, &from.to_string());
        if shown.iter().any(|(kind, _)| kind == "RELOAD_REQUIRED") {
            assert!(destroyed, "nothing is gone that would have to be reloaded");
            counts.1 += 1;
            continue;
        }
        let shown: Vec<(Key, i64)> = shown.into_iter().map(|(_, event)| event.unwrap()).collect();
        counts.0 += shown.len();
        let mut due: HashMap<Key, Vec<i64>> = HashMap::new();
        let mut may: HashMap<Key, Vec<i64>> = HashMap::new();
        for (number, event) in told.iter().enumerate() {
            if last < number {
                due.entry(event.channel).or_default().push(event.sequence);
            }
            if from.told <= event.at && (event.channel != of || sequence < event.sequence) {
                may.entry(event.channel).or_default().push(event.sequence);
            }
        }
        let mut came: HashMap<Key, Vec<i64>> = HashMap::new();
        for (channel, sequence) in shown {
            came.entry(channel).or_default().push(sequence);
        }
        assert_eq!(came, may, "{user} resumes from {from}");
        for (channel, due) in due {
            assert!(came[&channel].ends_with(&due), "{user} missed something");
        }
    }
    counts
}

/// Whatever is refused changes nothing.
fn take(
    world: &mut World,
    people: &[IdentityArn],
    channels: &[ChannelArn],
    step: &Step,
    destroyed: &mut bool,
) {
    let pick = |channel: usize| channels[channel % channels.len()].clone();
    let whom = |who: usize| people[who % people.len()].clone();
    let ana = &people[0];
    match *step {
        Step::Send { channel, who } | Step::Target { channel, who, .. } => {
            let (channel, who) = (pick(channel), whom(who));
            let mut request = message_request(&channel, &who, "hello");
            request.client_request_token = world.token();
            request.sub_channel_id = world.place_of(&channel, &who);
            if let Step::Target { whom: target, .. } = *step {
                request.target = Some(vec![crate::shapes::Target { member_arn: Some(whom(target)) }]);
            }
            let _ = world.call(&request);
        }
        Step::Join { channel, who, hidden } => {
            let kind = if hidden { ChannelMembershipType::Hidden } else { ChannelMembershipType::Default };
            let _ = world.try_join(&pick(channel), ana, &whom(who), kind);
        }
        Step::Leave { channel, who } => {
            let _ = world.try_leave(&pick(channel), &whom(who));
        }
        Step::Moderate { channel, who } => {
            let _ = world.try_moderate(&pick(channel), ana, &whom(who));
        }
        Step::Ban { channel, who } => {
            // Who makes the others join must stay.
            if !who.is_multiple_of(people.len()) {
                let _ = world.try_ban(&pick(channel), ana, &whom(who));
            }
        }
        Step::End { channel } => {
            if channel.is_multiple_of(7) && world.try_end(&pick(channel), ana).is_ok() {
                world.run_jobs();
                *destroyed = true;
            }
        }
        Step::Balance => world.balance(),
        Step::Wait => world.advance_ms(1),
    }
}
