//! The end of a history: nothing goes wrong any more, and what is on its way arrives; then what the store holds is
//! read, and after two days what became of messages that waited for somebody who never answered.

use std::collections::BTreeMap;

use carillon_model::event::Event;
use carillon_model::message::Message;
use carillon_model::{Key, MessageKey};
use carillon_service::error::Error;
use carillon_store::{self as store, Tx};
use serde_json::Value;

use crate::ground::{NODES, lock};
use crate::request::Asked;
use crate::scene::{USERS, WITH_FLOW};
use crate::world::World;

/// How often everybody does everything, and how much time passes each time: longer than any lease in all.
const ROUNDS: usize = 40;
const ROUND_MS: i64 = 750;
/// Longer than a processor may take to call back.
const TWO_DAYS_MS: i64 = 49 * 60 * 60 * 1_000;
const EVENTS_MAX: i64 = 100_000;

/// What the store holds in the end.
pub(crate) struct Stored {
    /// The events of each channel, in their order.
    pub(crate) events: Vec<Vec<Event>>,
    /// The messages that were acknowledged, by their ids.
    pub(crate) messages: BTreeMap<String, Option<Message>>,
    /// Those of them that wait two days later.
    pub(crate) pending: Vec<String>,
}

impl World {
    /// Lets everything come to its end, and reads what there is then.
    pub(crate) fn end(&mut self) -> Stored {
        self.mend_disks();
        lock(&self.ground.stream).is_away = false;
        for number in 0..NODES {
            self.seats[number].rests_until_ms = 0;
            if self.seats[number].node.is_none() {
                self.start(number);
            }
        }
        for round in 0..ROUNDS {
            self.let_all_work();
            if round % 8 == 0 {
                self.come_back();
            }
        }
        (1..NODES).for_each(|number| self.kill(number));
        let events = self.read_events();
        let messages = self.read_messages();
        self.move_clock(TWO_DAYS_MS);
        self.run_jobs();
        let pending = self.find_pending();
        Stored { events, messages, pending }
    }

    fn let_all_work(&mut self) {
        self.step += 1;
        self.ground.step.store(self.step, std::sync::atomic::Ordering::Relaxed);
        self.move_clock(ROUND_MS);
        for number in 0..NODES {
            if let Some(node) = &mut self.seats[number].node {
                node.rest();
            }
        }
        self.take_answers();
        for packet in std::mem::take(&mut self.packets) {
            self.bring(packet);
        }
        self.look_at_tries();
        let news = std::mem::take(&mut lock(&self.ground.post).waiting);
        for (to, news) in news {
            if let Some(node) = &self.seats[to].node {
                node.hear(to, &news);
            }
        }
        for user in 0..USERS {
            self.read_socket(user);
        }
        while !lock(&self.ground.calls).is_empty() {
            self.answer_a_call();
        }
    }

    /// Whoever has no socket opens one.
    fn come_back(&mut self) {
        for user in 0..USERS {
            if self.socket_of(user).is_none() {
                self.connect(user);
            }
        }
    }

    fn run_jobs(&mut self) {
        if let Some(node) = &mut self.seats[0].node {
            for _ in 0..2 {
                let room = node.room.clone();
                node.finish(async move { room.run_jobs().await });
                node.rest();
            }
        }
    }

    /// The messages whose senders are told that they wait.
    fn find_pending(&mut self) -> Vec<String> {
        let in_flow: Vec<_> =
            self.known.iter().filter(|(channel, ..)| *channel == WITH_FLOW).cloned().collect();
        let mut pending = Vec::new();
        for (channel, message, sender) in in_flow {
            let asked = Asked::Status { channel, message: message.clone() };
            let request = asked.sign(&self.scene, sender, "end", self.now());
            let node = self.seats[0].node.as_mut().expect("the first node lives");
            let service = node.service.clone();
            let response = node.finish(async move { service.handle(request).await });
            let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
            if body["Status"]["Value"] == "PENDING" {
                pending.push(message);
            }
        }
        pending
    }

    fn read<T: Send + 'static>(&mut self, read: impl Fn(&mut Tx) -> store::Result<T> + Send + 'static) -> T {
        let node = self.seats[0].node.as_mut().expect("the first node lives");
        let service = node.service.clone();
        let read = move |tx: &mut Tx| Ok::<_, Error>(read(tx)?);
        let done = node.finish(async move { service.store().read(read).await });
        done.unwrap_or_else(|error| panic!("the store can be read: {error}"))
    }

    fn read_events(&mut self) -> Vec<Vec<Event>> {
        let keys: Vec<Key> = self.scene.channels.iter().map(|(_, key)| *key).collect();
        self.read(move |tx| keys.iter().map(|key| store::outbox::list(tx, *key, 0, EVENTS_MAX)).collect())
    }

    fn read_messages(&mut self) -> BTreeMap<String, Option<Message>> {
        let (scene, known) = (self.scene.clone(), self.known.clone());
        self.read(move |tx| {
            let mut messages = BTreeMap::new();
            for (channel, id, _) in &known {
                let place = scene.channels[*channel].1;
                let found = match MessageKey::from_hex(id) {
                    Some(key) => store::message::find(tx, &scene.instance, place, key)?,
                    None => None,
                };
                messages.insert(id.clone(), found);
            }
            Ok(messages)
        })
    }
}
