//! Up to where this node has told the events of each channel that somebody here listens to.
//!
//! A pure state machine. The store is the truth, and what arrives is news of it: lost, twice, late, in any order. The
//! numbers of a channel only grow, and none is committed before those below it are settled. So the next number is told
//! at once, a lower one was told, and a higher one waits a moment for what is missing; then the store is looked at,
//! which also knows where numbers were left out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use carillon_model::Key;
use carillon_model::event::Event;
use tokio::time::Instant;

/// How long an event waits for those before it, which are on their way from another node or another worker.
pub(crate) const LATE_FOR: Duration = Duration::from_millis(20);
/// Events of a channel that wait for those before them. Of more, only the numbers are kept: the store has the rest.
const HELD_LEN_MAX: usize = 256;
/// How long a channel is kept in which nobody sits, since an event last named somebody: more may follow, and what was
/// told is known for as long as it may be heard of again.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Order<G> {
    /// Tell this event; the guard is dropped once that is done.
    Tell(Event, Option<G>),
    /// All before this is told: drop these.
    Release(Vec<G>),
    /// Read the events of a channel from the store, from there on.
    Look(Key, From),
}

/// From where a channel is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// After this number.
    Number(i64),
    /// From the time before which everything was told, but after this number at the latest.
    Told(i64),
}

/// The channels of one teller. A guard is held until what it stands for has been told.
#[derive(Debug)]
pub(crate) struct Ledger<G> {
    /// Nobody else commits: what arrives is all there is, once, and of one worker in its order.
    alone: bool,
    channels: HashMap<Key, Channel<G>>,
    /// Channels that wait for a number, and until when.
    late: VecDeque<(Instant, Key)>,
}

#[derive(Debug)]
struct Channel<G> {
    /// All up to this was told; nothing while that is being found out, or need not be.
    told: Option<i64>,
    /// Where nobody sat down yet, in a process that is alone: the highest number that was told as it came.
    came: i64,
    /// Numbers below that which the store holds, and which came before or are to come.
    passed: Vec<i64>,
    /// The highest number that is known to be committed.
    heard: i64,
    /// What waits for those before it; a number that no event has, without one.
    held: BTreeMap<i64, Option<(Event, Option<G>)>>,
    /// Guards of events that are not held.
    guards: Vec<G>,
    /// The store is being read; `heard` as it was then.
    looking: Option<i64>,
    /// Of a channel that is new here: after this number nothing is known to be told.
    known: i64,
    is_late: bool,
    kept_until: Instant,
}

impl<G> Channel<G> {
    /// An event is told as it comes.
    fn come(&mut self, number: i64) {
        self.came = self.came.max(number);
        self.heard = self.heard.max(number);
    }

    fn look(&mut self, channel: Key) -> Option<Order<G>> {
        if self.looking.is_some() {
            return None;
        }
        self.looking = Some(self.heard);
        Some(Order::Look(channel, self.told.map_or(From::Told(self.known), From::Number)))
    }

    /// Tells what is held and next.
    fn go_on(&mut self, orders: &mut Vec<Order<G>>) {
        let Some(told) = &mut self.told else { return };
        while let Some(entry) = self.held.first_entry() {
            if *told + 1 < *entry.key() {
                break;
            }
            let (number, held) = entry.remove_entry();
            if number == *told + 1 {
                *told = number;
                orders.extend(held.map(|(event, guard)| Order::Tell(event, guard)));
            }
        }
        if self.heard <= *told && self.looking.is_none() && !self.guards.is_empty() {
            orders.push(Order::Release(std::mem::take(&mut self.guards)));
        }
    }
}

impl<G> Ledger<G> {
    /// Of a process that is alone, or of one of several nodes.
    pub(crate) fn new(alone: bool) -> Self {
        Self { alone, channels: HashMap::new(), late: VecDeque::new() }
    }

    /// An event came, of which `concerns` says whether somebody here is named in it.
    pub(crate) fn arrive(
        &mut self,
        event: Event,
        guard: Option<G>,
        concerns: impl FnOnce(&Event) -> bool,
        now: Instant,
    ) -> Vec<Order<G>> {
        let mut orders = Vec::new();
        let (key, number) = (event.channel, event.sequence);
        let concerns = concerns(&event);
        let Some(channel) = self.channels.get_mut(&key) else {
            let alone = self.alone;
            if concerns {
                let channel = self.begin(key, number - 1, now);
                if alone {
                    channel.come(number);
                    orders.push(Order::Tell(event, guard));
                    return orders;
                }
                channel.heard = number;
                channel.guards.extend(guard);
                orders.extend(channel.look(key));
            }
            return orders;
        };
        if concerns {
            channel.kept_until = now + KEPT_FOR;
        }
        if self.alone && channel.told.is_none() && channel.looking.is_none() {
            channel.come(number);
            orders.push(Order::Tell(event, guard));
            return orders;
        }
        if channel.told.is_some_and(|told| number <= told) {
            if let Some(place) = channel.passed.iter().position(|passed| *passed == number) {
                channel.passed.swap_remove(place);
                orders.push(Order::Tell(event, guard));
            }
            return orders;
        }
        channel.heard = channel.heard.max(number);
        if channel.told == Some(number - 1) {
            // As nearly always.
            channel.told = Some(number);
            orders.push(Order::Tell(event, guard));
        } else if channel.held.len() < HELD_LEN_MAX {
            channel.held.insert(number, Some((event, guard)));
        } else {
            channel.guards.extend(guard);
            orders.extend(channel.look(key));
        }
        channel.go_on(&mut orders);
        if !channel.held.is_empty() && !channel.is_late && channel.looking.is_none() {
            channel.is_late = true;
            self.late.push_back((now + LATE_FOR, key));
        }
        orders
    }

