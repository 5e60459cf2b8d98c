//! Who listens where: the sessions of each sub-channel, and of each user.
//!
//! A session that begins takes its places from the store while events already change them. The order of the two
//! is settled under the session's own lock: what an event said since the session was entered is newer than what
//! the store was read to hold.

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use carillon_model::Key;
use carillon_model::event::{Change, Event};
use carillon_store::membership::Subscription;
use dashmap::DashMap;
use tokio::sync::Notify;

/// Frames that wait for one slow socket. Past it the session is closed: it is never waited for.
pub(crate) const SESSION_QUEUE_LEN_MAX: usize = 1024;

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// The code, which decides whether the client comes back.
    pub code: u16,
    /// A few words for people.
    pub reason: &'static str,
}

impl Close {
    /// The code that tells a client to come back later.
    pub(crate) const TRY_LATER: u16 = 1013;
    /// Our failure; the client comes back.
    pub(crate) const INTERNAL: Self = Self { code: 1011, reason: "internal error" };
    /// The server goes down; the client comes back.
    pub(crate) const RESTART: Self = Self { code: 1012, reason: "service restart" };
    /// Too much at once; the client comes back.
    pub(crate) const OVERLOADED: Self = Self { code: Self::TRY_LATER, reason: "try again later" };
    /// The client reads too slowly; it comes back and reads what it missed.
    pub(crate) const TOO_SLOW: Self = Self { code: Self::TRY_LATER, reason: "the client reads too slowly" };
    /// The same client connected again, or too many did; this one must not come back.
    pub(crate) const REPLACED: Self = Self { code: 4002, reason: "replaced by a newer connection" };
    /// The credentials that opened the socket are over; the client comes back with fresh ones.
    pub(crate) const EXPIRED: Self = Self { code: 4001, reason: "the credentials have expired" };
    /// The user was deleted; the client must not come back.
    pub(crate) const GONE: Self = Self { code: 4003, reason: "the user was deleted" };
}

/// Whose session begins.
#[derive(Debug)]
pub struct Entrance {
    /// The user.
    pub user: Key,
    /// The client's name for the connection: one that has it already is replaced.
    pub client: String,
    /// Sessions that the user may have; one more ends the oldest.
    pub sessions_max: usize,
}

/// One socket, as events see it.
pub(crate) struct Session {
    number: u64,
    pub(crate) user: Key,
    client: Box<str>,
    inbox: Mutex<Inbox>,
    /// Rung when frames come to an empty inbox, and when the session is to end.
    bell: Notify,
    seats: Mutex<Seats>,
}

/// What waits for the socket. It holds nothing while nothing waits.
#[derive(Default)]
struct Inbox {
    frames: VecDeque<Utf8Bytes>,
    ending: Option<Close>,
}

#[derive(Default)]
struct Seats {
    taken: Vec<Key>,
    /// While the store is being read: what events said of a place since.
    newer: Option<HashSet<Key>>,
    /// The session was taken out; nothing may put it back.
    gone: bool,
}

impl Session {
    /// Ends the session with this code, unless it is ending already. What it was not sent is dropped.
    pub(crate) fn end(&self, close: Close) {
        let mut inbox = self.inbox();
        if inbox.ending.is_none() {
            *inbox = Inbox { frames: VecDeque::new(), ending: Some(close) };
            self.bell.notify_one();
        }
    }

    /// Waits until the session is to end.
    pub(crate) async fn ending(&self) -> Close {
        loop {
            if let Some(close) = self.inbox().ending {
                return close;
            }
            self.bell.notified().await;
        }
    }

    /// Waits for what is to be sent, and takes all of it; or answers why the session ends.
    pub(crate) async fn frames(&self) -> Result<VecDeque<Utf8Bytes>, Close> {
        loop {
            {
                let mut inbox = self.inbox();
                if let Some(close) = inbox.ending {
                    return Err(close);
                }
                if !inbox.frames.is_empty() {
                    return Ok(std::mem::take(&mut inbox.frames));
                }
            }
            self.bell.notified().await;
        }
    }

