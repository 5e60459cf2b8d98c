//! Who listens where: the sessions of each sub-channel, and of each user.
//!
//! A session that begins takes its places from the store while events already change them. The order of the two
//! is settled under the session's own lock: what an event said since the session was entered is newer than what
//! the store was read to hold.

mod asides;

use std::cell::LazyCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carillon_meter::Times;
use carillon_model::event::{Audience, Change, Event, Step};
use carillon_model::session::{Close, Entrance, Seat};
use carillon_model::{Key, Timestamp};
use dashmap::DashMap;
use tokio::time::Instant;

use crate::frames;
use crate::news::{Present, Roll};
use crate::session::{Session, Told};
use crate::user::User;
use crate::web_socket::Frame;

/// A session, among those that sit in a place.
struct Listener {
    session: Arc<Session>,
    hidden: bool,
}

/// Those who sit in one place.
struct Place {
    channel: Key,
    listeners: HashMap<u64, Listener>,
}

/// What an event says that no teller survives.
#[cfg(test)]
pub(crate) const PLANTED_PANIC: &str = "a teller panics";

/// The sessions of this process, and where they sit.
pub(crate) struct Places {
    /// This node.
    here: Key,
    next: AtomicU64,
    /// By sub-channel; of an ordinary channel, the channel itself.
    taken: DashMap<Key, Place>,
    /// By channel: in how many places of it somebody sits.
    channels: DashMap<Key, usize>,
    users: DashMap<Key, User>,
    /// How many sockets were closed with each code.
    closes: Mutex<BTreeMap<u16, u64>>,
    /// Events whose telling panicked.
    panics: AtomicU64,
    /// How often the store was read for what did not arrive.
    looks: AtomicU64,
    /// Events of other nodes that the bus brought.
    news: AtomicU64,
    /// Events that were told, whether somebody listened or not.
    told: AtomicU64,
    /// How long each frame took from its commit here until a socket had taken it.
    pub(crate) deliveries: Times,
}

impl Places {
    /// Of this node.
    pub(crate) fn new(here: Key) -> Self {
        Self {
            here,
            next: AtomicU64::default(),
            taken: DashMap::default(),
            channels: DashMap::default(),
            users: DashMap::default(),
            closes: Mutex::default(),
            panics: AtomicU64::default(),
            looks: AtomicU64::default(),
            news: AtomicU64::default(),
            told: AtomicU64::default(),
            deliveries: Times::default(),
        }
    }

    /// Enters a session: from here on events of its user reach it. Its seats follow with [`Self::seat`].
    pub(crate) fn enter(&self, entrance: Entrance) -> Arc<Session> {
        let session = Session::new(self.next.fetch_add(1, Ordering::Relaxed), entrance);
        self.users.entry(session.user).or_default().enter(self.here, session.clone());
        session
    }

    /// Gives a session a seat, as the store was read to hold it after it was entered. It is told from
    /// [`Session::begin`] on.
    pub(crate) fn seat(&self, session: &Arc<Session>, seat: &Seat) {
        let mut taken = session.seats();
        let newer = taken.newer.as_ref().and_then(|newer| newer.get(&seat.place));
        if taken.gone || newer.is_some_and(|number| seat.number < *number) {
            return;
        }
        if !taken.places.contains(&seat.place) {
            taken.places.push(seat.place);
        }
        self.listen(session, *seat);
    }

    /// The open sessions of a user.
    pub(crate) fn present(&self, user: Key) -> Vec<Present> {
        self.users.get(&user).map(|user| user.present().collect()).unwrap_or_default()
    }

    /// Compares the sessions of a user here with those that another node says it has: of one name the later one stays,
    /// and of too many the latest. Answers whether there are any here.
    pub(crate) fn compare(&self, roll: Roll) -> bool {
        let Some(mut user) = self.users.get_mut(&roll.user) else { return false };
        user.compare(self.here, roll);
        true
    }

    /// A node is no more, nor are its sessions.
    pub(crate) fn forget_node(&self, node: Key) {
        self.users.iter_mut().for_each(|mut user| user.forget_node(node));
    }

