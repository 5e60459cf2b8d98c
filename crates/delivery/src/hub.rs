//! The hub: takes the events of each commit from the store, and tells the sessions.
//!
//! The lanes of the store hand events over and go on; tasks do the telling, each event of a channel by the same
//! task, so that the channel's order is kept. A queue that is full holds its lane up: what was committed must
//! not be dropped.

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
                    while let Some(Due { event, is_doubtful, ticket }) = events.recv().await {
                        if is_doubtful {
                            places.doubt(&event);
                        } else {
                            places.tell(&event, || ticket.told());
                        }
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
