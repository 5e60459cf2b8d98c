//! This node: up to where it told each channel, whom it told, and what it said to the other nodes.

mod asides;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use carillon_model::event::Event;
use carillon_model::session::{Close, Entrance, Seated};
use carillon_model::{Key, Timestamp};
use carillon_store::outbox::Trace;
use carillon_store::{self as store, Error, Store, Tx};
use tokio::time::{Instant, sleep, sleep_until};

use crate::bus::{Subject, To};
use crate::floors::Floors;
use crate::held::Guard;
use crate::journal::Journal;
use crate::ledger::{From, KEPT_FOR, Ledger, Order};
use crate::news::{self, News, Roll};
use crate::places::{Places, named};
use crate::session::{Session, Told};

/// Tasks that tell what this node committed; the channels are spread over them.
pub(crate) const TELLERS: usize = 2;
/// Ledgers; the channels are spread over them, so that the telling in one seldom waits for that in another.
const LEDGERS: usize = 64;
/// Events of a channel that are read from the store at once.
const LOOK_LEN: i64 = 100;
/// How long until the store is asked again that could not be read.
const LOOK_RETRY_EVERY: Duration = Duration::from_millis(500);

/// What all tasks of the delivery share.
pub(crate) struct Node {
    pub(crate) key: Key,
    pub(crate) places: Places,
    pub(crate) bus: To,
    pub(crate) journal: Mutex<Journal>,
    pub(crate) floors: Arc<Floors>,
    ledgers: [Mutex<Ledger<Guard>>; LEDGERS],
    store: OnceLock<Weak<Store>>,
    /// Sessions that sat down ahead of what was told.
    ahead: Mutex<Vec<(Weak<Session>, Instant)>>,
    next_beat: AtomicI64,
    /// Whether other nodes live, as far as is known.
    others: AtomicBool,
}

impl Node {
    pub(crate) fn new(key: Key, bus: To) -> Arc<Self> {
        let ledgers = std::array::from_fn(|_| Mutex::new(Ledger::new(!bus.is_shared())));
        Arc::new(Self {
            key,
            places: Places::new(key),
            bus,
            journal: Mutex::default(),
            floors: Arc::default(),
            ledgers,
            store: OnceLock::new(),
            ahead: Mutex::default(),
            next_beat: AtomicI64::new(0),
            others: AtomicBool::new(false),
        })
    }

    /// Which task tells the events of a channel.
    pub(crate) fn teller_of(channel: Key) -> usize {
        usize::from(channel.0[0]) % TELLERS
    }

    /// Which ledger knows a channel.
    fn ledger_of(channel: Key) -> usize {
        usize::from(channel.0[0]) % LEDGERS
    }

