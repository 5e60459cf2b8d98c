//! Beats: each second a node writes into the store what it told the others of, and reads what they say.
//!
//! So whatever the bus lost is found within a second or two, and so is a node that died: it says no more, and what it
//! committed since its last beat is looked for in the events of all channels.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use carillon_model::session::Close;
use carillon_model::{Key, Timestamp};
use carillon_store::beat::{self, Beat};
use carillon_store::outbox::Trace;
use carillon_store::{self as store, Lane, Store, Tx};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::floors::Pass;
use crate::held::Guard;
use crate::journal::Body;
use crate::node::{Node, lock};

/// How often a node says that it lives.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How long a node says nothing that has died, or that is as good as dead.
const DEAD_AFTER: Duration = Duration::from_secs(5);
/// Beats that are kept for nodes that were away; one that was away for longer looks through all that happened since.
const BEATS_KEPT: i64 = 60;
/// After how many beats those that are too old are deleted.
const BEATS_TRIMMED_EVERY: i64 = 10;
/// How long the beats of a node that died are kept, for the others.
const DEAD_KEPT_FOR: Duration = Duration::from_mins(1);
/// Beats that are read at once.
const BEATS_READ_MAX: i64 = 20;
/// Events that are looked through at once.
const SWEEP_LEN: i64 = 500;
/// How far back is looked. What is older may be no more, and whoever may have missed it has to begin anew: well within
/// what the outbox holds.
const SWEEP_WINDOW_MS: i64 = 10 * 60 * 1_000;
/// Channels are forgotten only while all is told that is older than this: less than how long they are kept.
const TOLD_WITHIN_MS: i64 = 10_000;
/// How often it is tried to say the last.
const LAST_TRIES_MAX: u32 = 3;

/// The beats of a node, and what it knows of the others.
pub(crate) struct Beats<N> {
    node: Arc<Node>,
    now: N,
    others: HashMap<Key, Other>,
}

/// Another node.
struct Other {
    /// The number of its latest beat.
    number: i64,
    /// When that was first seen.
    seen_at: Instant,
    /// It counts as dead, and what it left was looked for.
    is_dead: bool,
}

impl<N: Fn() -> Timestamp> Beats<N> {
    pub(crate) fn new(node: Arc<Node>, now: N) -> Self {
        Self { node, now, others: HashMap::new() }
    }

    /// Says that there is one more node, before it does anything, and finds the others.
    pub(crate) async fn begin(&mut self) -> store::Result<()> {
        let Some(store) = self.node.store() else { return Ok(()) };
        let now = (self.now)();
        write(&self.node, &store, now, false).await?;
        for (key, number) in self.nodes(&store).await? {
            let after = number - 1;
            let beats = store.read(move |tx: &mut Tx| beat::list(tx, key, after, 1)).await?;
            // What it said before concerned nobody here.
            for beat in beats {
                drop(self.node.floors.pass(key, beat.number, beat.floor));
            }
            self.others.insert(key, Other { number, seen_at: Instant::now(), is_dead: false });
        }
        self.looked(&store, now);
        Ok(())
    }

    /// One beat after the other.
    pub(crate) async fn run(mut self) {
        let mut due = interval(BEAT_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            let Some(store) = self.node.store() else { return };
            let now = (self.now)();
            if self.node.bus.is_shared() {
                if let Err(error) = self.beat(&store, now).await {
                    tracing::debug!(%error, "a beat failed; the next one makes up for it");
                }
            } else {
                store.advance(now);
            }
            self.node.tidy(now.ms() - store.told().ms() < TOLD_WITHIN_MS);
        }
    }

    async fn beat(&mut self, store: &Arc<Store>, now: Timestamp) -> store::Result<()> {
        write(&self.node, store, now, false).await?;
        let nodes = self.nodes(store).await?;
        for (key, latest) in &nodes {
            self.read(store, *key, *latest).await?;
        }
        self.others.retain(|key, _| nodes.iter().any(|(node, _)| node == key));
        self.bury(store).await?;
        self.looked(store, now);
        Ok(())
    }

    async fn nodes(&self, store: &Arc<Store>) -> store::Result<Vec<(Key, i64)>> {
        let mut nodes = store.read(beat::list_nodes).await?;
        nodes.retain(|(key, _)| *key != self.node.key);
        Ok(nodes)
    }

    /// All nodes that there were at this time are known.
    fn looked(&self, store: &Store, now: Timestamp) {
        self.node.has_others(self.others.values().any(|other| !other.is_dead));
        self.node.floors.looked(now);
        store.others_told(self.node.floors.told());
    }

    /// Reads what another node said.
    async fn read(&mut self, store: &Arc<Store>, key: Key, latest: i64) -> store::Result<()> {
        let known = self.others.get(&key).map(|other| other.number);
        if known.is_some_and(|known| latest <= known) {
            return Ok(());
        }
        // Of a node that is new all is news: nothing of it was before this one.
        let mut after = known.unwrap_or(-1);
        while after < latest {
            let from = after;
            let beats = store.read(move |tx: &mut Tx| beat::list(tx, key, from, BEATS_READ_MAX)).await?;
            let Some(last) = beats.last() else { break };
            let is_whole = beats.first().is_some_and(|first| first.number == after + 1);
            after = last.number;
            for (place, beat) in beats.iter().enumerate() {
                self.take(store, key, beat, is_whole || 0 < place).await?;
                let is_dead = self.node.floors.is_gone(key);
                self.others.insert(key, Other { number: beat.number, seen_at: Instant::now(), is_dead });
            }
        }
        Ok(())
    }