    /// Takes from a session the seats of a channel that late events gave it, up to this number, and that it did not
    /// have any more when the store was read.
    pub(crate) fn unseat(&self, session: &Arc<Session>, channel: Key, number: i64, seats: &[Seat]) {
        let mut taken = session.seats();
        let Some(newer) = taken.newer.clone().filter(|newer| !newer.is_empty()) else { return };
        let is_over = |place: &Key| {
            newer.get(place).is_some_and(|newer| *newer <= number)
                && self.taken.get(place).is_some_and(|here| here.channel == channel)
                && !seats.iter().any(|seat| seat.place == *place)
        };
        let (over, left): (Vec<Key>, Vec<Key>) = taken.places.iter().partition(|place| is_over(place));
        taken.places = left;
        for place in over {
            self.stop_listening(session, place);
        }
    }

    /// Whether somebody sits in a channel.
    pub(crate) fn sits(&self, channel: Key) -> bool {
        self.channels.contains_key(&channel)
    }

    /// Whether a user has sessions here.
    pub(crate) fn has(&self, user: Key) -> bool {
        self.users.contains_key(&user)
    }

    /// Whether an event names somebody who has sessions here, or moves them.
    pub(crate) fn concerned(&self, event: &Event) -> bool {
        named(event).any(|user| self.has(user))
    }

    /// Takes a session out.
    pub(crate) fn leave(&self, session: &Arc<Session>) {
        let mut taken = session.seats();
        taken.gone = true;
        for place in std::mem::take(&mut taken.places) {
            self.stop_listening(session, place);
        }
        drop(taken);
        if let Some(mut user) = self.users.get_mut(&session.user) {
            user.leave(session);
        }
        self.users.remove_if(&session.user, |_, user| user.sessions.is_empty());
    }

    /// Tells everyone whom an event is for, and follows what it changes. `told` answers up to when all was told, and
    /// is asked before this event is. Who is `sleeping` is woken up by the caller.
    pub(crate) fn tell_since(
        &self,
        event: &Event,
        committed_at: Option<Instant>,
        told: impl FnOnce() -> Timestamp,
        sleeping: &mut Told,
    ) {
        self.told.fetch_add(1, Ordering::Relaxed);
        #[cfg(test)]
        assert_ne!(event.payload, PLANTED_PANIC);
        let mut told = Some(told);
        for step in event.steps() {
            match step {
                Step::Tell(audience) => {
                    if let Some(told) = told.take() {
                        self.tell_audience((event, committed_at), audience, told, sleeping);
                    }
                }
                Step::Change(Change::Joined { member, sub_channel: place, hidden }) => {
                    self.follow(event, *member, *place, Some(*hidden));
                }
                Step::Change(Change::Left { member, sub_channel, .. }) => {
                    self.follow(event, *member, *sub_channel, None);
                }
                Step::Change(Change::Ended { sub_channel }) => self.clear(*sub_channel),
                Step::Change(Change::Gone { user }) => self.end_sessions_of(*user),
            }
        }
    }

    /// The same, of an event of which nobody knows when it was committed.
    #[cfg(test)]
    pub(crate) fn tell(&self, event: &Event, told: impl FnOnce() -> Timestamp) {
        self.tell_since(event, None, told, &mut Told::default());
    }

