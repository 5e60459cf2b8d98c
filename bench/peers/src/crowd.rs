//! Many connections that listen, and a tally of what comes to them.
//!
//! A message is known by its mark, whatever it is wrapped in, so that all protocols cost the listeners about the same.
//! All of them hear the same messages: the one with a certain place has reached everybody once so many have counted
//! so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::Result;
use crate::peer::{MARK, Peer};
use crate::wire::websocket;

/// Messages whose arrivals are counted at once; many more than are under way.
const PLACES: usize = 1 << 12;
/// Connections that are being opened at once.
const OPENING_MAX: usize = 32;
/// What of a stream is read in one go.
const READ_BYTES: usize = 16 * 1_024;

/// What messages are wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Frames of WebSocket.
    Frames,
    /// The protocol of NATS in frames of WebSocket.
    NatsInFrames,
    /// A stream in which a message is told by its mark alone.
    Stream,
}

/// An open connection that hears everything from now on.
pub(crate) struct Listener {
    /// The connection.
    pub(crate) stream: TcpStream,
    /// What came, and was not looked at.
    pub(crate) received: Vec<u8>,
    /// What messages are wrapped in.
    pub(crate) wire: Wire,
}

impl Listener {
    /// Counts messages until the connection ends.
    async fn count(self, tally: Arc<Tally>) -> Result<()> {
        let (mut marks, mut place) = (Marks::default(), 0);
        let note = |arrived| {
            (place..place + arrived).for_each(|place| tally.note(place));
            place += arrived;
        };
        self.read(|piece| marks.count(piece), note).await
    }

    /// Reads until the connection ends: how many messages there are in each piece, and how many came at once.
    async fn read(
        mut self,
        mut count: impl FnMut(&[u8]) -> usize,
        mut note: impl FnMut(usize),
    ) -> Result<()> {
        let mut answers = Vec::new();
        loop {
            note(take(&mut self.received, self.wire, &mut count, &mut answers)?);
            if !answers.is_empty() {
                self.stream.write_all(&answers).await?;
                answers.clear();
            }
            if self.received.is_empty() {
                self.received = Vec::new(); // Thousands that are idle must not weigh on the machine.
                self.stream.readable().await?;
                self.received.reserve(READ_BYTES);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err("a server closed the connection of a listener".into());
            }
        }
    }
}

/// Takes what is there whole: how many messages there were, and what is to be answered.
fn take(
    received: &mut Vec<u8>,
    wire: Wire,
    count: &mut impl FnMut(&[u8]) -> usize,
    answers: &mut Vec<u8>,
) -> Result<usize> {
    if wire == Wire::Stream {
        let found = count(received);
        received.clear();
        return Ok(found);
    }
    let (mut at, mut found) = (0, 0);
    while let Some((kind, start, end)) = websocket::parse(&received[at..]) {
        let payload = &received[at + start..at + end];
        match kind {
            websocket::PING => answers.extend(websocket::frame(websocket::PONG, payload)),
            websocket::CLOSE => return Err("a server closed the socket of a listener".into()),
            _ if wire == Wire::NatsInFrames && payload.starts_with(b"PING") => {
                answers.extend(websocket::frame(websocket::BINARY, b"PONG\r\n"));
                found += count(payload);
            }
            _ => found += count(payload),
        }
        at += end;
    }
    received.drain(..at);
    Ok(found)
}

/// Finds marks in a stream that comes in pieces.
#[derive(Default)]
struct Marks {
    /// How much of one stood at the end of the last piece.
    matched: usize,
}

impl Marks {
    fn count(&mut self, mut piece: &[u8]) -> usize {
        let mut found = 0;
        while !piece.is_empty() {
            if self.matched == 0 {
                let Some(at) = memchr::memchr(MARK[0], piece) else { return found };
                (self.matched, piece) = (1, &piece[at + 1..]);
            }
            let rest = &MARK[self.matched..];
            let same = rest.iter().zip(piece).take_while(|(mark, byte)| mark == byte).count();
            piece = &piece[same..];
            self.matched += same;
            if self.matched == MARK.len() {
                found += 1;
                self.matched = 0;
            } else if !piece.is_empty() {
                // Its first byte is nowhere else in it: what does not go on is no beginning of another.
                self.matched = 0;
            }
        }
        found
    }
}

/// What came to the connections of a crowd.
pub(crate) struct Tally {
    listeners: usize,
    places: Box<[AtomicUsize]>,
    /// Messages that reached everybody.
    pub(crate) completed: AtomicUsize,
    /// Messages that came, each counted at each connection.
    pub(crate) delivered: AtomicU64,
    /// Rung when a message reached everybody.
    pub(crate) bell: Notify,
}

