use std::time::Duration;

use carillon_model::Timestamp;
use carillon_model::event::{Audience, EventMessageType, EventType};

use super::*;
use crate::session::{SESSION_QUEUE_BYTES_MAX, SESSION_QUEUE_LEN_MAX};

const LOBBY: Key = Key([1; 16]);
const ANA: Key = Key([2; 16]);
const BOB: Key = Key([3; 16]);
const CY: Key = Key([4; 16]);
const SESSIONS_MAX: usize = 10;

fn event(audience: Audience, change: Option<Change>, payload: &str) -> Event {
    Event {
        channel: LOBBY,
        sequence: 1,
        at: Timestamp::from_ms(0),
        kind: EventType::CreateChannelMessage,
        message_type: EventMessageType::Standard,
        audience,
        changes: change.into_iter().collect(),
        message: None,
        reason: None,
        payload: payload.to_owned(),
    }
}

fn message(payload: &str) -> Event {
    event(Audience::members(LOBBY), None, payload)
}

fn joined(member: Key, payload: &str) -> Event {
    let change = Change::Joined { member, sub_channel: LOBBY, hidden: false };
    event(Audience::open_members_and(LOBBY, member), Some(change), payload)
}

fn left(member: Key, payload: &str) -> Event {
    let change = Change::Left { member, sub_channel: LOBBY, hidden: false };
    event(Audience::open_members_and(LOBBY, member), Some(change), payload)
}

const SEATED: [Seat; 1] = [Seat { channel: LOBBY, number: 0, place: LOBBY, hidden: false }];

fn enter(places: &Places, user: Key, client: &str) -> Arc<Session> {
    places.enter(Entrance {
        user,
        client: client.to_owned(),
        admitted_at: Timestamp::from_ms(0),
        sessions_max: SESSIONS_MAX,
        begins_in: Duration::ZERO,
        frames_max: 1,
    })
}

fn tell(places: &Places, event: &Event) {
    places.tell(event, || Timestamp::from_ms(0));
}

fn sit(places: &Places, session: &Arc<Session>, stored: &[Seat]) {
    for seat in stored {
        places.seat(session, seat);
    }
    session.end_seating();
}

fn seat(places: &Places, session: &Arc<Session>, stored: &[Seat], resumes: bool) {
    sit(places, session, stored);
    session.begin(resumes);
}

/// What waits for a session.
fn payloads(session: &Session) -> Vec<String> {
    let frames = session.take_waiting();
    let payload = |frame: &String| {
        let (_, payload) = frame.rsplit_once("\"Payload\":\"").unwrap();
        payload.trim_end_matches("\"}").to_owned()
    };
    frames.iter().map(payload).collect()
}

fn ending(session: &Session) -> Option<Close> {
    session.is_ending()
}

#[test]
fn members_are_told_and_those_who_left_are_told_that_and_no_more() {
    let places = Places::new(Key([9; 16]));
    let ana = enter(&places, ANA, "1");
    let bob = enter(&places, BOB, "1");
    seat(&places, &ana, &SEATED, false);
    seat(&places, &bob, &[], false);
    tell(&places, &message("before"));
    tell(&places, &joined(BOB, "joined"));
    tell(&places, &message("with bob"));
    tell(&places, &left(BOB, "left"));
    tell(&places, &message("after"));
    assert_eq!(payloads(&ana), ["before", "joined", "with bob", "left", "after"]);
    assert_eq!(payloads(&bob), ["joined", "with bob", "left"]);
}

#[test]
fn the_end_of_a_place_is_told_and_nothing_after_it() {
    let places = Places::new(Key([9; 16]));
    let ana = enter(&places, ANA, "1");
    seat(&places, &ana, &SEATED, false);
    let ended = Change::Ended { sub_channel: LOBBY };
    tell(&places, &event(Audience::members(LOBBY), Some(ended), "ended"));
    tell(&places, &message("after"));
    assert_eq!(payloads(&ana), ["ended"]);
    assert!(places.taken.is_empty() && ana.seats().places.is_empty());
}

