//! Three nodes under a bus that lies: it drops, doubles, delays and reorders. One of them may die. Whatever happens,
//! each session gets every event that was committed for it, once and in the order of its channel, and what its client
//! would resume from is never too late.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use carillon_model::Timestamp;
use carillon_model::event::{Audience, Change, EventId, EventMessageType, EventType, Seats};
use carillon_model::session::{Entrance, Seat};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::floors::{Floors, Pass};
use crate::journal::{Body, Journal};
use crate::news::Roll;
use crate::places::{Places, named};
use crate::session::Session;

/// Histories; each has a seed, which a failure names.
const HISTORIES: u64 = 1_500;
const STEPS: usize = 120;
const NODES: usize = 3;
const USERS: u8 = 4;
const CHANNELS: u8 = 2;
/// How far a node's clock is ahead of the first one's, by its number.
const SKEW_MS: i64 = 900;
const LOOK_LEN: usize = 3;

fn channel(number: u8) -> Key {
    Key([100 + number; 16])
}

fn user(number: u8) -> Key {
    Key([1 + number; 16])
}

/// What is held until an event was told, or a beat.
enum Held {
    Own(Rc<RefCell<BTreeMap<u64, i64>>>, u64),
    Other(#[expect(dead_code, reason = "held for its end")] Pass),
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Self::Own(held, number) = self {
            held.borrow_mut().remove(number);
        }
    }
}

type Guard = Rc<Held>;

struct Node {
    key: Key,
    ledger: Ledger<Guard>,
    places: Places,
    journal: Journal,
    floors: Arc<Floors>,
    /// The floors of what it committed and did not tell.
    held: Rc<RefCell<BTreeMap<u64, i64>>>,
    latest: i64,
    skew: i64,
    /// What it committed, on its way to its own ledger.
    own: Vec<(Event, Guard)>,
    looks: Vec<(Key, From)>,
    subscribed: Vec<Key>,
    /// Up to which beat of each other node it read; nothing once that was buried.
    read: HashMap<usize, i64>,
    beats: i64,
    is_dead: bool,
    /// It did not begin yet.
    is_absent: bool,
}

struct Client {
    node: usize,
    user: Key,
    session: Arc<Session>,
    /// What had been committed when it began; nothing before.
    established: Option<usize>,
    came: Vec<EventId>,
}

struct World {
    /// There is one node.
    alone: bool,
    random: StdRng,
    now: i64,
    committed: Vec<Event>,
    /// Whom each event told.
    told: Vec<Vec<Key>>,
    seats: Seats,
    hidden: BTreeMap<(Key, Key), bool>,
    numbers: BTreeMap<Key, i64>,
    clocks: BTreeMap<Key, i64>,
    nodes: Vec<Node>,
    beats: Vec<Vec<(i64, i64, Body)>>,
    bus: Vec<(usize, Event)>,
    clients: Vec<Client>,
    next_guard: u64,
}

impl World {
    fn new(seed: u64, alone: bool) -> Self {
        let node = |number: usize| Node {
            key: Key([200 + u8::try_from(number).unwrap(); 16]),
            ledger: Ledger::new(alone),
            places: Places::new(Key([200 + u8::try_from(number).unwrap(); 16])),
            journal: Journal::default(),
            floors: Arc::default(),
            held: Rc::default(),
            latest: 0,
            skew: SKEW_MS * i64::try_from(number).unwrap(),
            own: Vec::new(),
            looks: Vec::new(),
            subscribed: Vec::new(),
            read: HashMap::new(),
            beats: 0,
            is_dead: false,
            is_absent: false,
        };
        let mut world = Self {
            alone,
            random: StdRng::seed_from_u64(seed),
            now: 1_000_000,
            committed: Vec::new(),
            told: Vec::new(),
            seats: Seats::default(),
            hidden: BTreeMap::new(),
            numbers: BTreeMap::new(),
            clocks: BTreeMap::new(),
            nodes: (0..NODES).map(node).collect(),
            beats: vec![Vec::new(); NODES],
            bus: Vec::new(),
            clients: Vec::new(),
            next_guard: 0,
        };
        // The one whose clock is last may come later.
        world.nodes[0].is_absent = !alone && world.random.random_bool(0.5);
        for other in world.nodes.iter_mut().skip(1) {
            other.is_dead = alone;
        }
        for node in world.live().into_iter().cycle().take(2 * NODES) {
            world.beat(node);
        }
        world
    }

