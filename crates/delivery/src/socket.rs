//! A session: one socket, from SESSION_ESTABLISHED to the close.
//!
//! The client never sends data; whatever it sends is ignored, its pings are answered. The server pings, and
//! gives a client up that does not answer. An idle session is one small future and one timer: what only its
//! beginning, a send or its end need is allocated for as long as that lasts.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use carillon_meter::Times;
use carillon_model::event::{EventId, session_established};
use carillon_model::session::{Close, Entrance, Seated, Shown};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::frames::{self, Heard};
use crate::node::Node;
use crate::session::Session;
use crate::web_socket::{Frame, WebSocket};

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
pub async fn refuse(mut socket: WebSocket, close_with: Close) {
    if close_with.code == Close::TRY_LATER {
        sleep(HOLD).await;
    }
    close(&mut socket, close_with).await;
}

/// A session that has begun.
pub struct Serving {
    socket: WebSocket,
    node: Arc<Node>,
    session: Arc<Session>,
    meter: Meter,
    expiry: Option<Expiry>,
    /// Pings that were not answered.
    unanswered: u32,
    /// For as long as the session lasts.
    _token: TaskTrackerToken,
}

/// Begins a session; nothing where it has ended.
pub(crate) async fn begin(
    socket: WebSocket,
    node: Arc<Node>,
    entrance: Entrance,
    opening: Opening,
    expiry: Option<Expiry>,
    token: TaskTrackerToken,
) -> Option<Serving> {
    let (begins_in, meter) = (entrance.begins_in, Meter::new(entrance.frames_max));
    let session = node.enter(entrance);
    let mut serving = Serving { socket, node, session, meter, expiry, unanswered: 0, _token: token };
    let mut begun = serving.hold(begins_in).await;
    if begun.is_ok() {
        begun = serving.begin(opening).await;
    }
    match begun {
        Ok(()) => Some(serving),
        Err(close) => {
            serving.end(close).await;
            None
        }
    }
}

/// Counts the frames that a client sends. It is expected to send pongs, a few pings, and nothing else. Whatever comes
/// without being a whole frame counts as one, too.
struct Meter {
    frames_max: u32,
    /// When the present second began.
    since: Instant,
    frames: u32,
}

impl Meter {
    fn new(frames_max: u32) -> Self {
        Self { frames_max, since: Instant::now(), frames: 0 }
    }

    /// Counts what came; one too many ends the session.
    fn count(&mut self, frames: u32) -> Result<(), Close> {
        let now = Instant::now();
        if Duration::from_secs(1) <= now - self.since {
            (self.since, self.frames) = (now, 0);
        }
        self.frames = self.frames.saturating_add(frames.max(1));
        if self.frames_max < self.frames { Err(Close::FLOOD) } else { Ok(()) }
    }
}

impl Serving {
    /// Serves the session until it ends.
    pub async fn run(&mut self) {
        let ended = self.serve().await;
        Box::pin(self.end(ended)).await;
    }

    /// Holds it until its turn comes, and answers pings meanwhile.
    async fn hold(&mut self, begins_in: Duration) -> Result<(), Option<Close>> {
        if begins_in.is_zero() {
            return Ok(());
        }
        let mut turn = std::pin::pin!(sleep(begins_in));
        loop {
            tokio::select! {
                () = &mut turn => return Ok(()),
                close = self.session.ending() => return Err(Some(close)),
                heard = self.socket.hear() => {
                    self.heard(heard).await?;
                }
            }
        }
    }

    /// Takes its seats, then says so: from SESSION_ESTABLISHED on nothing is missed.
    async fn begin(&mut self, Opening { seated, frames, resumes }: Opening) -> Result<(), Option<Close>> {
        let seated = seated.await?;
        self.node.seat(&self.session, &seated);
        self.session.begin(resumes.is_some());
        // What is told from here on is told to this session; what it tells its client to resume from is before.
        let id = resumes.unwrap_or_else(|| EventId { told: seated.told, last: None }.to_string());
        self.send(frames::text(&session_established(Some(&id)))).await?;
        let Some(mut frames) = frames else { return Ok(()) };
        while let Some(shown) = frames.next().await {
            let Shown { frame, event } = shown?;
            if event.is_none_or(|(channel, sequence)| self.session.show(channel, sequence)) {
                self.send(frames::text(&frame)).await?;
            }
        }
        self.session.end_showing();
        Ok(())
    }

