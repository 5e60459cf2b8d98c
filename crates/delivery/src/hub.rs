//! The hub: takes the events of each commit from the store, and tells the sessions.
//!
//! The lanes of the store hand events over and go on; tasks do the telling, each event of a channel by the same
//! task, so that the channel's order is kept. A queue that is full holds its lane up: what was committed must
//! not be dropped.

use std::sync::Arc;
use std::time::Duration;

use carillon_meter::Times;
use carillon_model::event::{Event, ReadMarkers};
use carillon_model::session::{Close, Entrance};
use carillon_model::{Key, Timestamp};
use carillon_store::{Committed, Store, Ticket};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::beats;
use crate::bus::Bus;
use crate::held::{Guard, Held};
use crate::node::{Node, TELLERS};
use crate::session::Told;
use crate::socket::{self, Expiry, Opening, Serving};
use crate::web_socket::WebSocket;

/// Events that wait for a task that tells.
const TELLER_QUEUE_LEN_MAX: usize = 8_192;
/// Events that are told before those are woken up whom they are for, so that each sends what it is told in one go.
const TOLD_LEN_MAX: usize = 64;
/// How often anybody may be told anything meanwhile, which takes a few milliseconds.
const TOLD_TIMES_MAX: usize = 32_768;
/// How long sockets may take to close when the server goes down.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What this node committed, on its way to a task that tells.
enum Due {
    /// An event.
    Own {
        event: Event,
        /// Whether it may not have happened.
        is_doubtful: bool,
        /// Held by all events of a commit, until all are told.
        ticket: Guard,
    },
    /// It took a number, and no event has it.
    OwnBlank(Key, i64),
}

/// What this node committed, and when.
struct Own {
    committed_at: Instant,
    /// Given back when all of it is told.
    _ticket: Ticket,
}

impl Held for Own {
    fn committed_at(&self) -> Option<Instant> {
        Some(self.committed_at)
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("sockets", &self.sockets()).finish_non_exhaustive()
    }
}

