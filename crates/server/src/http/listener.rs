//! A listener: a port, with or without TLS, and the connections that come to it. Each has a place and a pace; what is
//! answered there is the router's affair.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use bytes::Bytes;
use carillon_service::front::request::{ClientAddress, SecureTransport, Signed};
use futures_util::FutureExt as _;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::letters::Letters;
use super::pace::{Overdue, Paced, Patience, Progress};
use super::places::{Caps, Peer, Place, Places};
use super::port::Port;
use super::proxies::{Proxies, Source};
use super::proxy_head;
use super::reception::Reception;
use crate::answer::{full, last};
use crate::certificate::PROOF_PROTOCOL;
use crate::error::{Error, Result};

/// How long a handshake may take, and the head of the PROXY protocol.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of a head, and of what a connection has waiting to be read or written: hyper answers 431 beyond. It
/// takes a hundred headers of a request.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How many requests of a second nobody need have signed on one connection; one more is the last. Pages ask before they
/// ask, and balancers ask whether we are well, but neither so often.
pub(crate) const UNSIGNED_PER_SECOND_MAX: u32 = 10;
/// How many have come and not begun, of one listener: where there are more, the system's queue keeps them.
const ARRIVED_MAX: usize = 16_384;
/// How many begin before everybody else has had a turn.
const BEGINNING_MAX: usize = 4;
/// How long to wait where no connection can be accepted, for want of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all listeners share.
pub(crate) struct Door {
    /// Who may be connected.
    pub(crate) places: Arc<Places>,
    /// How long things may take.
    pub(crate) patience: Patience,
    /// What took longer.
    pub(crate) overdue: Arc<Overdue>,
    /// Which proxies are believed.
    pub(crate) proxies: Proxies,
    /// How many requests of a second nobody need have signed on one connection.
    pub(crate) unsigned_per_second_max: u32,
}

/// A listener that answers.
pub struct Listening {
    /// Nobody else comes, and who is here is asked to leave.
    stopping: CancellationToken,
    /// Who is still here is shown out.
    ending: CancellationToken,
    connections: TaskTracker,
}

impl Listening {
    /// Takes no more connections, and waits until what is in flight is answered or the time is over.
    pub async fn stop(self, within: Duration) {
        self.stopping.cancel();
        self.connections.close();
        if tokio::time::timeout(within, self.connections.wait()).await.is_err() {
            self.ending.cancel();
            self.connections.wait().await;
        }
    }
}

/// How a listener speaks.
#[derive(Default)]
pub(crate) struct Speech {
    /// TLS, if so.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Whether trusted proxies begin with the PROXY protocol, and nobody else is heard.
    pub(crate) proxied: bool,
}

/// Answers what comes to a port, as many as come: for load, and for processors of the bench.
pub fn serve(port: Port, tls: Option<Arc<ServerConfig>>, router: Router) -> Result<Listening> {
    let door = Door {
        places: Places::new(Caps::NONE),
        patience: Patience::default(),
        overdue: Arc::default(),
        proxies: Proxies::default(),
        unsigned_per_second_max: u32::MAX,
    };
    serve_at(port, Speech { tls, proxied: false }, router, &Arc::new(door))
}

/// Answers what comes to a port through the door.
pub(crate) fn serve_at(
    port: Port,
    speech: Speech,
    reception: impl Reception,
    door: &Arc<Door>,
) -> Result<Listening> {
    let listen = || {
        port.listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(port.listener)
    };
    let listener = listen().map_err(|error| Error::failure(format!("cannot listen: {error}")))?;
    let mut builder = Builder::new();
    // Heads and idle connections have their time from the pace, which knows one from the other.
    builder.header_read_timeout(None).max_header_size(HEAD_BYTES_MAX).max_buf_size(HEAD_BYTES_MAX);
    // Title case also for what hyper answers by itself; see `letters` for the names it does not fit.
    builder.title_case_headers(true);
    let listening = Listening {
        stopping: CancellationToken::new(),
        ending: CancellationToken::new(),
        connections: TaskTracker::new(),
    };
    let visit = Visit {
        door: door.clone(),
        tls: speech.tls.map(TlsAcceptor::from),
        proxied: speech.proxied,
        reception,
        letters: Letters::learn(),
        builder,
        stopping: listening.stopping.clone(),
    };
    let (ending, connections) = (listening.ending.clone(), listening.connections.clone());
    listening.connections.spawn(accept(listener, visit, ending, connections));
    Ok(listening)
}