#[test]
fn several_who_join_at_once_are_each_told_of_what_follows() {
    let places = Places::new(Key([9; 16]));
    let ana = enter(&places, ANA, "1");
    let bob = enter(&places, BOB, "1");
    for session in [&ana, &bob] {
        seat(&places, session, &[], false);
    }
    let joined = |member| Change::Joined { member, sub_channel: LOBBY, hidden: false };
    let mut both = event(Audience::only([ANA, BOB]), Some(joined(ANA)), "joined");
    both.changes.push(joined(BOB));
    tell(&places, &both);
    tell(&places, &message("hello"));
    assert_eq!(payloads(&ana), ["joined", "hello"]);
    assert_eq!(payloads(&bob), ["joined", "hello"]);
}

#[test]
fn an_event_that_came_while_the_store_was_read_is_newer() {
    let places = Places::new(Key([9; 16]));
    let ana = enter(&places, ANA, "1");
    tell(&places, &left(ANA, "left"));
    seat(&places, &ana, &SEATED, false); // As it was before she left.
    tell(&places, &message("missed"));
    assert!(payloads(&ana).is_empty());

    let bob = enter(&places, BOB, "1");
    tell(&places, &joined(BOB, "joined"));
    tell(&places, &message("early"));
    seat(&places, &bob, &[], false); // As it was before he joined.
    tell(&places, &message("late"));
    assert_eq!(payloads(&bob), ["late"], "what was told before is in the store");
}

#[test]
fn what_comes_before_a_session_begins_is_neither_kept_nor_counted() {
    for resumes in [false, true] {
        let places = Places::new(Key([9; 16]));
        let ana = enter(&places, ANA, "1");
        let numbered = |sequence| Event { sequence, ..message(&sequence.to_string()) };
        sit(&places, &ana, &SEATED);
        for sequence in 1..=1_303 {
            tell(&places, &numbered(sequence));
            assert!(ana.take_waiting().is_empty());
        }
        ana.begin(resumes);
        assert_eq!(ending(&ana), None);
        for sequence in 1..=1_024 {
            tell(&places, &numbered(1_303 + sequence));
        }
        assert_eq!((payloads(&ana).len(), ending(&ana)), (SESSION_QUEUE_LEN_MAX, None));
    }
}

#[test]
fn a_session_that_resumes_is_told_what_it_is_not_shown() {
    let places = Places::new(Key([9; 16]));
    let ana = enter(&places, ANA, "1");
    let numbered = |sequence| Event { sequence, ..message(&sequence.to_string()) };
    tell(&places, &joined(ANA, "joined"));
    tell(&places, &numbered(1));
    seat(&places, &ana, &SEATED, true);
    assert!(payloads(&ana).is_empty(), "what came before is in the store");
    assert!(ana.show(LOBBY, 0) && ana.show(LOBBY, 1));
    tell(&places, &numbered(1));
    assert!(payloads(&ana).is_empty(), "what is told late was shown already");
    tell(&places, &numbered(2));
    tell(&places, &numbered(3));
    assert!(!ana.show(LOBBY, 2) && !ana.show(LOBBY, 3), "it was told");
    assert!(ana.show(ANA, 2), "another channel");
    assert_eq!(payloads(&ana), ["2", "3"]);
    ana.end_showing();
    let other = |sequence| Event { channel: ANA, ..numbered(sequence) };
    tell(&places, &other(2));
    assert!(ana.is_resuming() && payloads(&ana).is_empty());
    tell(&places, &other(3));
    assert!(!ana.is_resuming(), "nothing that was shown can be told any more");
    assert_eq!(payloads(&ana), ["3"]);
}

#[test]
fn who_sits_in_several_places_is_told_once() {
    let places = Places::new(Key([9; 16]));
    let ana = enter(&places, ANA, "1");
    let both = [LOBBY, BOB].map(|place| Seat { channel: place, number: 0, place, hidden: false });
    seat(&places, &ana, &both, false);
    tell(&places, &event(Audience::channel(&[LOBBY, BOB]), None, "renamed"));
    assert_eq!(payloads(&ana), ["renamed"]);
}

#[test]
fn what_may_not_have_happened_ends_the_sessions_it_would_be_for() {
    let places = Places::new(Key([9; 16]));
    let [ana, bob, cy] = [ANA, BOB, CY].map(|user| enter(&places, user, "1"));
    seat(&places, &ana, &SEATED, false);
    for session in [&bob, &cy] {
        seat(&places, session, &[], false);
    }
    places.doubt(&joined(BOB, "joined"));
    assert_eq!([&ana, &bob].map(|session| ending(session)), [Some(Close::INTERNAL); 2]);
    assert_eq!((ending(&cy), payloads(&ana).len()), (None, 0));
}

