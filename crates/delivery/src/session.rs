//! A session: one socket, from SESSION_ESTABLISHED to the close.
//!
//! The client never sends data; whatever it sends is ignored, its pings are answered. The server pings, and
//! gives a client up that does not answer.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use carillon_model::Key;
use carillon_model::event::session_established;
use carillon_store::{self as store, Error, Store};
use futures_util::SinkExt;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use crate::places::{Close, Places, Session};

/// How often the server pings: below the minute after which proxies give an idle connection up.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Pings that may go unanswered.
const PINGS_MISSED_MAX: u32 = 2;
/// How long a client may take to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one that is told to come back later is held, to damp clients that come back at once.
const HOLD: Duration = Duration::from_secs(1);
/// Tells a client to come back later.
const TRY_LATER: u16 = 1013;

/// The credentials that opened the socket are over; the client comes back with fresh ones.
const EXPIRED: Close = Close { code: 4001, reason: "the credentials have expired" };
/// Our failure; the client comes back.
const INTERNAL: Close = Close { code: 1011, reason: "internal error" };

/// Ends when the credentials that opened a socket do.
pub type Expiry = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Refuses a socket after its upgrade, with a code that tells the client whether to come back.
pub async fn refuse(socket: WebSocket, code: u16, reason: &'static str) {
    if code == TRY_LATER {
        tokio::time::sleep(HOLD).await;
    }
    close(socket, Close { code, reason }).await;
}

/// Runs a session until it ends.
pub(crate) async fn run(
    mut socket: WebSocket,
    places: Arc<Places>,
    store: Arc<Store>,
    (user, client): (Key, String),
    expiry: Option<Expiry>,
) {
    let (session, frames) = places.enter(user, client);
    let close_with = match begin(&mut socket, &places, &store, &session, user).await {
        Ok(()) => serve(&mut socket, &session, frames, expiry).await,
        Err(close) => close,
    };
    places.leave(&session);
    drop(session);
    if let Some(reason) = close_with {
        close(socket, reason).await;
    }
}

/// Subscribes, then says so: from SESSION_ESTABLISHED on nothing is missed.
async fn begin(
    socket: &mut WebSocket,
    places: &Places,
    store: &Store,
    session: &Arc<Session>,
    user: Key,
) -> Result<(), Option<Close>> {
    // Whoever was deleted before the session was entered is not told so by an event.
    let stored = store.read(move |tx| {
        let exists = store::identity::exists(tx, user)?;
        exists.then(|| store::membership::list_subscriptions(tx, user)).transpose()
    });
    let stored = stored.await;
    let stored = stored.map_err(|error: Error| {
        tracing::error!(%error, "a session could not begin");
        Some(INTERNAL)
    })?;
    places.seat(session, &stored.ok_or(Some(Close::GONE))?);
    socket.send(Message::Text(session_established().into())).await.map_err(|_| None)
}

/// Answers with the close to send, or nothing where the client has gone.
async fn serve(
    socket: &mut WebSocket,
    session: &Session,
    mut frames: mpsc::Receiver<Utf8Bytes>,
    expiry: Option<Expiry>,
) -> Option<Close> {
    let mut expired = expiry.unwrap_or_else(|| Box::pin(std::future::pending()));
    let mut pings = interval_at(tokio::time::Instant::now() + PING_EVERY, PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unanswered = 0;
    loop {
        tokio::select! {
            biased;
            close = session.ending() => return Some(close),
            () = &mut expired => return Some(EXPIRED),
            frame = frames.recv() => {
                let frame = frame?;
                tokio::select! {
                    // A socket that does not take what it is sent must not keep its session from ending.
                    close = session.ending() => return Some(close),
                    sent = send(socket, frame, &mut frames) => sent.ok()?,
                }
            }
            received = socket.recv() => match received {
                Some(Ok(Message::Pong(_))) => unanswered = 0,
                Some(Ok(Message::Close(_))) => {
                    // Reading on sends the answer.
                    let _ = timeout(CLOSE_TIMEOUT, socket.recv()).await;
                    return None;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            },
            _ = pings.tick() => {
                if PINGS_MISSED_MAX <= unanswered {
                    return None;
                }
                unanswered += 1;
                socket.send(Message::Ping(Vec::new().into())).await.ok()?;
            }
        }
    }
}

/// Sends a frame and whatever waits behind it, then flushes once.
async fn send(
    socket: &mut WebSocket,
    first: Utf8Bytes,
    frames: &mut mpsc::Receiver<Utf8Bytes>,
) -> Result<(), axum::Error> {
    socket.feed(Message::Text(first)).await?;
    while let Ok(frame) = frames.try_recv() {
        socket.feed(Message::Text(frame)).await?;
    }
    socket.flush().await
}

/// Closes a socket with a code, and waits a moment for the client's answer.
pub(crate) async fn close(mut socket: WebSocket, Close { code, reason }: Close) {
    let frame = CloseFrame { code, reason: reason.into() };
    let closing = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // A client that does not answer finds the connection gone.
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
}