/// The hub of one process.
pub struct Hub {
    node: Arc<Node>,
    tellers: Vec<mpsc::Sender<Due>>,
    sessions: TaskTracker,
    /// What goes on until the end: beats.
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Hub {
    /// Starts the tasks that tell, on the present runtime. `key` names this process among the nodes of its store.
    pub fn start(key: Key, bus: Bus) -> Arc<Self> {
        let node = Node::new(key, bus.0);
        let hearing = Arc::downgrade(&node);
        node.bus.hears(move |bytes| {
            if let Some(node) = hearing.upgrade() {
                node.heard(bytes);
            }
        });
        let tellers: Vec<_> = (0..TELLERS)
            .map(|_| {
                let (queue, events) = mpsc::channel::<Due>(TELLER_QUEUE_LEN_MAX);
                tokio::spawn(tell(node.clone(), events));
                queue
            })
            .collect();
        let (sessions, tasks) = (TaskTracker::new(), TaskTracker::new());
        Arc::new(Self { node, tellers, sessions, tasks, stop: CancellationToken::new() })
    }

    /// Where all that happened is read, and by which clock. Nothing may be committed there before.
    pub async fn begin(
        &self,
        store: &Arc<Store>,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> carillon_store::Result<()> {
        self.node.reads(store);
        let mut beats = beats::Beats::new(self.node.clone(), now);
        if self.node.bus.is_shared() {
            beats.begin().await?;
        }
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(beats.run()));
        Ok(())
    }

    /// Where the store hands over what it committed.
    pub fn sink(&self) -> impl Fn(Committed) + Send + Sync + use<> {
        let tellers = self.tellers.clone();
        let send = move |channel: Key, due: Due| {
            // It fails only when the runtime, and with it every session, is gone.
            let _ = tellers[Node::teller_of(channel)].blocking_send(due);
        };
        move |Committed { events, blanks, ticket, is_doubtful, .. }| {
            let ticket: Guard = Arc::new(Own { committed_at: Instant::now(), _ticket: ticket });
            for event in events {
                send(event.channel, Due::Own { event, is_doubtful, ticket: ticket.clone() });
            }
            for (channel, number) in blanks.into_iter().filter(|_| !is_doubtful) {
                send(channel, Due::OwnBlank(channel, number));
            }
        }
    }

    /// Whether anybody may listen to a channel, here or on another node.
    pub fn may_be_heard(&self, channel: Key) -> bool {
        self.node.may_be_heard(channel)
    }

    /// Tells those who sit in a channel that read markers moved.
    pub fn tell_read_markers(&self, markers: &ReadMarkers) {
        self.node.tell_read_markers(markers);
    }

    /// Sockets that are open.
    pub fn sockets(&self) -> usize {
        self.sessions.len()
    }

    /// Events that were told, whether somebody listened or not.
    pub fn told(&self) -> u64 {
        self.node.places.told()
    }

    /// How long frames took from the commit, where it was here, until their sockets had taken them.
    pub fn deliveries(&self) -> &Times {
        &self.node.places.deliveries
    }

    /// Events whose telling panicked.
    pub fn panics(&self) -> u64 {
        self.node.places.panics()
    }

    /// How often the store was read for events that did not arrive in their order.
    pub fn looks(&self) -> u64 {
        self.node.places.looks()
    }

    /// Events of other nodes that the bus brought.
    pub fn news(&self) -> u64 {
        self.node.places.news()
    }

    /// News that the bus did not take.
    pub fn dropped(&self) -> u64 {
        self.node.bus.dropped()
    }

    /// Whether the bus can be reached.
    pub fn is_reachable(&self) -> bool {
        self.node.bus.is_reachable()
    }

    /// How many sockets this process closed with each code.
    pub fn closes(&self) -> Vec<(u16, u64)> {
        self.node.places.closes()
    }

    /// Begins a session on a socket; nothing, where it has ended.
    pub async fn begin_session(
        &self,
        mut socket: WebSocket,
        entrance: Entrance,
        opening: Opening,
        expiry: Option<Expiry>,
    ) -> Option<Serving> {
        if self.sessions.is_closed() {
            socket::close(&mut socket, Close::RESTART).await;
            return None;
        }
        let (node, token) = (self.node.clone(), self.sessions.token());
        socket::begin(socket, node, entrance, opening, expiry, token).await
    }

    /// Closes the sockets one after the other, spread over this time, so that those who come back do not come at once.
    /// Whoever opens one meanwhile is sent on at once.
    pub async fn drain(&self, over: Duration) {
        self.sessions.close();
        let (begin, sessions) = (Instant::now(), self.node.places.sessions());
        let count = u32::try_from(sessions.len()).unwrap_or(u32::MAX).max(1);
        for (number, session) in (1..).zip(sessions) {
            sleep_until(begin + over.mul_f64(f64::from(number) / f64::from(count))).await;
            session.end(Close::RESTART);
        }
        sleep_until(begin + over).await;
    }

    /// Closes every socket, and waits until they are gone or the time is over.
    pub async fn shutdown(&self) {
        self.sessions.close();
        self.node.places.end_all(Close::RESTART);
        if tokio::time::timeout(CLOSE_TIMEOUT, self.sessions.wait()).await.is_err() {
            tracing::warn!(open = self.sessions.len(), "some sockets did not close in time");
        }
    }

    /// Says the last to other nodes, once nothing is committed any more.
    pub async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        beats::end(&self.node).await;
    }
}

