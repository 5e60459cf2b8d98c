//! The hub: takes the events of each commit from the store, and tells the sessions.
//!
//! The lanes of the store hand events over and go on; tasks do the telling, each event of a channel by the same
//! task, so that the channel's order is kept. A queue that is full holds its lane up: what was committed must
//! not be dropped.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocket;
use carillon_model::event::Event;
use carillon_store::Store;
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

/// The hub of one process.
pub struct Hub {
    places: Arc<Places>,
    tellers: Vec<mpsc::Sender<Event>>,
    sessions: TaskTracker,
}

impl Hub {
    /// Starts the tasks that tell, on the present runtime.
    pub fn start() -> Arc<Self> {
        let places = Arc::new(Places::default());
        let tellers = (0..TELLERS)
            .map(|_| {
                let (queue, mut events) = mpsc::channel::<Event>(TELLER_QUEUE_LEN_MAX);
                let places = places.clone();
                tokio::spawn(async move {
                    while let Some(event) = events.recv().await {
                        places.tell(&event);
                    }
                });
                queue
            })
            .collect();
        Arc::new(Self { places, tellers, sessions: TaskTracker::new() })
    }

    /// Where the store hands over what it committed.
    pub fn sink(&self) -> impl Fn(Vec<Event>) + Send + Sync + use<> {
        let tellers = self.tellers.clone();
        move |events| {
            for event in events {
                let teller = usize::from(event.channel.0[0]) % tellers.len();
                // It fails only when the runtime, and with it every session, is gone.
                let _ = tellers[teller].blocking_send(event);
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