    /// No event has this number, or ever will.
    pub(crate) fn skip(&mut self, key: Key, number: i64) -> Vec<Order<G>> {
        let mut orders = Vec::new();
        let Some(channel) = self.channels.get_mut(&key) else { return orders };
        if channel.told.is_none_or(|told| told < number) && channel.held.len() < HELD_LEN_MAX {
            channel.held.entry(number).or_default();
            channel.go_on(&mut orders);
        }
        orders
    }

    /// Another way said that this number was committed; `concerns` somebody here by name, or not.
    pub(crate) fn hint(
        &mut self,
        key: Key,
        number: i64,
        guard: Option<G>,
        concerns: bool,
        now: Instant,
    ) -> Option<Order<G>> {
        if concerns && !self.channels.contains_key(&key) {
            self.begin(key, number - 1, now);
        }
        let channel = self.channels.get_mut(&key)?;
        if channel.told.is_some_and(|told| number <= told) {
            return None;
        }
        channel.heard = channel.heard.max(number);
        channel.guards.extend(guard);
        channel.look(key)
    }

    /// Something may have been committed under a number that nobody knows; `concerns` somebody here by name, or not.
    pub(crate) fn look_again(&mut self, key: Key, concerns: bool, now: Instant) -> Option<Order<G>> {
        if concerns {
            self.begin(key, i64::MAX, now);
        }
        self.channels.get_mut(&key)?.look(key)
    }

    /// When the next event has waited long enough.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.late.front().map(|(at, _)| *at)
    }

    /// Events have waited long enough for those before them.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Order<G>> {
        let mut orders = Vec::new();
        while let Some((_, key)) = self.late.pop_front_if(|(at, _)| *at <= now) {
            let Some(channel) = self.channels.get_mut(&key) else { continue };
            channel.is_late = false;
            if !channel.held.is_empty() {
                orders.extend(channel.look(key));
            }
        }
        orders
    }

    /// The store was read: these are the events from where it was to be read from, up to its end, or only a page of
    /// them. `concerns` says of each whether somebody here is named in it.
    pub(crate) fn looked(
        &mut self,
        key: Key,
        (events, to_the_end): (Vec<Event>, bool),
        concerns: impl Fn(&Event) -> bool,
        now: Instant,
    ) -> Vec<Order<G>> {
        let mut orders = Vec::new();
        let Some(channel) = self.channels.get_mut(&key) else { return orders };
        let heard = channel.looking.take().unwrap_or_default();
        for event in events {
            if channel.told.is_none_or(|told| told < event.sequence) {
                channel.told = Some(event.sequence);
                if concerns(&event) {
                    channel.kept_until = now + KEPT_FOR;
                }
                if event.sequence <= channel.came {
                    channel.passed.push(event.sequence);
                    continue;
                }
                let guard = channel.held.remove(&event.sequence).flatten().and_then(|(_, guard)| guard);
                orders.push(Order::Tell(event, guard));
            }
        }
        if to_the_end {
            // What is not there up to here was never emitted, or is no more.
            channel.told = channel.told.max(Some(heard));
        }
        if !to_the_end
            || channel.told.is_none_or(|told| told < channel.heard && !channel.held.contains_key(&(told + 1)))
        {
            orders.extend(channel.look(key));
        }
        channel.go_on(&mut orders);
        orders
    }

    /// The event after what was told cannot be read: whoever it is for was told so, and the channel goes on after it.
    pub(crate) fn pass_over(&mut self, key: Key, number: i64) -> Vec<Order<G>> {
        let mut orders = Vec::new();
        let Some(channel) = self.channels.get_mut(&key) else { return orders };
        channel.looking = None;
        channel.told = channel.told.max(Some(number));
        channel.held = channel.held.split_off(&(number + 1));
        orders.extend(channel.look(key));
        channel.go_on(&mut orders);
        orders
    }

    /// Somebody sits in a channel whose events they know up to this number. Answers up to where they were told here,
    /// and what is to be done in a channel that is new here: of what was committed lately, somebody else here may be
    /// named in something that did not arrive yet.
    pub(crate) fn follow(&mut self, key: Key, number: i64, now: Instant) -> (Option<i64>, Option<Order<G>>) {
        if let Some(channel) = self.channels.get_mut(&key) {
            channel.kept_until = now + KEPT_FOR;
            channel.heard = channel.heard.max(number);
            if channel.told.is_some() {
                return (channel.told, None);
            }
            channel.known = number;
            return (None, channel.look(key));
        }
        let channel = self.begin(key, number, now);
        channel.heard = number;
        (None, channel.look(key))
    }

    /// Up to where a channel was told here.
    pub(crate) fn told(&self, key: Key) -> Option<i64> {
        self.channels.get(&key).and_then(|channel| channel.told)
    }

    /// Forgets the channels that nobody sits in, and that nothing happened in for a while; answers which.
    pub(crate) fn forget(&mut self, sits: impl Fn(Key) -> bool, now: Instant) -> Vec<Key> {
        let is_idle = |key: &Key, channel: &mut Channel<G>| {
            channel.kept_until <= now && channel.looking.is_none() && channel.held.is_empty() && !sits(*key)
        };
        self.channels.extract_if(|key, channel| is_idle(key, channel)).map(|(key, _)| key).collect()
    }

    fn begin(&mut self, key: Key, known: i64, now: Instant) -> &mut Channel<G> {
        self.channels.entry(key).or_insert_with(|| Channel {
            told: None,
            came: 0,
            passed: Vec::new(),
            heard: 0,
            known,
            held: BTreeMap::new(),
            guards: Vec::new(),
            looking: None,
            is_late: false,
            kept_until: now + KEPT_FOR,
        })
    }
}

#[cfg(test)]
mod histories;