    fn tell_audience(
        &self,
        (event, committed_at): (&Event, Option<Instant>),
        audience: &Audience,
        told: impl FnOnce() -> Timestamp,
        sleeping: &mut Told,
    ) {
        // Made for the first who is told, and then shared: of most channels nobody listens.
        let told = LazyCell::new(told);
        let made = |text: String| Frame { bytes: frames::text(&text), committed_at };
        let frame = LazyCell::new(|| made(event.frame(*told)));
        let whole_frame = LazyCell::new(|| {
            if event.has_more_for_some() { made(event.whole_frame(*told)) } else { frame.clone() }
        });
        // A moderator may sit in several places of an elastic channel.
        let mut told_already = (1 < audience.sub_channels.len()).then(HashSet::new);
        for place in &audience.sub_channels {
            let Some(here) = self.taken.get(place) else { continue };
            for (number, listener) in &here.listeners {
                // Those who are named are told below, once, wherever they sit.
                let is_told =
                    audience.tells_members(listener.hidden) && !audience.names(listener.session.user);
                let told_already = told_already.as_mut().is_some_and(|all| !all.insert(*number));
                if is_told && !told_already {
                    sleeping.tell(&listener.session, event, &frame);
                }
            }
        }
        for user in &audience.users {
            if let Some(user) = self.users.get(user) {
                user.sessions.iter().for_each(|session| sleeping.tell(session, event, &whole_frame));
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
            if let Some(here) = self.taken.get(place) {
                here.listeners.values().for_each(|listener| listener.session.end(Close::INTERNAL));
            }
        }
        self.end_users(named(event));
    }

    /// Ends the sessions of everyone who sits in a channel, and of those who are named: there is something in it that
    /// cannot be told.
    pub(crate) fn break_off(&self, channel: Key, named: &[Key]) {
        for place in self.taken.iter().filter(|place| place.channel == channel) {
            place.listeners.values().for_each(|listener| listener.session.end(Close::INTERNAL));
        }
        self.end_users(named.iter().copied());
    }

    fn end_users(&self, users: impl Iterator<Item = Key>) {
        for user in users {
            if let Some(user) = self.users.get(&user) {
                user.sessions.iter().for_each(|session| session.end(Close::INTERNAL));
            }
        }
    }

    /// Ends everybody's subscription of a place that is no more. A session that is just being seated may still
    /// take its seat there: no event will come, and it gives it up when it leaves.
    fn clear(&self, place: Key) {
        let Some((_, here)) = self.taken.remove(&place) else { return };
        self.end_place(here.channel);
        for listener in here.listeners.values() {
            listener.session.seats().places.retain(|taken| *taken != place);
        }
    }

    /// Ends every session of a user who is no more.
    fn end_sessions_of(&self, user: Key) {
        if let Some(user) = self.users.get(&user) {
            user.sessions.iter().for_each(|session| session.end(Close::GONE));
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

    /// Counts a reading of the store for what did not arrive.
    pub(crate) fn count_look(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the store was read for what did not arrive.
    pub(crate) fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// Events that were told.
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    /// Counts an event that the bus brought.
    pub(crate) fn count_news(&self) {
        self.news.fetch_add(1, Ordering::Relaxed);
    }

    /// Events of other nodes that the bus brought.
    pub(crate) fn news(&self) -> u64 {
        self.news.load(Ordering::Relaxed)
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
        self.sessions().iter().for_each(|session| session.end(close));
    }

    /// Every session that there is.
    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        self.users.iter().flat_map(|user| user.sessions.clone()).collect()
    }

    /// Every session of a user takes a seat in a place, hidden or not, or gives it up, by what an event says.
    fn follow(&self, event: &Event, member: Key, place: Key, seat: Option<bool>) {
        let sessions = self.users.get(&member).map(|user| user.sessions.clone()).unwrap_or_default();
        for session in sessions.iter().filter(|session| !session.knows(event)) {
            let mut taken = session.seats();
            if let Some(newer) = &mut taken.newer {
                newer.insert(place, event.sequence);
            }
            match seat {
                Some(hidden) if !taken.gone => {
                    if !taken.places.contains(&place) {
                        taken.places.push(place);
                    }
                    let seat = Seat { channel: event.channel, place, hidden, number: event.sequence };
                    self.listen(session, seat);
                }
                Some(_) => {}
                None => {
                    taken.places.retain(|taken| *taken != place);
                    self.stop_listening(session, place);
                }
            }
        }
    }

    fn listen(&self, session: &Arc<Session>, Seat { channel, place, hidden, .. }: Seat) {
        let listener = Listener { session: session.clone(), hidden };
        let mut here = self.taken.entry(place).or_insert_with(|| {
            *self.channels.entry(channel).or_default() += 1;
            Place { channel, listeners: HashMap::new() }
        });
        here.listeners.insert(session.number, listener);
    }

    fn stop_listening(&self, session: &Arc<Session>, place: Key) {
        if let Some(mut here) = self.taken.get_mut(&place) {
            here.listeners.remove(&session.number);
        }
        if let Some((_, here)) = self.taken.remove_if(&place, |_, here| here.listeners.is_empty()) {
            self.end_place(here.channel);
        }
    }

    fn end_place(&self, channel: Key) {
        if let Some(mut places) = self.channels.get_mut(&channel) {
            *places -= 1;
        }
        self.channels.remove_if(&channel, |_, places| *places == 0);
    }
}

/// Those whom an event names, or moves.
pub(crate) fn named(event: &Event) -> impl Iterator<Item = Key> {
    carillon_model::event::named(&event.audience, &event.changes)
}

#[cfg(test)]
mod tests;
