//! The pace of a connection: how long a head may take, how long nothing may come, how long an answer may wait for a
//! client that does not read.
//!
//! It stands around the socket itself, below TLS, and knows HTTP only by what the listener tells it: a request
//! begins to be answered, is answered, or became a socket with rules of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::places::Place;

/// How fast an answer must be taken, once it had to wait: enough for any line, and more than a client has who counts
/// bytes.
const WRITE_BYTES_PER_SECOND_MIN: u64 = 4 * 1024;
/// How long a body may come at any speed.
pub(crate) const BODY_GRACE: Duration = Duration::from_secs(10);
/// How long a head may take in a last place, and how long nothing may come there.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// A head.
    pub(crate) head: Duration,
    /// A body.
    pub(crate) body: Duration,
    /// How fast it must come, after [`BODY_GRACE`].
    pub(crate) body_bytes_per_second: u32,
    /// An answer that is not read.
    pub(crate) write: Duration,
    /// Between two requests.
    pub(crate) idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            head: seconds(10),
            body: seconds(60),
            body_bytes_per_second: 1024,
            write: seconds(30),
            idle: seconds(75),
        }
    }
}

/// How often something took too long.
#[derive(Debug, Default)]
pub(crate) struct Overdue {
    /// A head.
    pub(crate) heads: AtomicU64,
    /// A body.
    pub(crate) bodies: AtomicU64,
    /// An answer that was not read.
    pub(crate) writes: AtomicU64,
    /// The next request, which is nobody's fault.
    pub(crate) idle: AtomicU64,
    /// A handshake, or the head of the PROXY protocol.
    pub(crate) handshakes: AtomicU64,
}

impl Overdue {
    /// One more.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waiting for a head, of which something came.
const HEAD: u8 = 0;
/// Waiting for a head, of which nothing came.
const IDLE: u8 = 1;
/// A request is under way.
const BUSY: u8 = 2;
/// It is a socket now.
const FREE: u8 = 3;

/// Where a connection is, as its listener and its stream tell each other.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU8);

impl Progress {
    /// A request is being answered.
    pub(crate) fn begin(&self) {
        self.set(BUSY);
    }

    /// It is answered.
    pub(crate) fn end(&self) {
        self.set(IDLE);
    }

    /// It is a socket now, with rules of its own.
    pub(crate) fn free(&self) {
        self.set(FREE);
    }

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream with a pace, and with the place that it takes.
pub(crate) struct Paced<S> {
    stream: S,
    /// What was read of it already.
    ahead: Bytes,
    place: Arc<Place>,
    progress: Arc<Progress>,
    /// Nothing once it is a socket, of which there may be many.
    waits: Option<Box<Waits>>,
}

/// What is waited for, and how long.
struct Waits {
    patience: Patience,
    overdue: Arc<Overdue>,
    /// When what is waited for must have come; it is of this phase.
    due: Pin<Box<Sleep>>,
    phase: Option<u8>,
    /// When what is written must have been taken.
    write: Option<Write>,
}

struct Write {
    since: Instant,
    taken: u64,
    due: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    /// This stream, of which something was read `ahead`.
    pub(crate) fn new(
        (stream, ahead): (S, Bytes),
        place: Arc<Place>,
        progress: Arc<Progress>,
        patience: Patience,
        overdue: Arc<Overdue>,
    ) -> Self {
        let due = Box::pin(tokio::time::sleep(patience.head));
        let waits = Some(Box::new(Waits { patience, overdue, due, phase: None, write: None }));
        Self { stream, ahead, place, progress, waits }
    }

    fn waits(&mut self) -> Option<&mut Waits> {
        if self.progress.get() == FREE {
            self.waits = None;
        }
        self.waits.as_deref_mut()
    }