    fn tell(&self, frame: &Utf8Bytes) {
        let mut inbox = self.inbox();
        if inbox.ending.is_some() {
            return;
        }
        if SESSION_QUEUE_LEN_MAX <= inbox.frames.len() {
            drop(inbox);
            return self.end(Close::TOO_SLOW);
        }
        inbox.frames.push_back(frame.clone());
        if inbox.frames.len() == 1 {
            drop(inbox);
            self.bell.notify_one();
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Listener {
    session: Arc<Session>,
    hidden: bool,
}

#[derive(Default)]
pub(crate) struct Places {
    next: AtomicU64,
    /// By sub-channel; of an ordinary channel, the channel itself.
    listeners: DashMap<Key, HashMap<u64, Listener>>,
    /// By user, the oldest first.
    sessions: DashMap<Key, Vec<Arc<Session>>>,
}

impl Places {
    /// Enters a session: from here on events of its user reach it. Its places follow with [`Self::seat`].
    pub(crate) fn enter(&self, Entrance { user, client, sessions_max }: Entrance) -> Arc<Session> {
        let session = Arc::new(Session {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            user,
            client: client.into(),
            inbox: Mutex::default(),
            bell: Notify::new(),
            seats: Mutex::new(Seats { newer: Some(HashSet::new()), ..Seats::default() }),
        });
        let mut all = self.sessions.entry(user).or_default();
        for other in all.iter().filter(|other| other.client == session.client) {
            other.end(Close::REPLACED);
        }
        let open = all.iter().filter(|other| other.inbox().ending.is_none());
        if sessions_max <= open.clone().count()
            && let Some(oldest) = open.clone().next()
        {
            oldest.end(Close::REPLACED);
        }
        all.push(session.clone());
        session
    }

    /// Gives a session its places, as the store was read to hold them after it was entered.
    pub(crate) fn seat(&self, session: &Arc<Session>, stored: &[Subscription]) {
        let mut seats = session.seats();
        let newer = seats.newer.take().unwrap_or_default();
        if seats.gone {
            return;
        }
        let places = stored.iter().filter(|stored| !newer.contains(&stored.sub_channel));
        seats.taken.extend(places.clone().map(|place| place.sub_channel));
        seats.taken.shrink_to_fit();
        for place in places {
            self.listen(session, place.sub_channel, place.hidden);
        }
    }

    /// Takes a session out.
    pub(crate) fn leave(&self, session: &Arc<Session>) {
        let mut seats = session.seats();
        seats.gone = true;
        for place in std::mem::take(&mut seats.taken) {
            self.rise(session, place);
        }
        drop(seats);
        if let Some(mut all) = self.sessions.get_mut(&session.user) {
            all.retain(|other| other.number != session.number);
        }
        self.sessions.remove_if(&session.user, |_, all| all.is_empty());
    }

    /// Tells everyone whom an event is for, and follows what it changes.
    pub(crate) fn tell(&self, event: &Event) {
        for change in &event.changes {
            if let Change::Left { member, sub_channel } = *change {
                self.follow(member, sub_channel, None);
            }
        }
        // Made for the first who is told, and then shared: of most channels nobody listens.
        let frame = LazyCell::new(|| Utf8Bytes::from(event.frame()));
        let audience = &event.audience;
        for place in &audience.sub_channels {
            let Some(listeners) = self.listeners.get(place) else { continue };
            for listener in listeners.values() {
                // Those who are named are told below, once, wherever they sit.
                let named = audience.users.contains(&listener.session.user);
                let left_out = named || (audience.but_hidden && listener.hidden);
                if !left_out {
                    listener.session.tell(&frame);
                }
            }
        }
        for user in &audience.users {
            if let Some(sessions) = self.sessions.get(user) {
                sessions.iter().for_each(|session| session.tell(&frame));
            }
        }
        for change in &event.changes {
            match *change {
                Change::Joined { member, sub_channel, hidden } => {
                    self.follow(member, sub_channel, Some(hidden));
                }
                Change::Ended { sub_channel } => self.clear(sub_channel),
                Change::Gone { user } => self.end_sessions_of(user),
                Change::Left { .. } => {}
            }
        }
    }

    /// Ends everybody's subscription of a place that is no more. A session that is just being seated may still
    /// take its seat there: no event will come, and it rises when it leaves.
    fn clear(&self, place: Key) {
        let Some((_, listeners)) = self.listeners.remove(&place) else { return };
        for listener in listeners.values() {
            listener.session.seats().taken.retain(|taken| *taken != place);
        }
    }

    /// Ends every session of a user who is no more.
    fn end_sessions_of(&self, user: Key) {
        if let Some(sessions) = self.sessions.get(&user) {
            sessions.iter().for_each(|session| session.end(Close::GONE));
        }
    }

    /// Ends every session.
    pub(crate) fn end_all(&self, close: Close) {
        for sessions in &self.sessions {
            sessions.iter().for_each(|session| session.end(close));
        }
    }

    fn follow(&self, member: Key, place: Key, sits: Option<bool>) {
        let sessions = self.sessions.get(&member).map(|all| all.clone()).unwrap_or_default();
        for session in sessions {
            let mut seats = session.seats();
            if let Some(newer) = &mut seats.newer {
                newer.insert(place);
            }
            if let Some(hidden) = sits {
                self.sit(&session, &mut seats, place, hidden);
            } else {
                seats.taken.retain(|taken| *taken != place);
                self.rise(&session, place);
            }
        }
    }

    fn sit(&self, session: &Arc<Session>, seats: &mut Seats, place: Key, hidden: bool) {
        if seats.gone {
            return;
        }
        if !seats.taken.contains(&place) {
            seats.taken.push(place);
        }
        self.listen(session, place, hidden);
    }

    fn listen(&self, session: &Arc<Session>, place: Key, hidden: bool) {
        let listener = Listener { session: session.clone(), hidden };
        self.listeners.entry(place).or_default().insert(session.number, listener);
    }

    fn rise(&self, session: &Arc<Session>, place: Key) {
        if let Some(mut listeners) = self.listeners.get_mut(&place) {
            listeners.remove(&session.number);
        }
        self.listeners.remove_if(&place, |_, listeners| listeners.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use carillon_model::Timestamp;
    use carillon_model::event::{Audience, EventMessageType, EventType};

    use super::*;

    const LOBBY: Key = Key([1; 16]);
    const ANA: Key = Key([2; 16]);
    const BOB: Key = Key([3; 16]);
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
        let change = Change::Left { member, sub_channel: LOBBY };
        event(Audience::open_members_and(LOBBY, member), Some(change), payload)
    }

    const SEATED: [Subscription; 1] = [Subscription { sub_channel: LOBBY, hidden: false }];

    fn enter(places: &Places, user: Key, client: &str) -> Arc<Session> {
        places.enter(Entrance { user, client: client.to_owned(), sessions_max: SESSIONS_MAX })
    }

    /// What waits for a session.
    fn payloads(session: &Session) -> Vec<String> {
        let frames = std::mem::take(&mut session.inbox().frames);
        let payload = |frame: &Utf8Bytes| {
            let (_, payload) = frame.rsplit_once("\"Payload\":\"").unwrap();
            payload.trim_end_matches("\"}").to_owned()
        };
        frames.iter().map(payload).collect()
    }

    fn ending(session: &Session) -> Option<Close> {
        session.inbox().ending
    }

    #[test]
    fn members_are_told_and_those_who_left_are_told_that_and_no_more() {
        let places = Places::default();
        let ana = enter(&places, ANA, "1");
        let bob = enter(&places, BOB, "1");
        places.seat(&ana, &SEATED);
        places.seat(&bob, &[]);
        places.tell(&message("before"));
        places.tell(&joined(BOB, "joined"));
        places.tell(&message("with bob"));
        places.tell(&left(BOB, "left"));
        places.tell(&message("after"));
        assert_eq!(payloads(&ana), ["before", "joined", "with bob", "left", "after"]);
        assert_eq!(payloads(&bob), ["joined", "with bob", "left"]);
    }

    #[test]
    fn the_end_of_a_place_is_told_and_nothing_after_it() {
        let places = Places::default();
        let ana = enter(&places, ANA, "1");
        places.seat(&ana, &SEATED);
        let ended = Change::Ended { sub_channel: LOBBY };
        places.tell(&event(Audience::members(LOBBY), Some(ended), "ended"));
        places.tell(&message("after"));
        assert_eq!(payloads(&ana), ["ended"]);
        assert!(places.listeners.is_empty() && ana.seats().taken.is_empty());
    }

    #[test]
    fn several_who_join_at_once_are_each_told_of_what_follows() {
        let places = Places::default();
        let ana = enter(&places, ANA, "1");
        let bob = enter(&places, BOB, "1");
        let joined = |member| Change::Joined { member, sub_channel: LOBBY, hidden: false };
        let mut both = event(Audience::only([ANA, BOB]), Some(joined(ANA)), "joined");
        both.changes.push(joined(BOB));
        places.tell(&both);
        places.tell(&message("hello"));
        assert_eq!(payloads(&ana), ["joined", "hello"]);
        assert_eq!(payloads(&bob), ["joined", "hello"]);
    }

    #[test]
    fn an_event_that_came_while_the_store_was_read_is_newer() {
        let places = Places::default();
        let ana = enter(&places, ANA, "1");
        places.tell(&left(ANA, "left"));
        places.seat(&ana, &SEATED); // As it was before she left.
        places.tell(&message("missed"));
        assert_eq!(payloads(&ana), ["left"]);

        let bob = enter(&places, BOB, "1");
        places.tell(&joined(BOB, "joined"));
        places.tell(&message("early"));
        places.seat(&bob, &[]); // As it was before he joined.
        places.tell(&message("late"));
        assert_eq!(payloads(&bob), ["joined", "early", "late"]);
    }

    #[test]
    fn a_late_event_of_a_place_that_is_taken_is_told_once() {
        let places = Places::default();
        let ana = enter(&places, ANA, "1");
        places.seat(&ana, &SEATED);
        places.tell(&joined(ANA, "joined"));
        places.tell(&message("hello"));
        assert_eq!(payloads(&ana), ["joined", "hello"]);
    }

    #[test]
    fn hidden_members_are_told_of_messages_and_not_of_others() {
        let places = Places::default();
        let ana = enter(&places, ANA, "1");
        places.seat(&ana, &[Subscription { sub_channel: LOBBY, hidden: true }]);
        places.tell(&joined(BOB, "joined"));
        places.tell(&message("hello"));
        assert_eq!(payloads(&ana), ["hello"]);
    }

    #[test]
    fn a_full_queue_ends_the_session_and_no_other() {
        let places = Places::default();
        let slow = enter(&places, ANA, "1");
        let fast = enter(&places, BOB, "1");
        places.seat(&slow, &SEATED);
        places.seat(&fast, &SEATED);
        for number in 0..=SESSION_QUEUE_LEN_MAX {
            places.tell(&message(&number.to_string()));
            assert_eq!(payloads(&fast).len(), 1);
        }
        assert_eq!(ending(&slow), Some(Close::TOO_SLOW));
        assert_eq!(ending(&fast), None);
        assert!(payloads(&slow).is_empty()); // What it was not sent is not kept.
    }

    #[test]
    fn the_same_client_replaces_itself_and_the_eleventh_the_oldest() {
        let places = Places::default();
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
        let places = Places::default();
        let [phone, laptop] = ["1", "2"].map(|client| enter(&places, ANA, client));
        let bob = enter(&places, BOB, "1");
        for session in [&phone, &laptop, &bob] {
            places.seat(session, &SEATED);
        }
        places.tell(&Event::delete_app_instance_user(ANA, Timestamp::from_ms(0)));
        assert_eq!([&phone, &laptop].map(|session| ending(session)), [Some(Close::GONE); 2]);
        assert_eq!((ending(&bob), payloads(&bob).len()), (None, 0));
        places.tell(&left(ANA, "left"));
        assert_eq!(payloads(&bob), ["left"]);
    }

    #[test]
    fn a_session_that_left_leaves_nothing_behind() {
        let places = Places::default();
        let ana = enter(&places, ANA, "1");
        places.seat(&ana, &SEATED);
        places.leave(&ana);
        places.tell(&joined(ANA, "joined"));
        places.tell(&message("hello"));
        assert!(payloads(&ana).is_empty());
        assert!(places.listeners.is_empty() && places.sessions.is_empty());
    }
}