    fn live(&self) -> Vec<usize> {
        let is_live = |node: &usize| !self.nodes[*node].is_dead && !self.nodes[*node].is_absent;
        (0..NODES).filter(is_live).collect()
    }

    fn told_at(&self, node: usize) -> i64 {
        let node = &self.nodes[node];
        let own = node.held.borrow().values().min().copied().unwrap_or(node.latest);
        if self.alone { own } else { own.min(node.floors.told().ms()) }
    }

    /// Something is committed at a node: an event of a channel, under its next number or a later one.
    fn commit(&mut self, at: usize) {
        let key = channel(self.random.random_range(0..CHANNELS));
        let who = user(self.random.random_range(0..USERS));
        let sits = self.hidden.get(&(key, who)).copied();
        let hidden = self.random.random_bool(0.2);
        let (audience, changes) = match (self.random.random_range(0..5), sits) {
            (0, None) => {
                let joined = Change::Joined { member: who, sub_channel: key, hidden };
                let audience =
                    if hidden { Audience::only([who]) } else { Audience::open_members_and(key, who) };
                self.hidden.insert((key, who), hidden);
                (audience, vec![joined])
            }
            (0, Some(hidden)) => {
                self.hidden.remove(&(key, who));
                let left = Change::Left { member: who, sub_channel: key, hidden };
                (Audience::open_members_and(key, who), vec![left])
            }
            (1, _) => (Audience::only([who]), Vec::new()),
            _ => (Audience::members(key), Vec::new()),
        };
        let gap = i64::from(self.random.random_bool(0.1));
        let says = self.random.random_bool(0.5);
        let number = self.numbers.entry(key).or_default();
        *number += 1 + gap;
        let blank = (gap == 1 && says).then_some(*number - 1);
        let node = &mut self.nodes[at];
        let floor = node.latest;
        node.latest = node.latest.max(self.now + node.skew);
        let clock = self.clocks.entry(key).or_default();
        *clock = node.latest.max(*clock);
        let event = Event {
            channel: key,
            sequence: *number,
            at: Timestamp::from_ms(*clock),
            kind: EventType::CreateChannelMessage,
            message_type: EventMessageType::Standard,
            audience,
            changes,
            message: None,
            reason: None,
            payload: String::new(),
        };
        self.told.push(self.seats.follow(&event));
        self.committed.push(event.clone());
        self.next_guard += 1;
        node.held.borrow_mut().insert(self.next_guard, floor);
        let guard = Rc::new(Held::Own(node.held.clone(), self.next_guard));
        // One that is alone has one worker.
        let place = if self.alone { 0 } else { self.random.random_range(0..=node.own.len()) };
        // Of one channel in any order, as from several workers.
        node.own.insert(place, (event, guard));
        // What it says of a number that no event has may come at any time, or never.
        if let Some(number) = blank {
            let orders = self.nodes[at].ledger.skip(key, number);
            self.carry_out(at, orders);
        }
    }

    /// A node takes up what it committed: it notes it, publishes it, and tells it.
    fn take_up(&mut self, at: usize) {
        let Some((event, guard)) = self.nodes[at].own.pop() else { return };
        self.nodes[at].journal.note(&event, false);
        for other in (0..NODES).filter(|other| *other != at) {
            let node = &self.nodes[other];
            let hears =
                node.subscribed.contains(&event.channel) || named(&event).any(|user| node.places.has(user));
            for _ in 0..[0, 1, 1, 2][self.random.random_range(0..4)] {
                if hears {
                    self.bus.push((other, event.clone()));
                }
            }
        }
        self.arrive(at, event, Some(guard));
    }

    fn arrive(&mut self, at: usize, event: Event, guard: Option<Guard>) {
        let node = &mut self.nodes[at];
        let concerns = |event: &Event| node.places.concerned(event);
        let orders = node.ledger.arrive(event, guard, concerns, Instant::now());
        self.carry_out(at, orders);
    }

    fn hint(&mut self, at: usize, (channel, number): (Key, i64), guard: &Guard, concerns: bool) {
        let node = &mut self.nodes[at];
        let order = node.ledger.hint(channel, number, Some(guard.clone()), concerns, Instant::now());
        self.carry_out(at, order);
    }

    fn carry_out(&mut self, at: usize, orders: impl IntoIterator<Item = Order<Guard>>) {
        for order in orders {
            let told = Timestamp::from_ms(self.told_at(at));
            let node = &mut self.nodes[at];
            match order {
                Order::Tell(event, guard) => {
                    node.places.tell(&event, || told);
                    drop(guard);
                }
                Order::Release(guards) => drop(guards),
                Order::Look(channel, from) => {
                    if !node.subscribed.contains(&channel) {
                        node.subscribed.push(channel);
                    }
                    node.looks.push((channel, from));
                }
            }
        }
    }

