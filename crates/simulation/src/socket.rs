//! A socket, as its client has it: what came, and how it ended. It reads when it is let, as much as it is let.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use carillon_model::Key;
use carillon_model::event::EventId;
use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf};

/// What lies in a socket at most that its client has not read.
pub(crate) const ROOM: usize = 16 * 1024;
/// A pong of a client, with a mask of zeros.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];
const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const CLOSE: u8 = 0x88;
/// As what a close without a code counts.
const NO_CODE: u16 = 1005;

/// An event that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) channel: Key,
    pub(crate) sequence: i64,
    pub(crate) kind: String,
}

/// How a socket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The server closed it, with this code.
    Closed(u16),
    /// It was cut.
    Cut,
}

/// A socket.
pub(crate) struct Socket {
    pub(crate) user: usize,
    /// What it resumes from.
    pub(crate) resumes: Option<String>,
    /// In which step its client knew that it is established.
    pub(crate) established: Option<usize>,
    /// Its client was told to read anew what it shows.
    pub(crate) reloads: bool,
    pub(crate) came: Vec<Came>,
    /// What its client would resume from.
    pub(crate) last: Option<String>,
    pub(crate) end: Option<End>,
    stream: Option<DuplexStream>,
    waiting: Vec<u8>,
}

impl Socket {
    pub(crate) fn new(user: usize, resumes: Option<String>, stream: DuplexStream) -> Self {
        Self {
            user,
            last: resumes.clone(),
            resumes,
            established: None,
            reloads: false,
            came: Vec::new(),
            end: None,
            stream: Some(stream),
            waiting: Vec::new(),
        }
    }

    /// The client goes away, or the network does.
    pub(crate) fn cut(&mut self) {
        self.stream = None;
        self.end.get_or_insert(End::Cut);
    }

    /// Reads what is there, in this step; answers what came.
    pub(crate) fn read(&mut self, step: usize) -> Vec<Came> {
        let mut context = Context::from_waker(Waker::noop());
        let mut is_gone = false;
        while let Some(stream) = self.stream.as_mut().filter(|_| !is_gone) {
            let mut bytes = [0; 4_096];
            let mut read = ReadBuf::new(&mut bytes);
            match Pin::new(stream).poll_read(&mut context, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    self.waiting.extend_from_slice(read.filled());
                }
                // What came before is read first: it may say why.
                Poll::Ready(_) => is_gone = true,
                Poll::Pending => break,
            }
        }
        let mut came = Vec::new();
        while let Some((opcode, payload)) = self.next_frame() {
            match opcode {
                TEXT => came.extend(self.take(&payload, step)),
                PING => self.pong(),
                CLOSE => {
                    let code = payload.first_chunk().map_or(NO_CODE, |code| u16::from_be_bytes(*code));
                    self.end.get_or_insert(End::Closed(code));
                    self.stream = None;
                }
                _ => {}
            }
        }
        if is_gone {
            self.cut();
        }
        came
    }

    fn pong(&mut self) {
        if let Some(stream) = &mut self.stream {
            let mut context = Context::from_waker(Waker::noop());
            // A socket of which even this is not taken is cut soon.
            let _ = Pin::new(stream).poll_write(&mut context, &PONG);
        }
    }

    /// The next whole frame: its first byte, and what it carries.
    fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (length, head) = match *self.waiting.get(1)? {
            126 => (usize::from(u16::from_be_bytes(*self.waiting.get(2..)?.first_chunk()?)), 4),
            127 => (usize::try_from(u64::from_be_bytes(*self.waiting.get(2..)?.first_chunk()?)).ok()?, 10),
            short => (usize::from(short), 2),
        };
        if self.waiting.len() < head + length {
            return None;
        }
        let opcode = self.waiting[0];
        let payload = self.waiting[head..head + length].to_vec();
        self.waiting.drain(..head + length);
        Some((opcode, payload))
    }

    fn take(&mut self, payload: &[u8], step: usize) -> Option<Came> {
        let frame: serde_json::Value = serde_json::from_slice(payload).expect("a frame is JSON");
        let headers = &frame["Headers"];
        let kind = headers["x-amz-chime-event-type"].as_str().unwrap_or_default().to_owned();
        let id = headers["x-carillon-event-id"].as_str();
        if kind == "SESSION_ESTABLISHED" {
            self.established = Some(step);
        }
        self.reloads |= kind == "RELOAD_REQUIRED";
        if let Some(id) = id {
            self.last = Some(id.to_owned());
        }
        let id: EventId = id?.parse().ok()?;
        let (channel, sequence) = id.last?;
        // What one resumes from may name the event that came last.
        (kind != "SESSION_ESTABLISHED").then_some(Came { channel, sequence, kind })
    }
}