/// Tells what this node committed, each event of a channel by the same task.
async fn tell(node: Arc<Node>, mut events: mpsc::Receiver<Due>) {
    let mut waiting = Vec::with_capacity(TOLD_LEN_MAX);
    while 0 < events.recv_many(&mut waiting, TOLD_LEN_MAX).await {
        let mut sleeping = Told::default();
        for due in waiting.drain(..) {
            match due {
                Due::Own { event, is_doubtful, ticket } => {
                    node.committed(event, is_doubtful, ticket, &mut sleeping);
                }
                Due::OwnBlank(channel, number) => node.skipped(channel, number),
            }
            if TOLD_TIMES_MAX <= sleeping.times {
                sleeping = Told::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use carillon_model::event::{Audience, EventMessageType, EventType};
    use carillon_model::session::{Seat, Seated};
    use carillon_model::{Key, Timestamp};
    use carillon_store::{Error, Lane, Sink, Store, Tx};

    use super::*;
    use crate::places::PLANTED_PANIC;
    use crate::session::Session;

    /// Their events are told by the same teller.
    const CHANNELS: [Key; 2] = [Key([1; 16]), Key([3; 16])];

    fn event(tx: &Tx<'_>, channel: Key, sequence: i64, payload: &str) -> Event {
        Event {
            channel,
            sequence,
            at: tx.instant(Timestamp::from_ms(0)),
            kind: EventType::CreateChannelMessage,
            message_type: EventMessageType::Standard,
            audience: Audience::members(channel),
            changes: Vec::new(),
            message: None,
            reason: None,
            payload: payload.to_owned(),
        }
    }

    fn seated(hub: &Hub, user: u8, channel: Key) -> Arc<Session> {
        seated_at(hub, user, channel, 0)
    }

    fn seated_at(hub: &Hub, user: u8, channel: Key, number: i64) -> Arc<Session> {
        let session = hub.node.places.enter(Entrance {
            user: Key([user; 16]),
            client: "1".to_owned(),
            admitted_at: Timestamp::from_ms(0),
            sessions_max: 1,
            begins_in: Duration::ZERO,
            frames_max: 1,
        });
        let seats = vec![Seat { channel, place: channel, hidden: false, number }];
        let seated = Seated { told: Timestamp::from_ms(0), seats, left: Vec::new() };
        hub.node.seat(&session, &seated);
        session.begin(false);
        session
    }

    async fn opened(hub: &Hub, folder: &std::path::Path) -> Arc<Store> {
        let (location, sink) = (carillon_store::testing::in_folder(folder), hub.sink());
        let opening =
            tokio::task::spawn_blocking(move || Store::open(&location, 0, &(Arc::new(sink) as Sink)));
        let store = Arc::new(opening.await.unwrap().unwrap());
        hub.begin(&store, || Timestamp::from_ms(0)).await.unwrap();
        store
    }

    async fn emit(store: &Store, channel: Key, sequence: i64, payload: &'static str) {
        let emit = move |tx: &mut Tx| {
            let event = event(tx, channel, sequence, payload);
            tx.emit(event)?;
            Ok::<_, Error>(())
        };
        store.write(Lane::Account, emit).await.unwrap();
    }

    async fn end_of(session: &Session) -> Option<Close> {
        tokio::time::timeout(CLOSE_TIMEOUT, session.ending()).await.ok()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_event_that_cannot_be_read_closes_the_sessions_concerned_and_its_channel_goes_on() {
        let hub = Hub::start(Key([9; 16]), Bus::local());
        let folder = tempfile::tempdir().unwrap();
        let store = opened(&hub, folder.path()).await;
        emit(&store, CHANNELS[0], 1, "before").await;
        emit(&store, CHANNELS[0], 2, "spoilt").await;
        let spoil = |tx: &mut Tx| carillon_store::testing::spoil_event(tx, CHANNELS[0]);
        assert_eq!(store.write(Lane::Account, spoil).await.unwrap(), 1);
        let bob = seated(&hub, 8, CHANNELS[1]);
        // Who sat down before both, and is told now.
        let ana = seated(&hub, 7, CHANNELS[0]);
        assert_eq!(end_of(&ana).await, Some(Close::INTERNAL));
        hub.node.leave(&ana);
        let ana = seated_at(&hub, 7, CHANNELS[0], 2);
        emit(&store, CHANNELS[0], 3, "after").await;
        assert_eq!(ana.frames().await.unwrap().len(), 1);
        emit(&store, CHANNELS[1], 1, "elsewhere").await;
        assert_eq!(bob.frames().await.unwrap().len(), 1);
        hub.end().await;
        tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_teller_that_panics_closes_the_sessions_concerned_and_goes_on() {
        let hub = Hub::start(Key([9; 16]), Bus::local());
        let folder = tempfile::tempdir().unwrap();
        let store = opened(&hub, folder.path()).await;
        let [ana, bob] = [(7, CHANNELS[0]), (8, CHANNELS[1])].map(|(user, place)| seated(&hub, user, place));
        emit(&store, CHANNELS[0], 1, PLANTED_PANIC).await;
        assert_eq!(end_of(&ana).await, Some(Close::INTERNAL), "a teller that is gone closes nobody");
        emit(&store, CHANNELS[1], 1, "after").await;
        assert_eq!(bob.frames().await.unwrap().len(), 1);
        assert_eq!(hub.panics(), 1);
        hub.end().await;
        tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
    }
}
