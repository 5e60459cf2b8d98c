//! Many open sockets, in clear text or under TLS, and a tally of what comes to them.
//!
//! A socket counts the events that come to it: all sockets of a channel get the same ones in the same order, so the
//! one with a certain place has reached everybody once that many sockets have counted so far.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use carillon_model::IdentityArn;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::scene::lost;
use super::socket::{CLOSE, PING, TEXT, parse, pong, upgrade_request};
use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, Result};

/// Events whose arrivals are counted at once. No round sends more.
pub(crate) const EVENTS_MAX: usize = 1 << 16;
/// Sockets that are being opened at once.
const OPENING_MAX: usize = 64;
/// What a socket that is to stall lets the kernel keep for it: little, but enough to be read fast once it is read.
const STALLED_BUFFER_BYTES: u32 = 128 * 1024;

/// What came to the sockets of a crowd.
pub(crate) struct Tally {
    start: Instant,
    /// How many sockets an event must reach.
    listeners: AtomicUsize,
    slots: Box<[Slot]>,
    /// Events that reached everybody.
    pub(crate) completed: AtomicUsize,
    /// Events that came, each counted at each socket.
    pub(crate) delivered: AtomicU64,
    /// Rung when an event reached everybody.
    pub(crate) bell: Notify,
}

#[derive(Default)]
struct Slot {
    arrived: AtomicUsize,
    completed_us: AtomicU64,
}

impl Tally {
    /// A tally of events that must reach this many sockets.
    pub(crate) fn of(listeners: usize) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            listeners: AtomicUsize::new(listeners),
            slots: (0..EVENTS_MAX).map(|_| Slot::default()).collect(),
            completed: AtomicUsize::new(0),
            delivered: AtomicU64::new(0),
            bell: Notify::new(),
        })
    }

    /// Microseconds since the tally was made.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// When the event with this place reached the last socket.
    pub(crate) fn completed_us(&self, place: usize) -> u64 {
        self.slots[place % EVENTS_MAX].completed_us.load(Ordering::Acquire)
    }

    fn note(&self, place: usize) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        let slot = &self.slots[place % EVENTS_MAX];
        if slot.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.listeners.load(Ordering::Relaxed) {
            slot.arrived.store(0, Ordering::Release);
            slot.completed_us.store(self.now_us(), Ordering::Release);
            self.completed.fetch_add(1, Ordering::AcqRel);
            self.bell.notify_waiters();
        }
    }
}

/// Where sockets are opened, and how.
#[derive(Clone)]
pub(crate) struct Door {
    /// The address.
    pub(crate) address: SocketAddr,
    /// Who signs.
    pub(crate) root: RootKey,
    tls: Option<TlsConnector>,
}

impl Door {
    /// In clear text.
    pub(crate) fn plain(address: SocketAddr, root: &RootKey) -> Self {
        Self { address, root: root.clone(), tls: None }
    }