#[test]
fn a_late_event_of_a_place_that_is_taken_is_told_once() {
    let places = Places::new(Key([9; 16]));
    let ana = enter(&places, ANA, "1");
    seat(&places, &ana, &SEATED, false);
    tell(&places, &joined(ANA, "joined"));
    tell(&places, &message("hello"));
    assert_eq!(payloads(&ana), ["joined", "hello"]);
}

#[test]
fn hidden_members_are_told_of_messages_and_not_of_others() {
    let places = Places::new(Key([9; 16]));
    let ana = enter(&places, ANA, "1");
    seat(&places, &ana, &[Seat { channel: LOBBY, number: 0, place: LOBBY, hidden: true }], false);
    tell(&places, &joined(BOB, "joined"));
    tell(&places, &message("hello"));
    assert_eq!(payloads(&ana), ["hello"]);
}

#[test]
fn a_full_queue_ends_the_session_and_no_other() {
    let places = Places::new(Key([9; 16]));
    let slow = enter(&places, ANA, "1");
    let fast = enter(&places, BOB, "1");
    seat(&places, &slow, &SEATED, false);
    seat(&places, &fast, &SEATED, false);
    for number in 0..=SESSION_QUEUE_LEN_MAX {
        tell(&places, &message(&number.to_string()));
        assert_eq!(payloads(&fast).len(), 1);
    }
    assert_eq!(ending(&slow), Some(Close::TOO_SLOW));
    assert_eq!(ending(&fast), None);
    assert!(payloads(&slow).is_empty()); // What it was not sent is not kept.
}

#[test]
fn a_queue_is_full_of_bytes_too_each_of_which_counts_once() {
    const FIT: usize = 4;
    let places = Places::new(Key([9; 16]));
    let (slow, fast) = (enter(&places, ANA, "1"), enter(&places, BOB, "1"));
    seat(&places, &slow, &SEATED, false);
    seat(&places, &fast, &SEATED, false);
    let long = message(&"a".repeat(SESSION_QUEUE_BYTES_MAX / FIT));
    for _ in 0..FIT {
        tell(&places, &long);
        assert_eq!((fast.take_waiting().len(), ending(&slow)), (1, None));
    }
    tell(&places, &long);
    assert_eq!((fast.take_waiting().len(), ending(&slow)), (1, Some(Close::TOO_SLOW)));
}

#[test]
fn the_same_client_replaces_itself_and_the_eleventh_the_oldest() {
    let places = Places::new(Key([9; 16]));
    let sessions: Vec<_> = (0..SESSIONS_MAX).map(|n| enter(&places, ANA, &n.to_string())).collect();
    let ended = || sessions.iter().filter(|session| ending(session).is_some()).count();
    // Another user's client of the same name is another.
    enter(&places, BOB, "3");
    assert_eq!(ended(), 0);
    enter(&places, ANA, "3");
    assert_eq!((ending(&sessions[3]), ended()), (Some(Close::REPLACED), 1));
    enter(&places, ANA, "new");
    assert_eq!((ending(&sessions[0]), ended()), (Some(Close::REPLACED), 2));
}

#[test]
fn the_sessions_of_a_deleted_user_end_and_no_others() {
    let places = Places::new(Key([9; 16]));
    let [phone, laptop] = ["1", "2"].map(|client| enter(&places, ANA, client));
    let bob = enter(&places, BOB, "1");
    for session in [&phone, &laptop, &bob] {
        seat(&places, session, &SEATED, false);
    }
    tell(&places, &Event::delete_app_instance_user(ANA, Timestamp::from_ms(0)));
    assert_eq!([&phone, &laptop].map(|session| ending(session)), [Some(Close::GONE); 2]);
    assert_eq!((ending(&bob), payloads(&bob).len()), (None, 0));
    tell(&places, &left(ANA, "left"));
    assert_eq!(payloads(&bob), ["left"]);
}

#[test]
fn a_session_that_left_leaves_nothing_behind() {
    let places = Places::new(Key([9; 16]));
    let ana = enter(&places, ANA, "1");
    seat(&places, &ana, &SEATED, false);
    places.leave(&ana);
    tell(&places, &joined(ANA, "joined"));
    tell(&places, &message("hello"));
    assert!(payloads(&ana).is_empty());
    assert!(places.taken.is_empty() && places.users.is_empty());
}
