//! Who listens where: the sessions of each sub-channel, and of each user.
//!
//! A session that begins takes its places from the store while events already change them. The order of the two
//! is settled under the session's own lock: what an event said since the session was entered is newer than what
//! the store was read to hold.

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use carillon_model::event::{Change, Event};
use carillon_model::{Key, Timestamp};
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
    /// More frames than a client may send in a second; the client stops.
    pub(crate) const FLOOD: Self = Self { code: 1008, reason: "too many frames a second" };
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
    /// How long the session is held before it begins: the user connects more often than it may.
    pub begins_in: Duration,
    /// Frames that the client may send in a second, pings among them; one more ends the session.
    pub frames_max: u32,
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
    /// The session is told of its events. What comes before is in the store, and is neither kept nor counted.
    begun: bool,
    frames: VecDeque<Utf8Bytes>,
    ending: Option<Close>,
    /// Of a session that resumed: how it came by the events of each channel.
    resumed: Option<Box<Resumed>>,
}

/// What is shown from the store and what is told must meet, and each event come by one of the two.
struct Resumed {
    is_being_shown: bool,
    channels: HashMap<Key, Came>,
}

/// How the latest event of a channel came.
#[derive(Clone, Copy)]
enum Came {
    /// It was shown up to this one. What is told late, and was shown already, is not told again.
    ShownTo(i64),
    /// It has been told from this one on, which needs no showing.
    ToldFrom(i64),
}

impl Resumed {
    /// Whether an event that is about to be told did not come yet.
    fn tell(&mut self, channel: Key, sequence: i64) -> bool {
        match self.channels.get(&channel) {
            Some(Came::ShownTo(shown)) if sequence <= *shown => return false,
            Some(Came::ToldFrom(_)) => {}
            _ if self.is_being_shown => {
                self.channels.insert(channel, Came::ToldFrom(sequence));
            }
            // Its numbers only grow, so nothing is left to be known of it.
            _ => {
                self.channels.remove(&channel);
            }
        }
        true
    }

    /// Whether an event that is about to be shown was not told, and will not be.
    fn show(&mut self, channel: Key, sequence: i64) -> bool {
        if let Some(Came::ToldFrom(first)) = self.channels.get(&channel) {
            return sequence < *first;
        }
        self.channels.insert(channel, Came::ShownTo(sequence));
        true
    }
}

#[derive(Default)]
struct Seats {
    taken: Vec<Key>,
    /// While the store is being read: what events said of a place since.
    newer: Option<HashSet<Key>>,
    /// The session was taken out; nothing may put it back.
    gone: bool,
}

impl Inbox {
    /// A session that is shown nothing more, and cannot be told what it was shown, is as any other.
    fn forget_resuming(&mut self) {
        self.resumed = self.resumed.take().filter(|one| one.is_being_shown || !one.channels.is_empty());
    }
}

