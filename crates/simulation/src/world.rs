//! The world of one history: nodes, clients, the network between them, and what goes wrong; all of it moved by one
//! generator, one step after the other.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use carillon_model::Timestamp;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::fault::Fault;
use crate::ground::{Ground, NODES, START, lock};
use crate::history::History;
use crate::node::{Node, copy_store};
use crate::scene::{Scene, USERS};

/// How fast or slow the clocks of nodes are at most.
const SKEW_MS: i64 = 400;
/// How long a short step takes at most, and a long one, and how often one is long.
const SHORT_MS: i64 = 30;
const LONG_MS: i64 = 5_000;
const LONG_ONES: f64 = 0.04;

/// A node's place: it may be empty.
pub(crate) struct Seat {
    pub(crate) node: Option<Node>,
    /// It does nothing until then.
    pub(crate) rests_until_ms: i64,
    skew_ms: i64,
}

/// A request that waits for its answer.
pub(crate) struct Try {
    pub(crate) op: usize,
    pub(crate) count: u32,
    /// When its client gives this one up.
    pub(crate) due_ms: i64,
    /// When it is tried again.
    pub(crate) again_ms: Option<i64>,
    /// The node that has it.
    pub(crate) at: Option<usize>,
}

/// What is on its way.
pub(crate) enum Packet {
    Request { op: usize, count: u32, to: usize },
    Response { op: usize, count: u32, status: u16, body: Value },
}

/// The world.
pub(crate) struct World {
    pub(crate) random: StdRng,
    pub(crate) fault: Option<Fault>,
    pub(crate) scene: Scene,
    pub(crate) ground: Ground,
    pub(crate) seats: Vec<Seat>,
    pub(crate) tries: Vec<Try>,
    pub(crate) packets: Vec<Packet>,
    pub(crate) history: History,
    pub(crate) step: usize,
    /// Messages that were acknowledged: the channel, the id, and who sent it.
    pub(crate) known: Vec<(usize, String, usize)>,
    folder: PathBuf,
    /// How many files the store had: after a power cut it has another one.
    disks: usize,
    /// What a disk that lies has really written.
    pub(crate) flushed: Option<PathBuf>,
}

