//! A session: one socket, from SESSION_ESTABLISHED to the close.
//!
//! The client never sends data; whatever it sends is ignored, its pings are answered. The server pings, and
//! gives a client up that does not answer. An idle session is one small future and one timer: what only its
//! beginning, a send or its end need is allocated for as long as that lasts.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use carillon_meter::Times;
use carillon_model::event::{EventId, session_established};
use carillon_model::session::{Close, Entrance, Seated, Shown};
use futures_util::SinkExt;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::task::AtomicWaker;
use tokio::time::{Instant, sleep, timeout};

use crate::node::Node;
use crate::session::{Frame, Session};

/// How often the server pings: below the minute after which proxies give an idle connection up.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Pings that may go unanswered.
const PINGS_MISSED_MAX: u32 = 2;
/// How long a socket may take for what it is sent: as long as one that does not answer pings has.
const SEND_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a client may take to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one that reads too slowly may take to reach its close behind what it has not read.
const SLOW_CLOSE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one that is told to come back later is held, to damp clients that come back at once.
const HOLD: Duration = Duration::from_secs(1);

/// What a session begins with, read by whoever admitted it.
pub struct Opening {
    /// Where its user sits. It is asked for once the session is told of what happens to its user.
    pub seated: BoxFuture<'static, Result<Seated, Close>>,
    /// What it is shown after SESSION_ESTABLISHED and before any event: frame by frame, each made when it is wanted.
    /// The first is asked for once the session is told of events, so what they show is never too old.
    pub frames: Option<BoxStream<'static, Result<Shown, Close>>>,
    /// The id that the client resumes from, if it does.
    pub resumes: Option<String>,
}

/// Ends when the credentials that opened a socket do.
pub type Expiry = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Refuses a socket after its upgrade, with a code that tells the client whether to come back.
pub async fn refuse(socket: WebSocket, close_with: Close) {
    if close_with.code == Close::TRY_LATER {
        sleep(HOLD).await;
    }
    close(socket, close_with).await;
}

/// Runs a session until it ends.
pub(crate) async fn run(
    mut socket: WebSocket,
    node: Arc<Node>,
    entrance: Entrance,
    opening: Opening,
    expiry: Option<Expiry>,
) {
    let (begins_in, mut meter) = (entrance.begins_in, Meter::new(entrance.frames_max));
    let session = node.enter(entrance);
    let mut begun = Box::pin(hold(&mut socket, &session, &mut meter, begins_in)).await;
    if begun.is_ok() {
        begun = Box::pin(begin(&mut socket, &node, &session, opening)).await;
    }
    let ended = match begun {
        Ok(()) => serve(&mut socket, (&node, &session), &mut meter, expiry).await,
        Err(close) => close,
    };
    node.leave(&session);
    drop(session);
    if let Some(reason) = ended {
        node.places.count(reason);
        Box::pin(close(socket, reason)).await;
    }
}

/// Counts the frames that a client sends. It is expected to send pongs, a few pings, and nothing else.
///
/// The library shows whole messages only, and reads parts of one that never ends for as long as they come. So what
/// wakes the reading up without a message counts as a frame, too.
struct Meter {
    frames_max: u32,
    /// When the present second began.
    since: Instant,
    frames: u32,
    woken: Arc<Woken>,
}

/// Notes that something came, and wakes the session up.
#[derive(Default)]
struct Woken {
    noted: AtomicBool,
    session: AtomicWaker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.noted.store(true, Ordering::Relaxed);
        self.session.wake();
    }
}

impl Meter {
    fn new(frames_max: u32) -> Self {
        Self { frames_max, since: Instant::now(), frames: 0, woken: Arc::default() }
    }

    /// What woke the session up until now was its own sending.
    fn forget_waking(&self) {
        self.woken.noted.store(false, Ordering::Relaxed);
    }

    /// Counts one more; one too many ends the session.
    fn count(&mut self) -> Result<(), Close> {
        let now = Instant::now();
        if Duration::from_secs(1) <= now - self.since {
            (self.since, self.frames) = (now, 0);
        }
        self.frames += 1;
        if self.frames_max < self.frames { Err(Close::FLOOD) } else { Ok(()) }
    }

    /// Waits for the next frame; answers with the close to send, or nothing where the client has gone.
    async fn receive(&mut self, socket: &mut WebSocket) -> Result<Message, Option<Close>> {
        let reader = Waker::from(self.woken.clone());
        let message = poll_fn(|context| {
            self.woken.session.register(context.waker());
            let is_woken = self.woken.noted.swap(false, Ordering::Relaxed);
            match socket.poll_next_unpin(&mut Context::from_waker(&reader)) {
                Poll::Pending if !is_woken => Poll::Pending,
                Poll::Pending => {
                    self.count().map_or_else(|flood| Poll::Ready(Err(Some(flood))), |()| Poll::Pending)
                }
                Poll::Ready(Some(Ok(message))) => Poll::Ready(Ok(message)),
                Poll::Ready(Some(Err(_)) | None) => Poll::Ready(Err(None)),
            }
        });
        let message = message.await?;
        self.count()?;
        if matches!(message, Message::Close(_)) {
            // Reading on sends the answer.
            let _ = Box::pin(timeout(CLOSE_TIMEOUT, socket.recv())).await;
            return Err(None);
        }
        Ok(message)
    }
}