impl Tally {
    /// Of this many connections.
    fn of(listeners: usize) -> Arc<Self> {
        Arc::new(Self {
            listeners,
            places: (0..PLACES).map(|_| AtomicUsize::new(0)).collect(),
            completed: AtomicUsize::new(0),
            delivered: AtomicU64::new(0),
            bell: Notify::new(),
        })
    }

    fn note(&self, place: usize) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        let arrived = &self.places[place % PLACES];
        if arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.listeners {
            arrived.store(0, Ordering::Release);
            self.completed.fetch_add(1, Ordering::AcqRel);
            self.bell.notify_waiters();
        }
    }
}

/// Opens the connections with these numbers.
pub(crate) async fn gather<P: Peer>(peer: &P, numbers: std::ops::Range<usize>) -> Result<Vec<Listener>> {
    let (mut listeners, mut opening) = (Vec::with_capacity(numbers.len()), JoinSet::new());
    let mut left = numbers;
    loop {
        while opening.len() < OPENING_MAX
            && let Some(number) = left.next()
        {
            opening.spawn(peer.listener(number));
        }
        let Some(opened) = opening.join_next().await else { return Ok(listeners) };
        listeners.push(opened??);
    }
}

/// Connections that are read.
pub(crate) struct Crowd {
    tasks: Vec<JoinHandle<Result<()>>>,
    /// What comes to them.
    pub(crate) tally: Arc<Tally>,
}

impl Crowd {
    /// Reads these from now on.
    pub(crate) fn of(listeners: Vec<Listener>) -> Self {
        let tally = Tally::of(listeners.len());
        let count = |listener: Listener| tokio::spawn(listener.count(tally.clone()));
        Self { tasks: listeners.into_iter().map(count).collect(), tally }
    }

    /// Fails where one has ended, which none should.
    pub(crate) async fn check(&mut self) -> Result<()> {
        let ended = self.tasks.iter().position(JoinHandle::is_finished);
        let Some(ended) = ended else { return Ok(()) };
        self.tasks.swap_remove(ended).await?
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The connection of somebody who sends, and hears all: how much they have heard of their own.
pub(crate) struct Heard {
    reading: JoinHandle<Result<()>>,
    own: watch::Receiver<usize>,
}

impl Heard {
    /// Reads this one from now on; `own` stands in their own messages, and in no other.
    pub(crate) fn of(listener: Listener, own: String) -> Self {
        let (said, heard) = watch::channel(0);
        let reading = listener.read(
            move |piece| usize::from(memchr::memmem::find(piece, own.as_bytes()).is_some()),
            move |arrived| {
                said.send_if_modified(|heard| {
                    *heard += arrived;
                    arrived != 0
                });
            },
        );
        Self { reading: tokio::spawn(reading), own: heard }
    }

    /// Waits until they have heard so many of their own.
    pub(crate) async fn wait(&mut self, count: usize) -> Result<()> {
        let heard = self.own.wait_for(|heard| count <= *heard).await;
        heard.map(drop).map_err(|_| "the socket of a sender was closed".into())
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::content;

    #[test]
    fn marks_are_found_in_pieces_of_any_length() {
        let stream = format!("a@b {0}x{0}@carillon-peer {0}", content());
        for length in 1..stream.len() {
            let mut marks = Marks::default();
            assert_eq!(stream.as_bytes().chunks(length).map(|piece| marks.count(piece)).sum::<usize>(), 3);
        }
    }

    #[test]
    fn frames_are_counted_and_pings_answered() {
        let (mut marks, mut answers) = (Marks::default(), Vec::new());
        let mut received = vec![0x82, 6];
        received.extend(b"PING\r\n");
        received.extend([0x89, 1, b'x', 0x81, 16]);
        received.extend(MARK);
        received.extend([0x81, 9]);
        let found =
            take(&mut received, Wire::NatsInFrames, &mut |piece: &[u8]| marks.count(piece), &mut answers)
                .unwrap();
        assert_eq!((found, received.as_slice()), (1, [0x81, 9].as_slice()));
        let pongs =
            [websocket::frame(websocket::BINARY, b"PONG\r\n"), websocket::frame(websocket::PONG, b"x")];
        assert_eq!(answers, pongs.concat());
    }

    #[test]
    fn a_message_is_complete_once_it_came_to_everybody() {
        let tally = Tally::of(2);
        for place in [0, 1, 0] {
            tally.note(place);
        }
        assert_eq!(
            (tally.completed.load(Ordering::Relaxed), tally.delivered.load(Ordering::Relaxed)),
            (1, 3)
        );
    }
}