    /// Under TLS, trusting this CA.
    pub(crate) fn secure(address: SocketAddr, root: &RootKey, ca: &Path) -> Result<Self> {
        let failed = |words: String| Error::failure(format!("the development CA cannot be used: {words}"));
        let certificate = CertificateDer::from_pem_file(ca).map_err(|error| failed(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self { address, root: root.clone(), tls: Some(TlsConnector::from(Arc::new(config))) })
    }

    /// Opens the socket of a user, who resumes from an event if they were told of one, and reads its first frame.
    pub(crate) async fn open(
        &self,
        user: &IdentityArn,
        stalled: bool,
        resume_from: Option<&str>,
    ) -> io::Result<(Socket, Vec<u8>)> {
        let socket = TcpSocket::new_v4()?;
        if stalled {
            socket.set_recv_buffer_size(STALLED_BUFFER_BYTES)?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let host = if self.tls.is_some() { "localhost".to_owned() } else { self.address.to_string() };
        let stream = match &self.tls {
            None => Stream::Plain(stream),
            Some(connector) => {
                let name = ServerName::try_from("localhost").map_err(|_| io::ErrorKind::InvalidInput)?;
                Stream::Secure(Box::new(connector.connect(name, stream).await?))
            }
        };
        let mut socket = Socket { stream, received: Vec::new() };
        socket.write_all(upgrade_request(&host, &self.root, user, resume_from).as_bytes()).await?;
        socket.upgraded().await?;
        // The first frame says that from here on nothing is missed.
        let (_, first) = socket.frame().await?;
        Ok((socket, first))
    }
}

enum Stream {
    Plain(TcpStream),
    Secure(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// One open socket.
pub(crate) struct Socket {
    stream: Stream,
    received: Vec<u8>,
}

impl Socket {
    fn reader(&mut self) -> (&mut (dyn AsyncRead + Send + Unpin), &mut Vec<u8>) {
        match &mut self.stream {
            Stream::Plain(stream) => (stream, &mut self.received),
            Stream::Secure(stream) => (stream.as_mut(), &mut self.received),
        }
    }

    async fn read_more(&mut self) -> io::Result<()> {
        let (stream, received) = self.reader();
        received.reserve(1_024);
        if stream.read_buf(received).await? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream: &mut (dyn AsyncWrite + Send + Unpin) = match &mut self.stream {
            Stream::Plain(stream) => stream,
            Stream::Secure(stream) => stream.as_mut(),
        };
        stream.write_all(bytes).await?;
        stream.flush().await
    }

    async fn upgraded(&mut self) -> io::Result<()> {
        loop {
            let end = self.received.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(at) = end {
                let accepted = self.received.starts_with(b"HTTP/1.1 101");
                self.received.drain(..at + 4);
                return if accepted { Ok(()) } else { Err(io::ErrorKind::ConnectionRefused.into()) };
            }
            self.read_more().await?;
        }
    }

    /// The next frame: its kind and payload.
    pub(crate) async fn frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            if let Some((kind, start, end)) = parse(&self.received) {
                let payload = self.received[start..end].to_vec();
                self.received.drain(..end);
                return Ok((kind, payload));
            }
            self.read_more().await?;
        }
    }

    /// Hands each event over until the socket ends; answers the close code, if there was one.
    pub(crate) async fn listen(mut self, mut hear: impl FnMut(&[u8])) -> io::Result<Option<u16>> {
        loop {
            let mut at = 0;
            while let Some((kind, start, end)) = parse(&self.received[at..]) {
                let payload = at + start..at + end;
                match kind {
                    TEXT => hear(&self.received[payload]),
                    PING => {
                        let answer = pong(&self.received[payload])?;
                        self.write_all(&answer).await?;
                    }
                    CLOSE => return Ok(code_in(&self.received[payload])),
                    _ => {}
                }
                at += end;
            }
            self.received.drain(..at);
            if self.received.is_empty() {
                self.received = Vec::new(); // Ten thousand that are idle must not weigh on the machine.
            }
            self.read_more().await?;
        }
    }

    /// Reads to the end, and answers the close code, if there was one.
    pub(crate) async fn close_code(mut self) -> Option<u16> {
        loop {
            match self.frame().await {
                Ok((CLOSE, payload)) => return code_in(&payload),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

fn code_in(payload: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(payload.get(..2)?.try_into().ok()?))
}

/// Sockets that count into one tally.
pub(crate) struct Crowd {
    sockets: Vec<JoinHandle<io::Result<Option<u16>>>>,
}

impl Crowd {
    /// Opens a socket for each user, and counts what comes to each.
    pub(crate) async fn gather(door: &Door, users: &[IdentityArn], tally: &Arc<Tally>) -> Result<Self> {
        Self::listening(door, users, || {
            let (tally, mut place) = (tally.clone(), 0);
            move |_: &[u8]| {
                tally.note(place);
                place += 1;
            }
        })
        .await
    }

    /// Opens a socket for each user; what comes to it is handed to an ear of its own.
    pub(crate) async fn listening<F: FnMut(&[u8]) + Send + 'static>(
        door: &Door,
        users: &[IdentityArn],
        ear: impl Fn() -> F,
    ) -> Result<Self> {
        let (mut sockets, mut opening) = (Vec::with_capacity(users.len()), JoinSet::new());
        let mut left = users.iter();
        loop {
            while opening.len() < OPENING_MAX
                && let Some(user) = left.next()
            {
                let (door, user) = (door.clone(), user.clone());
                opening.spawn(async move { Ok(door.open(&user, false, None).await?.0) });
            }
            let Some(opened) = opening.join_next().await else { return Ok(Self { sockets }) };
            let opened = opened.map_err(|error| Error::failure(format!("a socket ended badly: {error}")))?;
            let (socket, ear) = (opened.map_err(|error: io::Error| lost(&error))?, ear());
            sockets.push(tokio::spawn(socket.listen(ear)));
        }
    }

    /// Opens one socket more, which is not read.
    pub(crate) async fn stalled(door: &Door, user: &IdentityArn) -> Result<Socket> {
        Ok(Self::resumed(door, user, None).await?.0)
    }

    /// Opens one socket more, which is read slowly if at all, and resumes from an event; answers with its first frame.
    pub(crate) async fn resumed(
        door: &Door,
        user: &IdentityArn,
        from: Option<&str>,
    ) -> Result<(Socket, Vec<u8>)> {
        door.open(user, true, from).await.map_err(|error| lost(&error))
    }

    /// How many sockets have ended, which none should.
    pub(crate) fn gone(&self) -> usize {
        self.sockets.iter().filter(|socket| socket.is_finished()).count()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.sockets.iter().for_each(JoinHandle::abort);
    }
}