    /// Fails once what is waited for is overdue.
    fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let (phase, is_last) = (self.progress.get(), self.place.is_last());
        let Some(waits) = self.waits() else { return Poll::Pending };
        let wait = match phase {
            HEAD => waits.patience.head,
            IDLE => waits.patience.idle,
            _ => {
                waits.phase = None;
                return Poll::Pending;
            }
        };
        if waits.phase != Some(phase) {
            waits.phase = Some(phase);
            let wait = if is_last { wait.min(LAST_TIMEOUT) } else { wait };
            waits.due.as_mut().reset(Instant::now() + wait);
        }
        ready!(waits.due.as_mut().poll(context));
        Overdue::count(if phase == HEAD { &waits.overdue.heads } else { &waits.overdue.idle });
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// Fails once nobody has taken for too long what is written.
    fn poll_write_due(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some(waits) = self.waits() else { return Poll::Pending };
        let wait = waits.patience.write;
        let write = waits.write.get_or_insert_with(|| Write {
            since: Instant::now(),
            taken: 0,
            due: Box::pin(tokio::time::sleep(wait)),
        });
        let due = write.since + wait + Duration::from_secs(write.taken / WRITE_BYTES_PER_SECOND_MIN);
        if write.due.deadline() != due {
            write.due.as_mut().reset(due);
        }
        ready!(write.due.as_mut().poll(context));
        Overdue::count(&waits.overdue.writes);
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.poll_write_due(context).map(Err),
            Poll::Ready(Ok(length)) => {
                if let Some(write) = self.waits.as_mut().and_then(|waits| waits.write.as_mut()) {
                    write.taken += *length as u64;
                }
                written
            }
            Poll::Ready(Err(_)) => written,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..length]);
            self.ahead.advance(length);
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                if self.progress.get() == IDLE {
                    self.progress.set(HEAD);
                }
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_due(context).map(Err),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Whoever flushes has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if let Some(waits) = &mut self.waits {
            waits.write = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::super::places::{Allowance, Peer, Places};
    use super::*;

    fn paced() -> (Paced<DuplexStream>, DuplexStream, Arc<Progress>, Arc<Overdue>) {
        let (here, there) = duplex(64);
        let place = Places::new(Allowance::default().with_files(256))
            .take(Peer::Client([192, 0, 2, 1].into()))
            .unwrap();
        let (progress, overdue) = (Arc::<Progress>::default(), Arc::<Overdue>::default());
        let pieces = (here, Bytes::from_static(b"ahead"));
        let stream =
            Paced::new(pieces, Arc::new(place), progress.clone(), Patience::default(), overdue.clone());
        (stream, there, progress, overdue)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_one_time_however_it_trickles() {
        let (mut stream, mut client, progress, overdue) = paced();
        let trickle = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let began = Instant::now();
        let mut all = Vec::new();
        let error = stream.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(all.starts_with(b"ahead") && began.elapsed() < Duration::from_secs(12), "{all:?}");
        assert_eq!(overdue.heads.load(Ordering::Relaxed), 1);
        // While a request is under way the time of a head does not run.
        progress.begin();
        let waiting = tokio::time::timeout(Duration::from_mins(5), stream.read_u8()).await;
        assert!(!matches!(waiting, Ok(Err(_))));
        drop(stream);
        trickle.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_there_is_more_time() {
        let (mut stream, _client, progress, overdue) = paced();
        progress.end();
        let began = Instant::now();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap_err();
        assert!(Duration::from_secs(70) < began.elapsed());
        assert_eq!(overdue.idle.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_given_up_and_who_reads_slowly_is_not() {
        let (mut stream, mut client, progress, overdue) = paced();
        progress.begin();
        let reading = tokio::spawn(async move {
            let mut all = vec![0; 640];
            for piece in all.chunks_mut(64) {
                tokio::time::sleep(Duration::from_secs(2)).await;
                client.read_exact(piece).await.unwrap();
            }
            client
        });
        stream.write_all(&[b'x'; 640]).await.unwrap();
        stream.flush().await.unwrap();
        let _client = reading.await.unwrap();
        let error = stream.write_all(&[b'x'; 640]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(overdue.writes.load(Ordering::Relaxed), 1);
        progress.free();
        let free = tokio::time::timeout(Duration::from_mins(5), stream.write_all(b"x")).await;
        assert!(free.is_err(), "a socket has rules of its own");
    }
}