    fn look(&mut self, at: usize) {
        let told = Timestamp::from_ms(self.told_at(at));
        let node = &mut self.nodes[at];
        if node.looks.is_empty() {
            return;
        }
        let (key, from) = node.looks.swap_remove(self.random.random_range(0..node.looks.len()));
        let of_channel = self.committed.iter().filter(|event| event.channel == key);
        let after = match from {
            From::Number(number) => number,
            From::Told(known) => of_channel
                .clone()
                .filter(|event| event.at < told)
                .map(|event| event.sequence)
                .max()
                .unwrap_or(0)
                .min(known),
        };
        let mut events: Vec<Event> = of_channel.filter(|event| after < event.sequence).cloned().collect();
        let is_last = events.len() < LOOK_LEN;
        events.truncate(LOOK_LEN);
        let concerns = |event: &Event| named(event).any(|user| node.places.has(user));
        let orders = node.ledger.looked(key, (events, is_last), concerns, Instant::now());
        self.carry_out(at, orders);
    }

    /// A node writes a beat, and reads those of the others.
    fn beat(&mut self, at: usize) {
        let now = self.now + self.nodes[at].skew;
        let node = &mut self.nodes[at];
        node.latest = node.latest.max(now);
        let floor = node.held.borrow().values().min().copied().unwrap_or(node.latest);
        let key = node.key;
        let body = node.journal.take(|user, asks| Roll { node: key, user, sessions: Vec::new(), asks });
        self.beats[at].push((node.beats, floor, body));
        node.beats += 1;
        for other in (0..NODES).filter(|other| *other != at) {
            let from = self.nodes[at].read.get(&other).map_or(0, |read| read + 1);
            let new = self.beats[other].iter().skip(usize::try_from(from).unwrap()).cloned();
            for (number, floor, body) in new.collect::<Vec<_>>() {
                let key = self.nodes[other].key;
                let pass = self.nodes[at].floors.pass(key, number, Timestamp::from_ms(floor));
                let guard = Rc::new(Held::Other(pass));
                self.nodes[at].read.insert(other, number);
                let mut channels = body.channels;
                channels.sort_unstable();
                for (channel, number) in channels {
                    self.hint(at, (channel, number), &guard, false);
                }
                let mut named = body.named;
                named.sort_unstable();
                for (user, channel, number) in named {
                    if self.nodes[at].places.has(user) {
                        self.hint(at, (channel, number), &guard, true);
                    }
                }
            }
        }
        self.nodes[at].floors.looked(Timestamp::from_ms(now));
        let node = &self.nodes[at];
        for client in self.clients.iter().filter(|client| client.node == at) {
            client.session.catch_up(|channel| node.ledger.told(channel), false);
        }
    }

    /// A node died: what it left is looked for.
    fn bury(&mut self, at: usize, dead: usize) {
        let key = self.nodes[dead].key;
        let since = self.nodes[at].floors.of(key).unwrap();
        let guard = Rc::new(Held::Other(self.nodes[at].floors.pass(key, i64::MAX, since)));
        for event in self.committed.clone().into_iter().filter(|event| since <= event.at) {
            let concerns = named(&event).any(|user| self.nodes[at].places.has(user));
            self.hint(at, (event.channel, event.sequence), &guard, concerns);
        }
        self.nodes[at].floors.forget(key);
    }

    fn connect(&mut self) {
        let (node, user) =
            (*self.live().choose(&mut self.random).unwrap(), user(self.random.random_range(0..USERS)));
        let session = self.nodes[node].places.enter(Entrance {
            user,
            client: self.clients.len().to_string(),
            admitted_at: Timestamp::from_ms(0),
            sessions_max: usize::MAX,
            begins_in: Duration::ZERO,
            frames_max: 1,
        });
        self.clients.push(Client { node, user, session, established: None, came: Vec::new() });
    }

