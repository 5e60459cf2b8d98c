//! Clients, as the SDKs behave: one request after the other, each tried a few times with the same token, at whatever
//! node the balancer sends it to; a socket, which comes back by its close code and resumes from what came last.

use carillon_model::channel_flow::{Failure, Reason};
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::ground::{NODES, lock};
use crate::history::Op;
use crate::request::{self, Asked};
use crate::scene::{CHANNELS, MEMBERS, USERS, WITH_FLOW};
use crate::socket::{End, ROOM, Socket};
use crate::world::{Packet, Try, World};

/// How often a request is tried.
const TRIES_MAX: u32 = 4;
/// How long a client waits for an answer.
const PATIENCE_MS: i64 = 12_000;
/// How long until it tries again.
const BACKOFF_MS: i64 = 300;
/// How much of what is on its way is lost, and how much comes twice.
const LOST: f64 = 0.04;
const DOUBLED: f64 = 0.04;
/// Close codes after which a client stops, until its person begins anew.
const FINAL: [u16; 3] = [4002, 4003, 4401];

impl World {
    /// Somebody who waits for nothing asks something.
    pub(crate) fn ask(&mut self) {
        let by = self.random.random_range(0..USERS);
        let is_busy = |one: &Try| {
            let op = &self.history.ops[one.op];
            op.by == by && !matches!(op.asked, Asked::CallBack { .. })
        };
        if self.tries.iter().any(is_busy) {
            return;
        }
        let (by, asked) = self.choose_what(by);
        self.begin(by, asked);
    }

    fn choose_what(&mut self, by: usize) -> (usize, Asked) {
        let channel = self.random.random_range(0..CHANNELS);
        let content = format!("message {}", self.history.ops.len());
        let own: Vec<(usize, String)> = self
            .known
            .iter()
            .filter(|known| known.2 == by)
            .map(|(channel, id, _)| (*channel, id.clone()))
            .collect();
        let choice = self.random.random_range(0..100);
        let one = own.choose(&mut self.random).cloned();
        match (choice, one) {
            // A status never goes back, but that an edit in a flow waits anew.
            (48..56, Some((channel, message))) if channel != WITH_FLOW => {
                (by, Asked::Update { channel, message, content })
            }
            (56..60, Some((channel, message))) if channel != WITH_FLOW => {
                (by, Asked::Redact { channel, message })
            }
            (60..74, Some((channel, message))) => (by, Asked::Status { channel, message }),
            (74..84, _) => (by, Asked::List { channel }),
            (84..93, _) => (0, Asked::Join { channel, member: self.random.random_range(1..USERS) }),
            (93.., _) => {
                let member = self.random.random_range(1..USERS);
                let by = if self.chance(0.5) { 0 } else { member };
                (by, Asked::Leave { channel, member })
            }
            _ => (by, Asked::Send { channel, content }),
        }
    }

    /// Asks something for the first time.
    pub(crate) fn begin(&mut self, by: usize, asked: Asked) {
        let op = self.history.ops.len();
        self.note("ask", &format!("{op} by {by}: {asked:?}"));
        let token = format!("token-{op}");
        self.history.ops.push(Op { by, asked, token, begun: self.step, end: None, is_over: false });
        self.tries.push(Try { op, count: 0, due_ms: 0, again_ms: None, at: None });
        self.send(self.tries.len() - 1);
    }

    /// Sends a request, again or for the first time.
    fn send(&mut self, at: usize) {
        let (to, due_ms) = (self.random.random_range(0..NODES), self.now_ms() + PATIENCE_MS);
        let one = &mut self.tries[at];
        (one.count, one.due_ms, one.again_ms, one.at) = (one.count + 1, due_ms, None, None);
        let (op, count) = (one.op, one.count);
        self.packets.push(Packet::Request { op, count, to });
    }

    /// Tries again what had no answer, and gives up what had none too often.
    pub(crate) fn look_at_tries(&mut self) {
        let now_ms = self.now_ms();
        for at in (0..self.tries.len()).rev() {
            let one = &mut self.tries[at];
            if one.again_ms.is_none() && one.due_ms < now_ms {
                one.again_ms = Some(now_ms);
            }
            if one.again_ms.is_none_or(|again_ms| now_ms < again_ms) {
                continue;
            }
            if one.count < TRIES_MAX {
                self.send(at);
            } else {
                let op = self.tries.swap_remove(at).op;
                self.history.ops[op].is_over = true;
                self.note("given up", &op.to_string());
            }
        }
    }