    /// Where all that happened is read. A node without it, as tests have one, is told all there is.
    pub(crate) fn reads(&self, store: &Arc<Store>) {
        let _ = self.store.set(Arc::downgrade(store)); // It has one already.
    }

    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        self.store.get().and_then(Weak::upgrade)
    }

    /// Everything before this was told to whoever listens here.
    pub(crate) fn told(&self) -> Timestamp {
        self.store().map_or(Timestamp::from_ms(0), |store| store.told())
    }

    /// What this node committed is said to the others, and told here; whoever was `told` is woken up by the caller.
    pub(crate) fn committed(self: &Arc<Self>, event: Event, doubtful: bool, guard: Guard, told: &mut Told) {
        if self.bus.is_shared() {
            lock(&self.journal).note(&event, doubtful);
            if !doubtful {
                self.publish(&event);
            }
        }
        if doubtful {
            return self.doubt(&event);
        }
        self.arrived(event, Some(guard), told);
    }

    fn publish(&self, event: &Event) {
        // One that nobody knows yet reads the beats.
        if !self.others.load(Ordering::Relaxed) {
            return;
        }
        let bytes = Bytes::from(news::of_event(event));
        for user in named(event) {
            self.bus.publish(Subject::User(user), || bytes.clone());
        }
        self.bus.publish(Subject::Channel(event.channel), || bytes);
    }

    /// This node took a number that no event has.
    pub(crate) fn skipped(self: &Arc<Self>, channel: Key, number: i64) {
        self.bus.publish(Subject::Channel(channel), || news::of_blank(channel, number).into());
        self.skip(channel, number);
    }

    /// No event has this number, or ever will.
    pub(crate) fn skip(self: &Arc<Self>, channel: Key, number: i64) {
        self.keep(channel, |ledger, _| ledger.skip(channel, number));
    }

    /// An event came, from whomever.
    fn arrived(self: &Arc<Self>, event: Event, guard: Option<Guard>, sleeping: &mut Told) {
        let (channel, concerns) = (event.channel, |event: &Event| self.places.concerned(event));
        self.keep_for(sleeping, channel, |ledger, now| ledger.arrive(event, guard, concerns, now));
    }

    /// What another node said on the bus.
    pub(crate) fn heard(self: &Arc<Self>, bytes: &[u8]) {
        match News::read(bytes) {
            Some(News::Event(event)) => {
                self.places.count_news();
                self.arrived(event, None, &mut Told::default());
            }
            Some(News::Blank(channel, number)) => self.skip(channel, number),
            Some(News::Roll(roll)) => self.heard_roll(roll),
            Some(News::ReadMarkers(markers)) => self.places.tell_read_markers(&markers),
            None => tracing::debug!("news that this version does not know"),
        }
    }

    /// It is known that a channel has come to this number, and whether that names somebody here.
    pub(crate) fn hint(self: &Arc<Self>, channel: Key, number: i64, guard: Option<Guard>, concerns: bool) {
        self.keep(channel, |ledger, now| ledger.hint(channel, number, guard, concerns, now));
    }

    /// In a channel something may have been committed of which nobody knows the number.
    pub(crate) fn look_again(self: &Arc<Self>, channel: Key, concerns: bool) {
        self.keep(channel, |ledger, now| ledger.look_again(channel, concerns, now));
    }

    /// Says whether other nodes live.
    pub(crate) fn has_others(&self, others: bool) {
        self.others.store(others, Ordering::Relaxed);
    }

    /// The number of the next beat.
    pub(crate) fn next_beat(&self) -> i64 {
        self.next_beat.fetch_add(1, Ordering::Relaxed)
    }

    /// Looks for what has waited long enough, for as long as something of a ledger waits.
    async fn look_for_late(self: Arc<Self>, ledger: usize, mut due_at: Instant) {
        loop {
            sleep_until(due_at).await;
            let mut ledger = lock(&self.ledgers[ledger]);
            let orders = ledger.tick(Instant::now());
            self.carry_out(orders, &mut Told::default());
            match ledger.due_at() {
                Some(next) => due_at = next,
                None => return,
            }
        }
    }

    /// Enters a session, and says so: from here on what happens to its user reaches it.
    pub(crate) fn enter(&self, entrance: Entrance) -> Arc<Session> {
        self.bus.subscribe(Subject::User(entrance.user));
        let session = self.places.enter(entrance);
        self.call_roll(session.user, true);
        session
    }

    /// Takes a session out, and says so.
    pub(crate) fn leave(&self, session: &Arc<Session>) {
        self.places.leave(session);
        self.call_roll(session.user, false);
        if !self.places.has(session.user) {
            self.bus.unsubscribe(Subject::User(session.user));
            if self.places.has(session.user) {
                self.bus.subscribe(Subject::User(session.user));
            }
        }
    }

    /// Gives a session its seats, as the store was read to hold them.
    pub(crate) fn seat(self: &Arc<Self>, session: &Arc<Session>, seated: &Seated) {
        let mut is_ahead = !seated.left.is_empty();
        for (channel, number) in &seated.left {
            self.keep(*channel, |_, _| {
                session.sit_ahead(*channel, *number);
                self.places.unseat(session, *channel, *number, &seated.seats);
                None
            });
        }
        for seat in &seated.seats {
            self.keep(seat.channel, |ledger, now| {
                let (told, order) = ledger.follow(seat.channel, seat.number, now);
                if told.is_none_or(|told| told < seat.number) {
                    session.sit_ahead(seat.channel, seat.number);
                    is_ahead = true;
                }
                // While the ledger is held: what is told from here on is told to this session.
                self.places.unseat(session, seat.channel, seat.number, &seated.seats);
                self.places.seat(session, seat);
                order
            });
        }
        session.end_seating();
        if is_ahead {
            lock(&self.ahead).push((Arc::downgrade(session), Instant::now()));
        }
    }

    /// What is done now and then: forgets what is over.
    pub(crate) fn tidy(&self, is_told: bool) {
        let told = |channel: Key| lock(&self.ledgers[Self::ledger_of(channel)]).told(channel);
        let mut ahead = lock(&self.ahead);
        ahead.retain(|(session, since)| {
            let is_over = is_told && KEPT_FOR <= since.elapsed();
            session.upgrade().is_some_and(|session| session.catch_up(told, is_over))
        });
        drop(ahead);
        // A channel that is forgotten is told again from what is not sure to be told.
        if is_told {
            for ledger in &self.ledgers {
                let forgotten = lock(ledger).forget(|channel| self.places.sits(channel), Instant::now());
                for channel in forgotten {
                    self.bus.unsubscribe(Subject::Channel(channel));
                }
            }
        }
    }

    /// Says to the other nodes whom of a user this one has.
    pub(crate) fn call_roll(&self, user: Key, asks: bool) {
        if self.bus.is_shared() {
            lock(&self.journal).note_roll(user, asks);
            let roll = self.roll(user, asks);
            self.bus.publish(Subject::User(user), || news::of_roll(&roll).into());
        }
    }

    pub(crate) fn roll(&self, user: Key, asks: bool) -> Roll {
        Roll { node: self.key, user, sessions: self.places.present(user), asks }
    }

    /// Another node said whom of a user it has.
    pub(crate) fn heard_roll(&self, roll: Roll) {
        let (user, asks) = (roll.user, roll.asks);
        if roll.node != self.key && self.places.compare(roll) && asks {
            self.call_roll(user, false);
        }
    }

    /// Ends the sessions of all whom an event would be for of which nobody knows whether it happened.
    pub(crate) fn doubt(&self, event: &Event) {
        if catch_unwind(AssertUnwindSafe(|| self.places.doubt(event))).is_err() {
            tracing::error!("whom an event was for cannot be told; all sessions are closed");
            self.places.end_all(Close::INTERNAL);
        }
    }

    /// Changes what is known of a channel, and does what follows before anybody else may.
    fn keep<O: IntoIterator<Item = Order<Guard>>>(
        self: &Arc<Self>,
        channel: Key,
        change: impl FnOnce(&mut Ledger<Guard>, Instant) -> O,
    ) {
        self.keep_for(&mut Told::default(), channel, change);
    }

    /// The same; who is `sleeping` is woken up by the caller.
    fn keep_for<O: IntoIterator<Item = Order<Guard>>>(
        self: &Arc<Self>,
        sleeping: &mut Told,
        channel: Key,
        change: impl FnOnce(&mut Ledger<Guard>, Instant) -> O,
    ) {
        let place = Self::ledger_of(channel);
        let mut ledger = lock(&self.ledgers[place]);
        let was_late = ledger.due_at().is_some();
        let orders = change(&mut ledger, Instant::now());
        self.carry_out(orders, sleeping);
        if let (false, Some(due_at)) = (was_late, ledger.due_at()) {
            tokio::spawn(self.clone().look_for_late(place, due_at));
        }
    }

    fn carry_out(self: &Arc<Self>, orders: impl IntoIterator<Item = Order<Guard>>, sleeping: &mut Told) {
        for order in orders {
            match order {
                Order::Tell(event, guard) => {
                    self.tell(&event, guard.as_ref().and_then(|guard| guard.committed_at()), sleeping);
                    drop(guard);
                }
                Order::Release(guards) => drop(guards),
                Order::Look(channel, from) => {
                    self.bus.subscribe(Subject::Channel(channel));
                    tokio::spawn(self.clone().look(channel, from));
                }
            }
        }
    }

    /// Tells an event. A panic in that must not silence the channels of its teller: whoever may not have been told
    /// comes back to what the store holds, and the teller goes on.
    fn tell(&self, event: &Event, committed_at: Option<Instant>, sleeping: &mut Told) {
        let tell = || self.places.tell_since(event, committed_at, || self.told(), sleeping);
        if catch_unwind(AssertUnwindSafe(tell)).is_err() {
            let (channel, sequence) = (event.channel, event.sequence);
            self.places.count_panic();
            tracing::error!(%channel, sequence, "the telling of an event panicked; its sessions are closed");
            self.doubt(event);
        }
    }

    /// Reads what was not told, until it can be read.
    async fn look(self: Arc<Self>, channel: Key, from: From) {
        self.places.count_look();
        let (mut limit, mut is_said) = (LOOK_LEN, false);
        loop {
            let Some(store) = self.store() else { return };
            let told = store.told();
            let after = move |tx: &mut Tx| match from {
                From::Number(number) => Ok(number),
                From::Told(known) => Ok(store::outbox::find_before(tx, channel, told)?.min(known)),
            };
            let list = move |tx: &mut Tx| {
                let after = after(tx)?;
                store::outbox::list(tx, channel, after, limit)
            };
            match store.read(list).await {
                Ok(events) => {
                    let is_last = (events.len() as u64) < limit.unsigned_abs();
                    let concerns = |event: &Event| self.places.concerned(event);
                    return self.keep(channel, |ledger, now| {
                        ledger.looked(channel, (events, is_last), concerns, now)
                    });
                }
                // That the store is away or has too much to do it says itself.
                Err(Error::Busy | Error::Retry | Error::Unreachable(_)) => {}
                // What is before one that cannot be read is told first.
                Err(_) if 1 < limit => {
                    limit = 1;
                    continue;
                }
                Err(error) => {
                    let next = move |tx: &mut Tx| {
                        let after = after(tx)?;
                        store::outbox::find_next(tx, channel, after)
                    };
                    if let Ok(Some(trace)) = store.read(next).await {
                        return self.pass_over(trace, &error);
                    }
                    if !std::mem::replace(&mut is_said, true) {
                        tracing::error!(%channel, %error, "events cannot be read, nor told; that is tried again");
                    }
                }
            }
            drop(store);
            sleep(LOOK_RETRY_EVERY).await;
        }
    }

    /// Ends the sessions of all whom an event is for that cannot be read, and goes on after it.
    fn pass_over(self: &Arc<Self>, event: Trace, error: &Error) {
        let Trace { position: (_, channel, number), named } = event;
        tracing::error!(%channel, number, %error, "an event cannot be read; its sessions are closed");
        self.keep(channel, |ledger, _| {
            match named {
                Some(named) => self.places.break_off(channel, &named),
                None => self.places.end_all(Close::INTERNAL),
            }
            ledger.pass_over(channel, number)
        });
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