impl World {
    /// The beginning of a history, from a scene in a file.
    pub(crate) fn new(
        (scene, file, folder): (&Scene, &Path, &Path),
        seed: u64,
        fault: Option<Fault>,
        is_shown: bool,
    ) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let store = folder.join("disk-0");
        copy_store(file, &store);
        let skipped = (fault == Some(Fault::NoDeadlines)).then_some("flow deadlines");
        let ground = Ground { store, skipped, ..Ground::default() };
        let seat = |random: &mut StdRng| Seat {
            node: None,
            rests_until_ms: 0,
            skew_ms: random.random_range(-SKEW_MS..=SKEW_MS),
        };
        let seats = (0..NODES).map(|_| seat(&mut random)).collect();
        let mut world = Self {
            random,
            fault,
            scene: scene.clone(),
            ground,
            seats,
            tries: Vec::new(),
            packets: Vec::new(),
            history: History::new(USERS, is_shown),
            step: 0,
            known: Vec::new(),
            folder: folder.to_owned(),
            disks: 1,
            flushed: None,
        };
        // Later than all that the scene is made of, by any clock.
        world.move_clock(10_000);
        for number in 0..NODES {
            world.start(number);
        }
        world
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.ground.now_ms()
    }

    /// The time by which clients sign.
    pub(crate) fn now(&self) -> Timestamp {
        START.plus_ms(self.now_ms())
    }

    pub(crate) fn chance(&mut self, of: f64) -> bool {
        self.random.random_bool(of)
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub(crate) fn note(&mut self, kind: &'static str, words: &str) {
        let now_ms = self.now_ms();
        self.history.note(self.step, now_ms, kind, words);
    }

    /// One step.
    pub(crate) fn take_step(&mut self) {
        self.step += 1;
        self.ground.step.store(self.step, Ordering::Relaxed);
        self.pass_time();
        match self.random.random_range(0..100) {
            0..20 => self.let_somebody_work(),
            20..52 => self.ask(),
            52..62 => self.deliver(),
            62..76 => self.bring_news(),
            76..86 => self.read_a_socket(),
            86..91 => self.open_or_cut_a_socket(),
            91..95 => self.answer_a_call(),
            _ => self.trouble(),
        }
        // Whatever else happens, machines and networks go on.
        if self.chance(0.5) {
            self.let_somebody_work();
        }
        for _ in 0..2 {
            if self.chance(0.5) {
                self.deliver();
            }
        }
        self.look_at_tries();
    }

    fn pass_time(&mut self) {
        if !self.chance(LONG_ONES) {
            let by = self.random.random_range(0..SHORT_MS);
            return self.move_clock(by);
        }
        // All go on meanwhile, as machines do.
        let by = self.random.random_range(SHORT_MS..LONG_MS);
        for part in [by / 3, by - by / 3] {
            self.move_clock(part);
            for number in self.awake() {
                self.let_work(number);
            }
        }
    }

    pub(crate) fn move_clock(&mut self, by_ms: i64) {
        self.ground.now_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// The nodes that live.
    pub(crate) fn alive(&self) -> Vec<usize> {
        (0..NODES).filter(|number| self.seats[*number].node.is_some()).collect()
    }

    /// The nodes that live and do something.
    pub(crate) fn awake(&self) -> Vec<usize> {
        let mut alive = self.alive();
        alive.retain(|number| self.seats[*number].rests_until_ms <= self.now_ms());
        alive
    }

    fn let_somebody_work(&mut self) {
        for _ in 0..2 {
            if let Some(number) = self.awake().choose(&mut self.random) {
                self.let_work(*number);
            }
        }
    }

    /// Lets a node do a part of what it has to do.
    fn let_work(&mut self, number: usize) {
        let (writes, reads) = (self.chance(0.8), self.chance(0.9));
        let Some(node) = &mut self.seats[number].node else { return };
        node.go_on();
        let has_written = writes && node.write();
        if reads {
            node.read();
        }
        node.go_on();
        if has_written && self.has(Fault::LyingDisk) && self.chance(0.5) {
            self.flush();
        }
        self.take_answers();
    }

    /// A disk that lies writes now and then what it said it had written.
    fn flush(&mut self) {
        let flushed = self.folder.join("flushed");
        copy_store(&self.ground.store, &flushed);
        self.flushed = Some(flushed);
    }

    /// Starts a node on the store as it is.
    pub(crate) fn start(&mut self, number: usize) {
        let skew_ms = self.seats[number].skew_ms;
        let node = Node::start(number, &self.ground, skew_ms, &mut self.random);
        self.seats[number].node = Some(node);
        self.seats[number].rests_until_ms = 0;
        self.note("start", &number.to_string());
    }

    /// Kills a node.
    pub(crate) fn kill(&mut self, number: usize) {
        let Some(node) = self.seats[number].node.take() else { return };
        node.kill(number);
        self.note("kill", &number.to_string());
        if self.has(Fault::AnswersEarly) {
            self.answer_for_the_dead(number);
        }
    }

    /// All nodes lose their power, and the disk what it had not written.
    pub(crate) fn cut_power(&mut self) {
        (0..NODES).for_each(|number| self.kill(number));
        let next = self.folder.join(format!("disk-{}", self.disks));
        self.disks += 1;
        let survives = self.flushed.clone().unwrap_or_else(|| self.ground.store.clone());
        copy_store(&survives, &next);
        self.ground.store = next;
        self.note("power cut", "");
        self.start(0);
    }

    /// What came of requests goes back over the network.
    pub(crate) fn take_answers(&mut self) {
        let answers = std::mem::take(&mut *lock(&self.ground.answers));
        for (request, status, body) in answers {
            let (op, count) = (request / TRIES, u32::try_from(request % TRIES).unwrap_or_default());
            let body = if body.is_empty() { b"{}".as_slice() } else { &body };
            let body = serde_json::from_slice(body).expect("an answer is JSON");
            self.packets.push(Packet::Response { op, count, status, body });
        }
    }

    /// A try of a request, as one number.
    pub(crate) fn number_of(op: usize, count: u32) -> usize {
        op * TRIES + usize::try_from(count).unwrap_or_default()
    }
}

/// More tries than there are of any request.
const TRIES: usize = 100;