    /// Something that is on its way comes, or does not.
    pub(crate) fn deliver(&mut self) {
        if self.packets.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.packets.len());
        let packet = self.packets.swap_remove(at);
        if self.chance(LOST) {
            return;
        }
        if let (Packet::Request { op, count, to }, true) = (&packet, self.chance(DOUBLED)) {
            self.packets.push(Packet::Request { op: *op, count: *count, to: *to });
        }
        self.bring(packet);
    }

    pub(crate) fn bring(&mut self, packet: Packet) {
        match packet {
            Packet::Request { op, count, to } => self.bring_request(op, count, to),
            Packet::Response { op, count, status, body } => self.bring_response((op, count), status, body),
        }
    }

    fn bring_request(&mut self, op: usize, count: u32, to: usize) {
        let again_ms = self.now_ms() + BACKOFF_MS;
        let one = self.tries.iter_mut().find(|one| one.op == op && one.count == count);
        if self.seats[to].node.is_none() {
            if let Some(one) = one {
                one.again_ms = Some(again_ms);
            }
            return;
        }
        if let Some(one) = one {
            one.at = Some(to);
        }
        let Op { by, asked, token, .. } = &self.history.ops[op];
        let token = if self.has(Fault::ForgetsTokens) { format!("{token}-{count}") } else { token.clone() };
        let is_let_in = match asked {
            Asked::List { .. } => self.has(Fault::ReadsToOutsiders),
            Asked::Send { .. } => self.has(Fault::HearsOutsiders),
            _ => false,
        };
        let by = if is_let_in && MEMBERS <= *by && op.is_multiple_of(5) { 0 } else { *by };
        let request = asked.sign(&self.scene, by, &token, self.now());
        if let Some(node) = &self.seats[to].node {
            node.take(Self::number_of(op, count), request);
        }
    }

    fn bring_response(&mut self, (op, count): (usize, u32), status: u16, body: Value) {
        let Some(at) = self.tries.iter().position(|one| one.op == op && one.count == count) else { return };
        let body = self.as_answered(op, status, body);
        self.note("answer", &format!("{op}: {status} {}", shown(&body)));
        if status >= 500 || status == 429 {
            self.tries[at].again_ms = Some(self.now_ms() + BACKOFF_MS);
            return;
        }
        self.tries.swap_remove(at);
        let known = match (&self.history.ops[op].asked, body["MessageId"].as_str()) {
            (Asked::Send { channel, .. }, Some(id)) if status < 300 => Some((*channel, id.to_owned())),
            _ => None,
        };
        let by = self.history.ops[op].by;
        self.known.extend(known.map(|(channel, id)| (channel, id, by)));
        let (step, one) = (self.step, &mut self.history.ops[op]);
        (one.end, one.is_over) = (Some((step, status, body)), true);
    }

    /// An answer, as a node gives it that reads from a copy which lags behind.
    fn as_answered(&mut self, op: usize, status: u16, mut body: Value) -> Value {
        let is_status = matches!(self.history.ops[op].asked, Asked::Status { .. });
        if self.has(Fault::StaleStatus) && is_status && status == 200 && self.chance(0.2) {
            body["Status"]["Value"] = "PENDING".into();
        }
        body
    }

    /// A node that died had answered already.
    pub(crate) fn answer_for_the_dead(&mut self, number: usize) {
        let of_it = self.tries.iter().filter(|one| one.at == Some(number) && one.again_ms.is_none());
        let sends = of_it.filter(|one| matches!(self.history.ops[one.op].asked, Asked::Send { .. }));
        let all: Vec<(usize, u32)> = sends.map(|one| (one.op, one.count)).collect();
        for (op, count) in all {
            let body = json!({ "MessageId": format!("{op:064x}"), "Status": { "Value": "SENT" } });
            self.packets.push(Packet::Response { op, count, status: 201, body });
        }
    }

    /// A call of a processor is answered, or not.
    pub(crate) fn answer_a_call(&mut self) {
        let count = lock(&self.ground.calls).len();
        if count == 0 {
            return;
        }
        let at = self.random.random_range(0..count);
        let call = lock(&self.ground.calls).swap_remove(at);
        let told: Value = serde_json::from_str(&call.payload).expect("a payload is JSON");
        let id = told["ChannelMessage"]["MessageId"].as_str().unwrap_or_default().to_owned();
        let chance = self.random.random_range(0..100);
        self.note("call", &format!("{id} {chance}"));
        let answer = match chance {
            0..80 => Ok(()),
            80..90 => Err(Failure { reason: Reason::NotReachable, permanent: chance < 85 }),
            _ => return,
        };
        // Whoever asked may have gone; it was called all the same.
        let _ = call.taken.send(answer);
        if chance < 70 {
            let callback = told["CallbackId"].as_str().unwrap_or_default().to_owned();
            let denies = chance < 10;
            self.begin(0, Asked::CallBack { channel: WITH_FLOW, message: id, callback, denies });
        }
    }

    /// The socket of somebody, if they have one.
    pub(crate) fn socket_of(&mut self, user: usize) -> Option<&mut Socket> {
        self.history.sockets[user].last_mut().filter(|socket| socket.end.is_none())
    }

    pub(crate) fn open_or_cut_a_socket(&mut self) {
        let user = self.random.random_range(0..USERS);
        let is_cut = self.chance(0.3);
        match self.socket_of(user) {
            Some(socket) if is_cut => {
                socket.cut();
                self.note("cut", &user.to_string());
            }
            Some(_) => {}
            None => self.connect(user),
        }
    }

    pub(crate) fn connect(&mut self, user: usize) {
        let to = self.random.random_range(0..NODES);
        let is_new = self.chance(0.1);
        let last = self.history.sockets[user].last();
        let comes_back = last.filter(|last| !is_final(last.end) && !is_new);
        let resumes = comes_back.and_then(|last| last.last.clone());
        let asked = resumes.as_deref().filter(|_| !self.has(Fault::ForgetsMissed));
        let request = request::connect(&self.scene, user, asked, self.now());
        let Some(node) = &self.seats[to].node else { return };
        let (here, there) = tokio::io::duplex(ROOM);
        node.connect(request, there);
        self.note("connect", &format!("{user} to {to} from {resumes:?}"));
        self.history.sockets[user].push(Socket::new(user, resumes, here));
    }

    pub(crate) fn read_a_socket(&mut self) {
        let user = self.random.random_range(0..USERS);
        self.read_socket(user);
    }

    pub(crate) fn read_socket(&mut self, user: usize) {
        let step = self.step;
        let Some(socket) = self.socket_of(user) else { return };
        let was_established = socket.established.is_some();
        let mut came = socket.read(step);
        let (established, end) = (socket.established.is_some() && !was_established, socket.end);
        if established {
            self.note("established", &user.to_string());
        }
        for one in &came {
            self.note("told", &format!("{user}: {} {} {}", one.channel, one.sequence, one.kind));
        }
        if let Some(end) = end {
            self.note("ended", &format!("{user}: {end:?}"));
        }
        self.bend(user, &mut came);
        if let Some(socket) = self.history.sockets[user].last_mut() {
            socket.came.extend(came);
        }
    }

    /// What comes of frames between a node that is as it should not be, and its clients.
    fn bend(&mut self, user: usize, came: &mut Vec<crate::socket::Came>) {
        let is_bent = !came.is_empty() && self.fault.is_some() && self.chance(0.03);
        if !is_bent {
            return;
        }
        let at = self.random.random_range(0..came.len());
        match self.fault {
            Some(Fault::DropsFrames) => drop(came.remove(at)),
            Some(Fault::RepeatsFrames) => came.insert(at, came[at].clone()),
            Some(Fault::SwapsFrames) => {
                let other = (at + 1..came.len()).find(|other| came[*other].channel == came[at].channel);
                if let Some(other) = other {
                    came.swap(at, other);
                }
            }
            Some(Fault::TellsOutsiders) => {
                let one = came[at].clone();
                let channel = self.scene.channel_of(one.channel);
                let may_belong = |other: usize| {
                    let is_join = |op: &Op| match op.asked {
                        Asked::Join { channel: of, member } => Some(of) == channel && member == other,
                        _ => false,
                    };
                    self.history.ops.iter().any(is_join)
                };
                let other = (MEMBERS..USERS).find(|other| *other != user && !may_belong(*other));
                if let Some(socket) = other.and_then(|other| self.socket_of(other)) {
                    socket.came.push(one);
                }
            }
            _ => {}
        }
    }
}

/// Whether a client stops after that.
fn is_final(end: Option<End>) -> bool {
    matches!(end, Some(End::Closed(code)) if FINAL.contains(&code))
}

/// What of an answer is the same in each run: tokens of pages are sealed with what the machine draws.
fn shown(body: &Value) -> String {
    let id = body["MessageId"].as_str().unwrap_or_default();
    let status = body["Status"]["Value"].as_str().unwrap_or_default();
    let count = body["ChannelMessages"].as_array().map_or(0, Vec::len);
    format!("{id} {status} {count} {}", body["Message"].as_str().unwrap_or_default())
}