    /// Compares a beat with what was told here.
    async fn take(&self, store: &Arc<Store>, key: Key, beat: &Beat, is_whole: bool) -> store::Result<()> {
        let before = self.node.floors.of(key).unwrap_or_else(|| store.told());
        let pass: Guard = Arc::new(self.node.floors.pass(key, beat.number, beat.floor)) as Arc<Pass>;
        // Another version may say what this one does not know.
        let body = serde_json::from_str::<Body>(&beat.body);
        let Body { channels, named, doubted, rolls, is_cut, is_last } =
            body.unwrap_or(Body { is_cut: true, ..Body::default() });
        for (channel, number) in channels {
            self.node.hint(channel, number, Some(pass.clone()), false);
        }
        for (user, channel, number) in named {
            if self.node.places.has(user) {
                self.node.hint(channel, number, Some(pass.clone()), true);
            }
        }
        for (channel, users) in doubted {
            let concerns = users.iter().any(|user| self.node.places.has(*user));
            self.node.look_again(channel, concerns);
        }
        for roll in rolls {
            self.node.heard_roll(roll);
        }
        if is_cut || !is_whole {
            self.sweep(store, before, &pass).await?;
        }
        if is_last {
            self.node.places.forget_node(key);
            self.node.floors.forget(key);
        }
        Ok(())
    }

    /// Looks through all that happened since, for what was not told here.
    async fn sweep(&self, store: &Arc<Store>, since: Timestamp, pass: &Guard) -> store::Result<()> {
        tracing::info!(%since, "looking through what happened since");
        if SWEEP_WINDOW_MS < (self.now)().ms() - since.ms() {
            tracing::error!(%since, "what was not told may be no more; all sessions are closed");
            self.node.places.end_all(Close::RESTART);
            return Ok(());
        }
        let mut from = store::outbox::at(since);
        loop {
            let at = from;
            let events = store.read(move |tx: &mut Tx| store::outbox::list_all(tx, at, SWEEP_LEN)).await?;
            let Some(last) = events.last() else { return Ok(()) };
            from = last.position;
            for Trace { position: (_, channel, number), named } in events {
                let concerns = named.is_none_or(|named| named.iter().any(|user| self.node.places.has(*user)));
                self.node.hint(channel, number, Some(pass.clone()), concerns);
            }
        }
    }

    /// Does what those leave who say nothing any more.
    async fn bury(&mut self, store: &Arc<Store>) -> store::Result<()> {
        let silent: Vec<(Key, i64, bool)> = self
            .others
            .iter()
            .filter(|(_, other)| DEAD_AFTER <= other.seen_at.elapsed())
            .map(|(key, other)| (*key, other.number, other.is_dead))
            .collect();
        for (key, number, is_dead) in silent {
            if !is_dead {
                tracing::warn!(node = %key, "a node says nothing any more");
                let since = self.node.floors.of(key).unwrap_or_else(|| store.told());
                let pass: Guard = Arc::new(self.node.floors.pass(key, i64::MAX, since)) as Arc<Pass>;
                self.sweep(store, since, &pass).await?;
                self.node.places.forget_node(key);
            }
            let Some(other) = self.others.get_mut(&key) else { continue };
            if !is_dead {
                other.is_dead = true;
                // Its floor holds for whoever resumes until all that it left is told.
                self.node.floors.forget(key);
            } else if DEAD_AFTER + DEAD_KEPT_FOR <= other.seen_at.elapsed() {
                store.write(Lane::Account, move |tx| beat::delete_old(tx, key, number)).await?;
            }
        }
        Ok(())
    }
}

/// Says the last, once nothing is committed any more.
pub(crate) async fn end(node: &Arc<Node>) {
    let Some(store) = node.store() else { return };
    if !node.bus.is_shared() {
        return;
    }
    for _ in 0..LAST_TRIES_MAX {
        if write(node, &store, Timestamp::from_ms(0), true).await.is_ok() {
            return;
        }
    }
    tracing::warn!("the other nodes were not told the last; they look for it");
}

/// Writes the next beat.
async fn write(node: &Arc<Node>, store: &Arc<Store>, now: Timestamp, is_last: bool) -> store::Result<()> {
    // In this order: what was told before this is in the journal.
    let floor = store.advance(now);
    let said = lock(&node.journal).take(|user, asks| node.roll(user, asks));
    let body = Body { is_last, ..said };
    let text = serde_json::to_string(&body).expect("keys, numbers and texts always serialize");
    let (key, beat) = (node.key, Beat { number: node.next_beat(), floor, body: text });
    let number = beat.number;
    let written = store.write(Lane::Account, move |tx| {
        if number % BEATS_TRIMMED_EVERY == 0 {
            beat::delete_old(tx, key, number - BEATS_KEPT)?;
        }
        beat::insert(tx, key, &beat)
    });
    let written = written.await;
    if written.is_err() {
        lock(&node.journal).put_back(body);
    }
    written
}