/// Holds a session until its turn comes, and answers pings meanwhile.
async fn hold(
    socket: &mut WebSocket,
    session: &Session,
    meter: &mut Meter,
    begins_in: Duration,
) -> Result<(), Option<Close>> {
    if begins_in.is_zero() {
        return Ok(());
    }
    let mut turn = std::pin::pin!(sleep(begins_in));
    loop {
        tokio::select! {
            () = &mut turn => return Ok(()),
            close = session.ending() => return Err(Some(close)),
            received = meter.receive(socket) => {
                received?;
            }
        }
    }
}

/// Takes its seats, then says so: from SESSION_ESTABLISHED on nothing is missed.
async fn begin(
    socket: &mut WebSocket,
    node: &Arc<Node>,
    session: &Arc<Session>,
    Opening { seated, frames, resumes }: Opening,
) -> Result<(), Option<Close>> {
    let seated = seated.await?;
    node.seat(session, &seated);
    session.begin(resumes.is_some());
    // What is told from here on is told to this session; what it tells its client to resume from is before.
    let id = resumes.unwrap_or_else(|| EventId { told: seated.told, last: None }.to_string());
    let established = Message::Text(session_established(Some(&id)).into());
    within_limits(session, socket.send(established)).await?;
    let Some(mut frames) = frames else { return Ok(()) };
    while let Some(shown) = frames.next().await {
        let Shown { frame, event } = shown?;
        if event.is_none_or(|(channel, sequence)| session.show(channel, sequence)) {
            within_limits(session, socket.send(Message::Text(frame.into()))).await?;
        }
    }
    session.end_showing();
    Ok(())
}

/// Answers with the close to send, or nothing where the client has gone.
async fn serve(
    socket: &mut WebSocket,
    (node, session): (&Node, &Session),
    meter: &mut Meter,
    mut expiry: Option<Expiry>,
) -> Option<Close> {
    let mut pings = std::pin::pin!(sleep(PING_EVERY));
    let mut unanswered = 0;
    loop {
        tokio::select! {
            frames = session.frames() => {
                let frames = match frames {
                    Ok(frames) => frames,
                    Err(close) => return Some(close),
                };
                let sending = send_all(socket, &node.places.deliveries, frames);
                if let Err(ended) = Box::pin(within_limits(session, sending)).await {
                    return ended;
                }
                meter.forget_waking();
            }
            received = meter.receive(socket) => match received {
                Ok(Message::Pong(_)) => unanswered = 0,
                Ok(_) => {}
                Err(ended) => return ended,
            },
            () = expired(&mut expiry) => return Some(Close::EXPIRED),
            () = &mut pings => {
                if PINGS_MISSED_MAX <= unanswered {
                    return None;
                }
                unanswered += 1;
                pings.as_mut().reset(Instant::now() + PING_EVERY);
                let sending = socket.send(Message::Ping(Vec::new().into()));
                if let Err(ended) = Box::pin(within_limits(session, sending)).await {
                    return ended;
                }
            }
        }
    }
}

/// Waits until the credentials that opened a socket are over; where they never are, for ever.
async fn expired(expiry: &mut Option<Expiry>) {
    match expiry {
        Some(expiry) => expiry.await,
        None => std::future::pending().await,
    }
}

/// Sends all that waits, then flushes once.
async fn send_all(
    socket: &mut WebSocket,
    deliveries: &Times,
    frames: VecDeque<Frame>,
) -> Result<(), axum::Error> {
    for frame in &frames {
        socket.feed(Message::Text(frame.text.clone())).await?;
    }
    socket.flush().await?;
    let now = Instant::now();
    for committed_at in frames.iter().filter_map(|frame| frame.committed_at) {
        deliveries.observe(now - committed_at);
    }
    Ok(())
}

/// Sends, unless the session ends first: a socket that does not take what it is sent must not keep its session
/// from ending, nor wait for ever for a client that is gone.
async fn within_limits(
    session: &Session,
    sending: impl Future<Output = Result<(), axum::Error>>,
) -> Result<(), Option<Close>> {
    tokio::select! {
        biased;
        sent = sending => sent.map_err(|_| None),
        close = session.ending() => Err(Some(close)),
        () = sleep(SEND_TIMEOUT) => Err(None),
    }
}

/// Closes a socket with a code, and waits a moment for the client's answer.
pub(crate) async fn close(mut socket: WebSocket, Close { code, reason }: Close) {
    let limit = if code == Close::TRY_LATER { SLOW_CLOSE_TIMEOUT } else { CLOSE_TIMEOUT };
    let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    // A client that does not read to the end finds the connection gone.
    if let Ok(Ok(())) = timeout(limit, socket.send(frame)).await {
        let answered = async { while let Some(Ok(_)) = socket.recv().await {} };
        let _ = timeout(CLOSE_TIMEOUT, answered).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn frames_are_counted_by_the_second() {
        let mut meter = Meter::new(3);
        for _ in 0..4 {
            for _ in 0..3 {
                assert_eq!(meter.count(), Ok(()));
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        for _ in 0..3 {
            assert_eq!(meter.count(), Ok(()));
        }
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(meter.count(), Err(Close::FLOOD));
    }
}