    /// The seats of a session are read; whether it takes them at once or later, others go on.
    fn sit(&mut self, events: usize) {
        let waiting = self.clients.iter().position(|client| client.established.is_none());
        let Some(index) = waiting else { return };
        let (at, user) = (self.clients[index].node, self.clients[index].user);
        if self.nodes[at].is_dead {
            self.clients[index].established = Some(usize::MAX);
            return;
        }
        let seats = self.hidden.iter().filter(|((_, who), _)| *who == user);
        let seats: Vec<Seat> = seats
            .map(|((channel, _), hidden)| {
                let (channel, hidden) = (*channel, *hidden);
                Seat { channel, place: channel, hidden, number: self.numbers[&channel] }
            })
            .collect();
        let since = self.told_at(at);
        let told = self.committed.iter().zip(&self.told);
        let lately = told.filter(|(event, told)| since <= event.at.ms() && told.contains(&user));
        let left =
            lately.map(|(event, _)| event.channel).filter(|key| !self.hidden.contains_key(&(*key, user)));
        let left: BTreeMap<Key, i64> = left.map(|key| (key, self.numbers[&key])).collect();
        for _ in 0..events {
            self.step(false);
        }
        if self.random.random_bool(0.2) {
            // It takes long, and everything else goes on.
            for at in self.live().into_iter().cycle().take(2 * NODES) {
                self.now += 1_500;
                while !self.nodes[at].own.is_empty() {
                    self.take_up(at);
                }
                self.beat(at);
            }
        }
        let session = self.clients[index].session.clone();
        if self.nodes[at].is_dead {
            self.clients[index].established = Some(usize::MAX);
            return;
        }
        for (channel, number) in left {
            session.sit_ahead(channel, number);
            self.nodes[at].places.unseat(&session, channel, number, &seats);
        }
        for seat in seats.clone() {
            let node = &mut self.nodes[at];
            let (told, order) = node.ledger.follow(seat.channel, seat.number, Instant::now());
            if told.is_none_or(|told| told < seat.number) {
                session.sit_ahead(seat.channel, seat.number);
            }
            node.places.unseat(&session, seat.channel, seat.number, &seats);
            node.places.seat(&session, &seat);
            self.carry_out(at, order);
        }
        session.end_seating();
        session.begin(false);
        // What was committed before is in the store, where its client reads it.
        self.clients[index].established = Some(self.committed.len());
    }

    fn step(&mut self, may_sit: bool) {
        let live = self.live();
        let at = *live.choose(&mut self.random).unwrap();
        match self.random.random_range(0..20) {
            0..6 => self.commit(at),
            6..10 => self.take_up(at),
            10..14 if !self.bus.is_empty() => {
                let (to, event) = self.bus.swap_remove(self.random.random_range(0..self.bus.len()));
                if self.live().contains(&to) {
                    self.arrive(to, event, None);
                }
            }
            14 => self.look(at),
            15 => {
                self.now += self.random.random_range(0..50);
                let orders = self.nodes[at].ledger.tick(Instant::now() + LATE_FOR);
                self.carry_out(at, orders);
            }
            16 => self.beat(at),
            17 if may_sit => self.connect(),
            18 if may_sit => {
                let events = self.random.random_range(0..6);
                self.sit(events);
            }
            19 if may_sit && live.len() == NODES && self.random.random_bool(0.1) => {
                self.nodes[at].is_dead = true;
                self.bus.retain(|_| self.random.random_bool(0.5));
            }
            19 if self.nodes[0].is_absent => {
                self.nodes[0].is_absent = false;
                self.beat(0);
                (0..4).for_each(|_| self.commit(0));
            }
            _ => {}
        }
        self.receive();
    }

    fn receive(&mut self) {
        for client in &mut self.clients {
            for frame in client.session.take_waiting() {
                let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
                let id = frame["Headers"]["x-carillon-event-id"].as_str().unwrap();
                client.came.push(id.parse().unwrap());
            }
        }
    }

    /// Nothing more happens, and what is on its way arrives or does not.
    fn end(&mut self) {
        while self.clients.iter().any(|client| client.established.is_none()) {
            self.sit(0);
        }
        self.bus.shuffle(&mut self.random);
        for round in 0..4 {
            self.now += 3_000;
            for at in self.live() {
                while !self.nodes[at].own.is_empty() {
                    self.take_up(at);
                }
                self.beat(at);
                if round == 1
                    && !self.alone
                    && let Some(dead) = (0..NODES).find(|node| self.nodes[*node].is_dead)
                {
                    self.bury(at, dead);
                }
                let orders = self.nodes[at].ledger.tick(Instant::now() + LATE_FOR);
                self.carry_out(at, orders);
                while !self.nodes[at].looks.is_empty() {
                    self.look(at);
                }
            }
            self.receive();
        }
    }

