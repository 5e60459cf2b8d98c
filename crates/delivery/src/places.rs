//! Who listens where: the sessions of each sub-channel, and of each user.
//!
//! A session that begins takes its places from the store while events already change them. The order of the two
//! is settled under the session's own lock: what an event said since the session was entered is newer than what
//! the store was read to hold.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::extract::ws::Utf8Bytes;
use carillon_model::Key;
use carillon_model::event::{Change, Event};
use carillon_store::membership::Subscription;
use dashmap::DashMap;
use tokio::sync::{Notify, mpsc};

/// Frames that wait for one slow socket. Past it the session is closed: it is never waited for.
pub(crate) const SESSION_QUEUE_LEN_MAX: usize = 1024;
/// Sessions of one user. One more closes the oldest.
pub(crate) const SESSIONS_PER_USER_MAX: usize = 10;

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
}

impl Close {
    /// The server goes down; the client comes back.
    pub(crate) const RESTART: Self = Self { code: 1012, reason: "service restart" };
    /// The client reads too slowly; it comes back and reads what it missed.
    pub(crate) const TOO_SLOW: Self = Self { code: 1013, reason: "the client reads too slowly" };
    /// The same client connected again; this one must not come back.
    pub(crate) const REPLACED: Self = Self { code: 4002, reason: "replaced by a newer connection" };
    /// The user was deleted; the client must not come back.
    pub(crate) const GONE: Self = Self { code: 4003, reason: "the user was deleted" };
}

/// One socket, as events see it.
pub(crate) struct Session {
    number: u64,
    user: Key,
    /// The client's name for the connection.
    client: String,
    queue: mpsc::Sender<Utf8Bytes>,
    ending: OnceLock<Close>,
    ended: Notify,
    seats: Mutex<Seats>,
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
    /// Ends the session with this code, unless it is ending already.
    pub(crate) fn end(&self, close: Close) {
        if self.ending.set(close).is_ok() {
            self.ended.notify_one();
        }
    }

    /// Waits until the session is to end.
    pub(crate) async fn ending(&self) -> Close {
        loop {
            if let Some(close) = self.ending.get() {
                return *close;
            }
            self.ended.notified().await;
        }
    }

    fn tell(&self, frame: &Utf8Bytes) {
        if self.queue.try_send(frame.clone()).is_err() {
            self.end(Close::TOO_SLOW);
        }
    }

    fn seats(&self) -> std::sync::MutexGuard<'_, Seats> {
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
    pub(crate) fn enter(&self, user: Key, client: String) -> (Arc<Session>, mpsc::Receiver<Utf8Bytes>) {
        let (queue, frames) = mpsc::channel(SESSION_QUEUE_LEN_MAX);
        let session = Arc::new(Session {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            user,
            client,
            queue,
            ending: OnceLock::new(),
            ended: Notify::new(),
            seats: Mutex::new(Seats { newer: Some(HashSet::new()), ..Seats::default() }),
        });
        let mut all = self.sessions.entry(user).or_default();
        for other in all.iter().filter(|other| other.client == session.client) {
            other.end(Close::REPLACED);
        }
        let open = all.iter().filter(|other| other.ending.get().is_none());
        if SESSIONS_PER_USER_MAX <= open.clone().count()
            && let Some(oldest) = open.clone().next()
        {
            oldest.end(Close::REPLACED);
        }
        all.push(session.clone());
        (session, frames)
    }

