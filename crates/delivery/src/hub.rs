//! The hub: takes the events of each commit from the store, and tells the sessions.
//!
//! The lanes of the store hand events over and go on; tasks do the telling, each event of a channel by the same
//! task, so that the channel's order is kept. A queue that is full holds its lane up: what was committed must
//! not be dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocket;
use carillon_model::event::Event;
use carillon_store::{Committed, Store, Ticket};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::places::{Close, Entrance, Places};
use crate::session::{self, Expiry, Opening};

/// Tasks that tell; the channels are spread over them.
const TELLERS: usize = 2;
/// Events that wait for a task that tells.
const TELLER_QUEUE_LEN_MAX: usize = 8_192;
/// How long sockets may take to close when the server goes down.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// An event on its way to a task that tells.
struct Due {
    event: Event,
    /// Whether it may not have happened.
    is_doubtful: bool,
    /// Held by all events of a commit, until all are told.
    ticket: Arc<Ticket>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("sockets", &self.sockets()).finish_non_exhaustive()
    }
}

/// The hub of one process.
pub struct Hub {
    places: Arc<Places>,
    tellers: Vec<mpsc::Sender<Due>>,
    sessions: TaskTracker,
}

impl Hub {
    /// Starts the tasks that tell, on the present runtime.
    pub fn start() -> Arc<Self> {
        let places = Arc::new(Places::default());
        let tellers = (0..TELLERS)
            .map(|_| {
                let (queue, mut events) = mpsc::channel::<Due>(TELLER_QUEUE_LEN_MAX);
                let places = places.clone();
                tokio::spawn(async move {
                    while let Some(due) = events.recv().await {
                        tell(&places, &due);
                    }
                });
                queue
            })
            .collect();
        Arc::new(Self { places, tellers, sessions: TaskTracker::new() })
    }

    /// Where the store hands over what it committed.
    pub fn sink(&self) -> impl Fn(Committed) + Send + Sync + use<> {
        let tellers = self.tellers.clone();
        move |Committed { events, ticket, is_doubtful, .. }| {
            let ticket = Arc::new(ticket);
            for event in events {
                let teller = usize::from(event.channel.0[0]) % tellers.len();
                let due = Due { event, is_doubtful, ticket: ticket.clone() };
                // It fails only when the runtime, and with it every session, is gone.
                let _ = tellers[teller].blocking_send(due);
            }
        }
    }

    /// Sockets that are open.
    pub fn sockets(&self) -> usize {
        self.sessions.len()
    }

    /// Events whose telling panicked.
    pub fn panics(&self) -> u64 {
        self.places.panics()
    }

    /// How many sockets this process closed with each code.
    pub fn closes(&self) -> Vec<(u16, u64)> {
        self.places.closes()
    }

    /// Serves a socket until it ends.
    pub async fn serve(
        &self,
        socket: WebSocket,
        store: Arc<Store>,
        entrance: Entrance,
        opening: Option<Opening>,
        expiry: Option<Expiry>,
    ) {
        if self.sessions.is_closed() {
            return Box::pin(session::close(socket, Close::RESTART)).await;
        }
        let running = session::run(socket, self.places.clone(), store, entrance, (opening, expiry));
        self.sessions.track_future(running).await;
    }

    /// Closes every socket, and waits until they are gone or the time is over.
    pub async fn shutdown(&self) {
        self.sessions.close();
        self.places.end_all(Close::RESTART);
        if tokio::time::timeout(CLOSE_TIMEOUT, self.sessions.wait()).await.is_err() {
            tracing::warn!(open = self.sessions.len(), "some sockets did not close in time");
        }
    }
}

/// Tells an event. A panic in that must not silence the channels of its teller: whoever may not have been told comes
/// back to what the store holds, and the teller goes on.
fn tell(places: &Places, Due { event, is_doubtful, ticket }: &Due) {
    let told = |tell: &dyn Fn()| catch_unwind(AssertUnwindSafe(tell)).is_ok();
    let is_told = !is_doubtful && told(&|| places.tell(event, || ticket.told()));
    if is_told {
        return;
    }
    if !is_doubtful {
        let (channel, sequence) = (event.channel, event.sequence);
        places.count_panic();
        tracing::error!(%channel, sequence, "the telling of an event panicked; its sessions are closed");
    }
    if !told(&|| places.doubt(event)) {
        tracing::error!("whom an event was for cannot be told; all sessions are closed");
        places.end_all(Close::INTERNAL);
    }
}

#[cfg(test)]
mod tests {
    use carillon_model::event::{Audience, EventMessageType, EventType};
    use carillon_model::{Key, Timestamp};
    use carillon_store::membership::Subscription;
    use carillon_store::{Error, Lane, Sink, Tx};

    use super::*;
    use crate::places::{PLANTED_PANIC, Session};

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
        let session = hub.places.enter(Entrance {
            user: Key([user; 16]),
            client: "1".to_owned(),
            sessions_max: 1,
            begins_in: Duration::ZERO,
            frames_max: 1,
        });
        hub.places.seat(&session, &[Subscription { sub_channel: channel, hidden: false }]);
        session.begin(false);
        session
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_teller_that_panics_closes_the_sessions_concerned_and_goes_on() {
        let hub = Hub::start();
        let folder = tempfile::tempdir().unwrap();
        let (location, sink) = (carillon_store::testing::in_folder(folder.path()), hub.sink());
        let opening =
            tokio::task::spawn_blocking(move || Store::open(&location, 0, &(Arc::new(sink) as Sink)));
        let store = opening.await.unwrap().unwrap();
        let [ana, bob] = [(7, CHANNELS[0]), (8, CHANNELS[1])].map(|(user, place)| seated(&hub, user, place));
        let emit = |channel, sequence, payload: &'static str| {
            store.write(Lane::Account, move |tx| {
                let event = event(tx, channel, sequence, payload);
                tx.emit(event)?;
                Ok::<_, Error>(())
            })
        };
        emit(CHANNELS[0], 1, PLANTED_PANIC).await.unwrap();
        let ended = tokio::time::timeout(CLOSE_TIMEOUT, ana.ending()).await;
        assert_eq!(ended.ok(), Some(Close::INTERNAL), "a teller that is gone closes nobody");
        emit(CHANNELS[1], 1, "after").await.unwrap();
        assert_eq!(bob.frames().await.unwrap().len(), 1);
        // What panicked counts as told, so that nobody waits for it.
        store.caught_up().await;
        assert_eq!(hub.panics(), 1);
        tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
    }
}