impl Session {
    /// Ends the session with this code, unless it is ending already. What it was not sent is dropped.
    pub(crate) fn end(&self, close: Close) {
        let mut inbox = self.inbox();
        if inbox.ending.is_none() {
            *inbox = Inbox { ending: Some(close), ..Inbox::default() };
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

    /// From here on the session is told of its events, all of them. What it was told before happened before it is
    /// established, and is in the store: there one that resumes is shown it.
    pub(crate) fn begin(&self, resumes: bool) {
        let mut inbox = self.inbox();
        inbox.begun = true;
        inbox.resumed = resumes.then(|| Box::new(Resumed { is_being_shown: true, channels: HashMap::new() }));
    }

    /// Whether an event of a session that resumes is to be shown: it was not told, and will not be.
    pub(crate) fn show(&self, channel: Key, sequence: i64) -> bool {
        let mut inbox = self.inbox();
        inbox.resumed.as_mut().is_none_or(|resumed| resumed.show(channel, sequence))
    }

    /// All that was missed has been shown.
    pub(crate) fn end_showing(&self) {
        let mut inbox = self.inbox();
        if let Some(resumed) = &mut inbox.resumed {
            resumed.is_being_shown = false;
            resumed.channels.retain(|_, came| matches!(came, Came::ShownTo(_)));
            resumed.channels.shrink_to_fit();
        }
        inbox.forget_resuming();
    }

    fn tell(&self, event: &Event, frame: &Utf8Bytes) {
        let mut inbox = self.inbox();
        if !inbox.begun || inbox.ending.is_some() {
            return;
        }
        if let Some(resumed) = &mut inbox.resumed {
            if !resumed.tell(event.channel, event.sequence) {
                return;
            }
            inbox.forget_resuming();
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

/// What an event says that no teller survives.
#[cfg(test)]
pub(crate) const PLANTED_PANIC: &str = "a teller panics";

#[derive(Default)]
pub(crate) struct Places {
    next: AtomicU64,
    /// By sub-channel; of an ordinary channel, the channel itself.
    listeners: DashMap<Key, HashMap<u64, Listener>>,
    /// By user, the oldest first.
    sessions: DashMap<Key, Vec<Arc<Session>>>,
    /// How many sockets were closed with each code.
    closes: Mutex<BTreeMap<u16, u64>>,
    /// Events whose telling panicked.
    panics: AtomicU64,
}

impl Places {
    /// Enters a session: from here on events of its user reach it. Its places follow with [`Self::seat`].
    pub(crate) fn enter(&self, entrance: Entrance) -> Arc<Session> {
        let Entrance { user, client, sessions_max, .. } = entrance;
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

    /// Gives a session its places, as the store was read to hold them after it was entered. It is told from
    /// [`Session::begin`] on.
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

    /// Tells everyone whom an event is for, and follows what it changes. `told` answers up to when all was told, and
    /// is asked before this event is.
    pub(crate) fn tell(&self, event: &Event, told: impl FnOnce() -> Timestamp) {
        #[cfg(test)]
        assert_ne!(event.payload, PLANTED_PANIC);
        for change in &event.changes {
            if let Change::Left { member, sub_channel, .. } = *change {
                self.follow(member, sub_channel, None);
            }
        }
        // Made for the first who is told, and then shared: of most channels nobody listens.
        let told = LazyCell::new(told);
        let frame = LazyCell::new(|| Utf8Bytes::from(event.frame(*told)));
        let whole_frame = LazyCell::new(|| {
            if event.has_more_for_some() { event.whole_frame(*told).into() } else { frame.clone() }
        });
        let audience = &event.audience;
        // A moderator may sit in several places of an elastic channel.
        let mut told_already = (1 < audience.sub_channels.len()).then(HashSet::new);
        for place in &audience.sub_channels {
            let Some(listeners) = self.listeners.get(place) else { continue };
            for (number, listener) in listeners.iter() {
                // Those who are named are told below, once, wherever they sit.
                let named = audience.users.contains(&listener.session.user);
                let left_out = named || (audience.but_hidden && listener.hidden);
                let told_already = told_already.as_mut().is_some_and(|all| !all.insert(*number));
                if !left_out && !told_already {
                    listener.session.tell(event, &frame);
                }
            }
        }
        for user in &audience.users {
            if let Some(sessions) = self.sessions.get(user) {
                sessions.iter().for_each(|session| session.tell(event, &whole_frame));
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

    /// Ends the sessions of everyone whom an event would be for of which nobody knows whether it happened, or whether
    /// it was told, and what it changed: they come back to what the store holds.
    pub(crate) fn doubt(&self, event: &Event) {
        let ended = event.changes.iter().filter_map(|change| match change {
            Change::Ended { sub_channel } => Some(sub_channel),
            _ => None,
        });
        for place in event.audience.sub_channels.iter().chain(ended) {
            if let Some(listeners) = self.listeners.get(place) {
                listeners.values().for_each(|listener| listener.session.end(Close::INTERNAL));
            }
        }
        let changed = event.changes.iter().filter_map(|change| match change {
            Change::Joined { member, .. } | Change::Left { member, .. } => Some(member),
            Change::Gone { user } => Some(user),
            Change::Ended { .. } => None,
        });
        for user in event.audience.users.iter().chain(changed) {
            if let Some(sessions) = self.sessions.get(user) {
                sessions.iter().for_each(|session| session.end(Close::INTERNAL));
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

    /// Counts a socket that is closed.
    pub(crate) fn count(&self, close: Close) {
        *self.lock_closes().entry(close.code).or_default() += 1;
    }

    /// Counts an event whose telling panicked.
    pub(crate) fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Events whose telling panicked.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// How many sockets were closed with each code.
    pub(crate) fn closes(&self) -> Vec<(u16, u64)> {
        self.lock_closes().iter().map(|(code, count)| (*code, *count)).collect()
    }

    fn lock_closes(&self) -> MutexGuard<'_, BTreeMap<u16, u64>> {
        self.closes.lock().unwrap_or_else(PoisonError::into_inner)
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

    const SEATED: [Subscription; 1] = [Subscription { sub_channel: LOBBY, hidden: false }];

    fn enter(places: &Places, user: Key, client: &str) -> Arc<Session> {
        places.enter(Entrance {
            user,
            client: client.to_owned(),
            sessions_max: SESSIONS_MAX,
            begins_in: Duration::ZERO,
            frames_max: 1,
        })
    }

    fn tell(places: &Places, event: &Event) {
        places.tell(event, || Timestamp::from_ms(0));
    }

    fn seat(places: &Places, session: &Arc<Session>, stored: &[Subscription], resumes: bool) {
        places.seat(session, stored);
        session.begin(resumes);
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
        let places = Places::default();
        let ana = enter(&places, ANA, "1");
        seat(&places, &ana, &SEATED, false);
        let ended = Change::Ended { sub_channel: LOBBY };
        tell(&places, &event(Audience::members(LOBBY), Some(ended), "ended"));
        tell(&places, &message("after"));
        assert_eq!(payloads(&ana), ["ended"]);
        assert!(places.listeners.is_empty() && ana.seats().taken.is_empty());
    }

    #[test]
    fn several_who_join_at_once_are_each_told_of_what_follows() {
        let places = Places::default();
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
        let places = Places::default();
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
            let places = Places::default();
            let ana = enter(&places, ANA, "1");
            let numbered = |sequence| Event { sequence, ..message(&sequence.to_string()) };
            places.seat(&ana, &SEATED);
            for sequence in 1..=1_303 {
                tell(&places, &numbered(sequence));
                assert_eq!(ana.inbox().frames.len(), 0);
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
        let places = Places::default();
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
        assert!(ana.inbox().resumed.is_some() && payloads(&ana).is_empty());
        tell(&places, &other(3));
        assert!(ana.inbox().resumed.is_none(), "nothing that was shown can be told any more");
        assert_eq!(payloads(&ana), ["3"]);
    }

    #[test]
    fn who_sits_in_several_places_is_told_once() {
        let places = Places::default();
        let ana = enter(&places, ANA, "1");
        let both = [LOBBY, BOB].map(|sub_channel| Subscription { sub_channel, hidden: false });
        seat(&places, &ana, &both, false);
        tell(&places, &event(Audience::channel(&[LOBBY, BOB]), None, "renamed"));
        assert_eq!(payloads(&ana), ["renamed"]);
    }

    #[test]
    fn what_may_not_have_happened_ends_the_sessions_it_would_be_for() {
        let places = Places::default();
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
        let places = Places::default();
        let ana = enter(&places, ANA, "1");
        seat(&places, &ana, &SEATED, false);
        tell(&places, &joined(ANA, "joined"));
        tell(&places, &message("hello"));
        assert_eq!(payloads(&ana), ["joined", "hello"]);
    }

    #[test]
    fn hidden_members_are_told_of_messages_and_not_of_others() {
        let places = Places::default();
        let ana = enter(&places, ANA, "1");
        seat(&places, &ana, &[Subscription { sub_channel: LOBBY, hidden: true }], false);
        tell(&places, &joined(BOB, "joined"));
        tell(&places, &message("hello"));
        assert_eq!(payloads(&ana), ["hello"]);
    }

    #[test]
    fn a_full_queue_ends_the_session_and_no_other() {
        let places = Places::default();
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
        let places = Places::default();
        let ana = enter(&places, ANA, "1");
        seat(&places, &ana, &SEATED, false);
        places.leave(&ana);
        tell(&places, &joined(ANA, "joined"));
        tell(&places, &message("hello"));
        assert!(payloads(&ana).is_empty());
        assert!(places.listeners.is_empty() && places.sessions.is_empty());
    }
}