    /// Gives a session its places, as the store was read to hold them after it was entered.
    pub(crate) fn seat(&self, session: &Arc<Session>, stored: &[Subscription]) {
        let mut seats = session.seats();
        let newer = seats.newer.take().unwrap_or_default();
        for subscription in stored.iter().filter(|stored| !newer.contains(&stored.sub_channel)) {
            self.sit(session, &mut seats, subscription.sub_channel, subscription.hidden);
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
        let frame = Utf8Bytes::from(event.frame());
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

    fn payloads(frames: &mut mpsc::Receiver<Utf8Bytes>) -> Vec<String> {
        let mut payloads = Vec::new();
        while let Ok(frame) = frames.try_recv() {
            let (_, payload) = frame.rsplit_once("\"Payload\":\"").unwrap();
            payloads.push(payload.trim_end_matches("\"}").to_owned());
        }
        payloads
    }

    #[test]
    fn members_are_told_and_those_who_left_are_told_that_and_no_more() {
        let places = Places::default();
        let (ana, mut to_ana) = places.enter(ANA, "1".to_owned());
        let (bob, mut to_bob) = places.enter(BOB, "1".to_owned());
        places.seat(&ana, &SEATED);
        places.seat(&bob, &[]);
        places.tell(&message("before"));
        places.tell(&joined(BOB, "joined"));
        places.tell(&message("with bob"));
        places.tell(&left(BOB, "left"));
        places.tell(&message("after"));
        assert_eq!(payloads(&mut to_ana), ["before", "joined", "with bob", "left", "after"]);
        assert_eq!(payloads(&mut to_bob), ["joined", "with bob", "left"]);
    }

    #[test]
    fn the_end_of_a_place_is_told_and_nothing_after_it() {
        let places = Places::default();
        let (ana, mut to_ana) = places.enter(ANA, "1".to_owned());
        places.seat(&ana, &SEATED);
        let ended = Change::Ended { sub_channel: LOBBY };
        places.tell(&event(Audience::members(LOBBY), Some(ended), "ended"));
        places.tell(&message("after"));
        assert_eq!(payloads(&mut to_ana), ["ended"]);
        assert!(places.listeners.is_empty() && ana.seats().taken.is_empty());
    }

    #[test]
    fn several_who_join_at_once_are_each_told_of_what_follows() {
        let places = Places::default();
        let (_ana, mut to_ana) = places.enter(ANA, "1".to_owned());
        let (_bob, mut to_bob) = places.enter(BOB, "1".to_owned());
        let joined = |member| Change::Joined { member, sub_channel: LOBBY, hidden: false };
        let mut both = event(Audience::only([ANA, BOB]), Some(joined(ANA)), "joined");
        both.changes.push(joined(BOB));
        places.tell(&both);
        places.tell(&message("hello"));
        assert_eq!(payloads(&mut to_ana), ["joined", "hello"]);
        assert_eq!(payloads(&mut to_bob), ["joined", "hello"]);
    }

    #[test]
    fn an_event_that_came_while_the_store_was_read_is_newer() {
        let places = Places::default();
        let (ana, mut to_ana) = places.enter(ANA, "1".to_owned());
        places.tell(&left(ANA, "left"));
        places.seat(&ana, &SEATED); // As it was before she left.
        places.tell(&message("missed"));
        assert_eq!(payloads(&mut to_ana), ["left"]);

        let (bob, mut to_bob) = places.enter(BOB, "1".to_owned());
        places.tell(&joined(BOB, "joined"));
        places.tell(&message("early"));
        places.seat(&bob, &[]); // As it was before he joined.
        places.tell(&message("late"));
        assert_eq!(payloads(&mut to_bob), ["joined", "early", "late"]);
    }

    #[test]
    fn a_late_event_of_a_place_that_is_taken_is_told_once() {
        let places = Places::default();
        let (ana, mut to_ana) = places.enter(ANA, "1".to_owned());
        places.seat(&ana, &SEATED);
        places.tell(&joined(ANA, "joined"));
        places.tell(&message("hello"));
        assert_eq!(payloads(&mut to_ana), ["joined", "hello"]);
    }

    #[test]
    fn hidden_members_are_told_of_messages_and_not_of_others() {
        let places = Places::default();
        let (ana, mut to_ana) = places.enter(ANA, "1".to_owned());
        places.seat(&ana, &[Subscription { sub_channel: LOBBY, hidden: true }]);
        places.tell(&joined(BOB, "joined"));
        places.tell(&message("hello"));
        assert_eq!(payloads(&mut to_ana), ["hello"]);
    }

    #[test]
    fn a_full_queue_ends_the_session_and_no_other() {
        let places = Places::default();
        let (slow, _to_slow) = places.enter(ANA, "1".to_owned());
        let (fast, mut to_fast) = places.enter(BOB, "1".to_owned());
        places.seat(&slow, &SEATED);
        places.seat(&fast, &SEATED);
        for number in 0..=SESSION_QUEUE_LEN_MAX {
            places.tell(&message(&number.to_string()));
            assert_eq!(payloads(&mut to_fast).len(), 1);
        }
        assert_eq!(slow.ending.get(), Some(&Close::TOO_SLOW));
        assert_eq!(fast.ending.get(), None);
    }

    #[test]
    fn the_same_client_replaces_itself_and_the_eleventh_the_oldest() {
        let places = Places::default();
        let sessions: Vec<_> = (0..SESSIONS_PER_USER_MAX).map(|n| places.enter(ANA, n.to_string())).collect();
        let (_again, _) = places.enter(ANA, "3".to_owned());
        assert_eq!(sessions[3].0.ending.get(), Some(&Close::REPLACED));
        assert_eq!(sessions.iter().filter(|(session, _)| session.ending.get().is_some()).count(), 1);
        let (_eleventh, _) = places.enter(ANA, "new".to_owned());
        assert_eq!(sessions[0].0.ending.get(), Some(&Close::REPLACED));
        assert_eq!(sessions.iter().filter(|(session, _)| session.ending.get().is_some()).count(), 2);
    }

    #[test]
    fn the_sessions_of_a_deleted_user_end_and_no_others() {
        let places = Places::default();
        let [(phone, _), (laptop, _)] = ["1", "2"].map(|client| places.enter(ANA, client.to_owned()));
        let (bob, mut to_bob) = places.enter(BOB, "1".to_owned());
        for session in [&phone, &laptop, &bob] {
            places.seat(session, &SEATED);
        }
        places.tell(&Event::delete_app_instance_user(ANA, Timestamp::from_ms(0)));
        assert_eq!([&phone, &laptop].map(|session| session.ending.get()), [Some(&Close::GONE); 2]);
        assert_eq!((bob.ending.get(), payloads(&mut to_bob).len()), (None, 0));
        places.tell(&left(ANA, "left"));
        assert_eq!(payloads(&mut to_bob), ["left"]);
    }

    #[test]
    fn a_session_that_left_leaves_nothing_behind() {
        let places = Places::default();
        let (ana, mut to_ana) = places.enter(ANA, "1".to_owned());
        places.seat(&ana, &SEATED);
        places.leave(&ana);
        places.tell(&joined(ANA, "joined"));
        places.tell(&message("hello"));
        assert!(payloads(&mut to_ana).is_empty());
        assert!(places.listeners.is_empty() && places.sessions.is_empty());
    }
}