    /// Answers with the close to send, or nothing where the client has gone.
    async fn serve(&mut self) -> Option<Close> {
        let mut pings = std::pin::pin!(sleep(PING_EVERY));
        loop {
            tokio::select! {
                frames = self.session.frames() => match frames {
                    Ok(frames) => {
                        self.socket.add(frames);
                        if let Err(ended) = self.flush().await {
                            return ended;
                        }
                    }
                    Err(close) => return Some(close),
                },
                heard = self.socket.hear() => if let Err(ended) = self.heard(heard).await {
                    return ended;
                },
                () = expired(&mut self.expiry) => return Some(Close::EXPIRED),
                () = &mut pings => {
                    if PINGS_MISSED_MAX <= self.unanswered {
                        return None;
                    }
                    self.unanswered += 1;
                    pings.as_mut().reset(Instant::now() + PING_EVERY);
                    if let Err(ended) = self.send(frames::ping()).await {
                        return ended;
                    }
                }
            }
        }
    }

    /// Takes up what the client said; answers with the close to send, or nothing where the client has gone.
    async fn heard(&mut self, heard: io::Result<Heard>) -> Result<(), Option<Close>> {
        let heard = heard.map_err(|_| None)?;
        self.meter.count(heard.frames)?;
        if heard.has_pong {
            self.unanswered = 0;
        }
        let Some(code) = heard.close else { return Ok(()) };
        let answer = self.socket.close(frames::close_answer(code));
        let _ = Box::pin(timeout(CLOSE_TIMEOUT, answer)).await;
        Err(None)
    }

    async fn send(&mut self, frame: Bytes) -> Result<(), Option<Close>> {
        self.socket.add([Frame::new(frame)].into());
        self.flush().await
    }

    /// Writes what waits, unless the session ends first: a socket that does not take what it is sent must not keep its
    /// session from ending, nor wait for ever for a client that is gone.
    async fn flush(&mut self) -> Result<(), Option<Close>> {
        let Self { socket, session, node, .. } = self;
        let mut flush = |context: &mut Context<'_>| {
            let mut left = Left { deliveries: &node.places.deliveries, last: None };
            socket.poll_flush(context, |frame| left.note(frame.committed_at))
        };
        // As nearly always it is taken at once.
        if let Poll::Ready(flushed) = poll_fn(|context| Poll::Ready(flush(context))).await {
            return flushed.map_err(|_| None);
        }
        Box::pin(async {
            tokio::select! {
                biased;
                flushed = poll_fn(flush) => flushed.map_err(|_| None),
                close = session.ending() => Err(Some(close)),
                () = sleep(SEND_TIMEOUT) => Err(None),
            }
        })
        .await
    }

    /// Ends the session, with a close where the client is still there.
    async fn end(&mut self, ended: Option<Close>) {
        self.node.leave(&self.session);
        if let Some(reason) = ended {
            self.node.places.count(reason);
            close(&mut self.socket, reason).await;
        }
    }
}

/// Frames that left together. Those of one commit took as long.
struct Left<'a> {
    deliveries: &'a Times,
    /// When the last of them were committed, and how many.
    last: Option<(Instant, u64)>,
}

impl Left<'_> {
    fn note(&mut self, committed_at: Option<Instant>) {
        match (&mut self.last, committed_at) {
            (Some((last, count)), Some(one)) if *last == one => *count += 1,
            (last, one) => {
                let before = std::mem::replace(last, one.map(|one| (one, 1)));
                self.observe(before);
            }
        }
    }

    fn observe(&self, frames: Option<(Instant, u64)>) {
        if let Some((committed_at, count)) = frames {
            self.deliveries.observe_all(committed_at.elapsed(), count);
        }
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.observe(self.last);
    }
}

/// Waits until the credentials that opened a socket are over; where they never are, for ever.
async fn expired(expiry: &mut Option<Expiry>) {
    match expiry {
        Some(expiry) => expiry.await,
        None => std::future::pending().await,
    }
}

/// Closes a socket with a code, and waits a moment for the client's answer.
pub(crate) async fn close(socket: &mut WebSocket, Close { code, reason }: Close) {
    let limit = if code == Close::TRY_LATER { SLOW_CLOSE_TIMEOUT } else { CLOSE_TIMEOUT };
    // A client that does not read to the end finds the connection gone.
    if let Ok(Ok(())) = timeout(limit, socket.close(frames::close(code, reason))).await {
        let answered = async { while let Ok(Heard { close: None, .. }) = socket.hear().await {} };
        let _ = timeout(CLOSE_TIMEOUT, answered).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_running<'a, F: Future + 'a>(_: fn(&'a mut Serving) -> F) -> usize {
        size_of::<F>()
    }

    /// There may be tens of thousands. What only a beginning, a send or an end needs is to be boxed.
    #[test]
    fn an_idle_session_is_small() {
        let (kept, running) = (size_of::<Serving>(), size_of_running(Serving::run));
        assert!(kept <= 256 && running <= 512, "{kept} {running}");
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_counted_by_the_second() {
        let mut meter = Meter::new(3);
        for _ in 0..4 {
            for _ in 0..3 {
                assert_eq!(meter.count(1), Ok(()));
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        for _ in 0..3 {
            assert_eq!(meter.count(1), Ok(()));
        }
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(meter.count(1), Err(Close::FLOOD));
    }
}