    /// Holds what came against what was committed; answers how many events that were.
    fn check(&self) -> usize {
        let mut count = 0;
        for client in self.clients.iter().filter(|client| client.established != Some(usize::MAX)) {
            let is_alive = !self.nodes[client.node].is_dead;
            let established = client.established.unwrap();
            let due = |events: &[Event], from: usize| -> Vec<(Key, i64, i64)> {
                let told = events.iter().zip(&self.told).skip(from);
                let told = told.filter(|(_, told)| told.contains(&client.user));
                told.map(|(event, _)| (event.channel, event.sequence, event.at.ms())).collect()
            };
            let all = due(&self.committed, 0);
            let after = due(&self.committed, established);
            for key in (0..CHANNELS).map(channel) {
                let numbers = |due: &[(Key, i64, i64)]| -> Vec<i64> {
                    due.iter().filter(|(of, ..)| *of == key).map(|(_, number, _)| *number).collect()
                };
                let (all, after) = (numbers(&all), numbers(&after));
                let came = client.came.iter().filter_map(|id| id.last).filter(|(of, _)| *of == key);
                let came: Vec<i64> = came.map(|(_, number)| number).collect();
                // What was committed just before may come, too.
                let reached = all.len() - after.len();
                let first = came.first().map(|first| all.iter().position(|one| one == first));
                let start = first.unwrap_or(Some(reached)).unwrap_or_else(|| panic!("{came:?} of {all:?}"));
                assert!(start <= reached, "a session began too late");
                let run = &all[start..];
                assert!(run.starts_with(&came), "{came:?} is no run of {run:?}");
                assert!(!is_alive || run == came, "{came:?} is not all of {run:?}");
                count += came.len();
            }
            // Whoever resumes from a frame is shown what is not before its time.
            for (place, id) in client.came.iter().enumerate() {
                let had = &client.came[..=place];
                let missed = after.iter().find(|(channel, number, at)| {
                    *at < id.told.ms() && !had.iter().any(|id| id.last == Some((*channel, *number)))
                });
                assert_eq!(missed, None, "it would be lost to whoever resumes from {id}");
            }
        }
        count
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_the_bus_does_each_session_gets_all_of_its_events_in_order() {
    let first = std::env::var("CARILLON_HISTORY").ok().and_then(|seed| seed.parse().ok());
    let seeds = first.map_or(0..HISTORIES, |seed: u64| seed..seed + 1);
    let (mut count, mut sessions) = (0, 0);
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed, seed % 5 == 0);
            for _ in 0..STEPS {
                world.step(true);
            }
            world.end();
            (world.check(), world.clients.len())
        });
        let (came, clients) = outcome.unwrap_or_else(|_| panic!("CARILLON_HISTORY={seed}"));
        (count, sessions) = (count + came, sessions + clients);
    }
    println!("{sessions} sessions, {count} events");
    assert!(first.is_some() || 10_000 < count);
}

#[tokio::test(start_paused = true)]
async fn what_was_told_to_somebody_who_left_is_not_told_again() {
    let (key, start) = (channel(0), Instant::now());
    let event = |sequence, users: &[u8]| Event {
        channel: key,
        sequence,
        at: Timestamp::from_ms(0),
        kind: EventType::DeleteChannelMembership,
        message_type: EventMessageType::System,
        audience: Audience::only(users.iter().map(|number| user(*number))),
        changes: Vec::new(),
        message: None,
        reason: None,
        payload: String::new(),
    };
    let concerns = |event: &Event| !event.audience.users.is_empty();
    for read in [false, true] {
        let mut ledger = Ledger::<()>::new(false);
        ledger.follow(key, 4, start);
        ledger.looked(key, (Vec::new(), true), concerns, start);
        // Long after that somebody leaves, and nobody sits there any more. That is heard of once more.
        let left = start + 2 * KEPT_FOR;
        let orders = if read {
            ledger.hint(key, 5, None, true, left);
            ledger.looked(key, (vec![event(5, &[1])], true), concerns, left)
        } else {
            ledger.arrive(event(5, &[1]), None, concerns, left)
        };
        assert!(matches!(orders[..], [Order::Tell(..)]), "{orders:?}");
        let soon = left + KEPT_FOR / 2;
        assert_eq!(ledger.forget(|_| false, soon), []);
        assert!(ledger.hint(key, 5, None, true, soon).is_none());
        // What names nobody keeps nothing.
        ledger.arrive(event(6, &[]), None, concerns, soon);
        assert_eq!(ledger.forget(|_| false, left + KEPT_FOR), [key]);
    }
}