/// Accepts connections until it is time to stop. Where thousands come at once, as after a lost network, all of them are
/// taken out of the system's queue, which drops whom it has no room for, to try again a second later; and a few of them
/// begin at a time, so that whoever is here already is heard between them.
async fn accept(
    listener: tokio::net::TcpListener,
    visit: Visit<impl Reception>,
    ending: CancellationToken,
    connections: TaskTracker,
) {
    let stopping = visit.stopping.clone();
    let hall = Hall { visit: Arc::new(visit), ending, connections };
    let accepting = async {
        let mut arrived = VecDeque::<Arrival>::new();
        loop {
            // None where somebody waits to begin, and nobody else has come.
            let accepted = match arrived.is_empty() {
                true => Some(listener.accept().await),
                false if ARRIVED_MAX <= arrived.len() => None,
                false => listener.accept().now_or_never(),
            };
            match accepted {
                Some(Ok((stream, address))) => {
                    arrived.extend(hall.arrive(stream, address));
                    // Who has lost a last place to the newest has come before most others, and keeps no file open.
                    while arrived.front().is_some_and(Arrival::is_lost) {
                        arrived.pop_front();
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot accept connections");
                    // Whatever there is too little of, some of it comes back only when they have ended.
                    arrived.drain(..).for_each(|arrival| hall.begin(arrival));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                None => {
                    let few = arrived.len().min(BEGINNING_MAX);
                    arrived.drain(..few).for_each(|arrival| hall.begin(arrival));
                    tokio::task::yield_now().await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stopping.cancelled() => {}
        never = accepting => never,
    }
}

/// Somebody who has come, and not yet begun.
struct Arrival {
    stream: TcpStream,
    address: SocketAddr,
    peer: Peer,
    place: Arc<Place>,
}

impl Arrival {
    fn is_lost(&self) -> bool {
        self.place.lost.is_cancelled()
    }
}

/// Where connections of one listener arrive, begin and end.
struct Hall<R> {
    visit: Arc<Visit<R>>,
    ending: CancellationToken,
    connections: TaskTracker,
}

impl<R: Reception> Hall<R> {
    /// Takes a place, so that no more are accepted than there are.
    fn arrive(&self, stream: TcpStream, address: SocketAddr) -> Option<Arrival> {
        let (near, door) = (address.ip().to_canonical(), &self.visit.door);
        let peer = if door.proxies.trust(near) { Peer::Proxy(near) } else { Peer::Client(near) };
        let place = Arc::new(door.places.take(peer)?);
        Some(Arrival { stream, address, peer, place })
    }

    fn begin(&self, Arrival { stream, address, peer, place }: Arrival) {
        let (visit, ending) = (self.visit.clone(), self.ending.clone());
        self.connections.spawn(async move {
            let lost = place.lost.clone();
            tokio::select! {
                biased;
                () = ending.cancelled() => {}
                () = lost.cancelled() => {}
                ended = visit.receive(stream, peer, place) => if let Err(error) = ended {
                    tracing::debug!(client = %address, %error, "a connection ended badly");
                },
            }
        });
    }
}

/// What connections of one listener have in common.
struct Visit<R> {
    door: Arc<Door>,
    tls: Option<TlsAcceptor>,
    proxied: bool,
    reception: R,
    letters: Letters,
    builder: Builder,
    stopping: CancellationToken,
}

impl<R: Reception> Visit<R> {
    /// Serves a connection from its first byte to its last.
    async fn receive(&self, mut stream: TcpStream, peer: Peer, mut place: Arc<Place>) -> io::Result<()> {
        // An event that waits for the answer to the one before it is late.
        stream.set_nodelay(true)?;
        let (Peer::Client(address) | Peer::Proxy(address)) = peer;
        let mut near = Source { address, is_secure: self.tls.is_some() };
        let mut ahead = Bytes::new();
        if self.proxied {
            if matches!(peer, Peer::Client(_)) {
                place.count_refused();
                return Err(io::Error::other(
                    "only trusted proxies may connect where the PROXY protocol is spoken",
                ));
            }
            let (told, rest) = self.in_time(proxy_head::read(&mut stream)).await?;
            ahead = rest;
            if let Some(client) = told.address {
                near = Source { address: client, is_secure: near.is_secure || told.is_secure };
                let peer =
                    if self.door.proxies.trust(client) { Peer::Proxy(client) } else { Peer::Client(client) };
                let Some(taken) = self.door.places.take(peer) else { return Ok(()) };
                place = Arc::new(taken);
            }
        }
        let progress = Arc::<Progress>::default();
        let (patience, overdue) = (self.door.patience, self.door.overdue.clone());
        let lost = place.lost.clone();
        let unsigned = Mutex::new((Instant::now(), 0));
        let letters = self.letters.clone();
        let guest = Guest { near, place: place.clone(), progress: progress.clone(), letters, unsigned };
        if self.tls.is_some() {
            // A handshake has a time of its own.
            progress.begin();
        }
        let stream = Paced::new((stream, ahead), place, progress, patience, overdue);
        let serving = async {
            match &self.tls {
                None => self.converse(stream, guest).await,
                Some(tls) => {
                    let stream = self.in_time(tls.accept(stream)).await?;
                    guest.progress.end();
                    if stream.get_ref().1.alpn_protocol() == Some(PROOF_PROTOCOL) {
                        // Whoever asked for a proof has it, and has nothing more to say.
                        return Ok(());
                    }
                    self.converse(stream, guest).await
                }
            }
        };
        tokio::select! {
            biased;
            () = lost.cancelled() => Ok(()),
            served = serving => served,
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::time::timeout(HANDSHAKE_TIMEOUT, work).await.unwrap_or_else(|_| {
            Overdue::count(&self.door.overdue.handshakes);
            Err(io::ErrorKind::TimedOut.into())
        })
    }

    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        guest: Guest,
    ) -> io::Result<()> {
        let shared = Arc::new((guest, self.reception.clone(), self.door.clone()));
        let service = service_fn(move |request| {
            let shared = shared.clone();
            async move {
                let (guest, reception, door) = &*shared;
                Ok::<_, Infallible>(guest.answer(request, reception, door).await)
            }
        });
        // HTTP/1.1 only, also in clear text: browsers open sockets on nothing else.
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut connection = pin!(connection);
        let served = tokio::select! {
            biased;
            served = connection.as_mut() => served,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        served.map_err(io::Error::other)
    }
}

/// Who is on the other end of a connection.
struct Guest {
    near: Source,
    place: Arc<Place>,
    progress: Arc<Progress>,
    letters: Letters,
    /// Since when requests are counted that nobody signed, and how many there were.
    unsigned: Mutex<(Instant, u32)>,
}

impl Guest {
    /// Answers one request.
    async fn answer(
        &self,
        mut request: Request<Incoming>,
        reception: &impl Reception,
        door: &Door,
    ) -> Response {
        self.progress.begin();
        let source = door.proxies.source(self.near, request.headers());
        request.extensions_mut().insert(ClientAddress(source.address));
        request.extensions_mut().insert(SecureTransport(source.is_secure));
        let response = self.letters.spell(reception.answer(request).await);
        let is_signed = response.extensions().get::<Signed>().is_some();
        if is_signed {
            self.place.signed();
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if self.place.is_last() {
                // A socket would stay.
                return last(self.letters.spell(full()));
            }
            self.progress.free();
            return response;
        }
        self.progress.end();
        // Where the newest takes the oldest's place nobody stays.
        let ends = self.place.is_last() || !(is_signed || self.is_patient(door));
        if ends { last(response) } else { response }
    }

    /// Counts a request that nobody signed; whether there may be another.
    fn is_patient(&self, door: &Door) -> bool {
        let mut unsigned = self.unsigned.lock().unwrap_or_else(PoisonError::into_inner);
        if Duration::from_secs(1) < unsigned.0.elapsed() {
            *unsigned = (Instant::now(), 0);
        }
        unsigned.1 += 1;
        unsigned.1 <= door.unsigned_per_second_max
    }
}
