//! A WebSocket after its upgrade: what waits to be written leaves in as few writes as the system takes it in, from
//! the very bytes that all sockets share. While nothing waits it holds no buffer, neither to read nor to write.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::frames::{self, Broken, Heard, Reader};

/// What is read at once, on the stack. Clients send nothing but small frames.
const READ_BYTES: usize = 512;
/// Frames that leave in one write.
const WRITE_LEN_MAX: usize = 64;

/// What a socket is read from and written to.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A frame as it goes over the wire, and when what it tells was committed, where that is known.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    pub(crate) committed_at: Option<Instant>,
}

impl Frame {
    /// One that tells nothing that was committed.
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes, committed_at: None }
    }
}

/// A WebSocket.
pub struct WebSocket {
    stream: Box<dyn Stream>,
    reader: Reader,
    /// What waits to be written.
    waiting: VecDeque<Frame>,
    /// How much of the first of them was written.
    written: usize,
    /// Nothing lies in the stream, either.
    is_flushed: bool,
    /// The last frame was sent, behind which comes nothing.
    is_closed: bool,
}

impl WebSocket {
    /// On this stream.
    pub fn new(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            reader: Reader::default(),
            waiting: VecDeque::new(),
            written: 0,
            is_flushed: true,
            is_closed: false,
        }
    }

    /// Has more frames wait to be written.
    pub(crate) fn add(&mut self, mut frames: VecDeque<Frame>) {
        if self.waiting.is_empty() {
            self.waiting = frames;
        } else {
            self.waiting.append(&mut frames);
        }
    }

    /// Writes what waits; `left` sees each frame that has left.
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        mut left: impl FnMut(&Frame),
    ) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            self.is_flushed = false;
            let mut parts = [IoSlice::new(&[]); WRITE_LEN_MAX];
            let mut skip = self.written;
            for (part, frame) in parts.iter_mut().zip(&self.waiting) {
                *part = IoSlice::new(&frame.bytes[std::mem::take(&mut skip)..]);
            }
            let count = self.waiting.len().min(WRITE_LEN_MAX);
            let taken = ready!(Pin::new(&mut *self.stream).poll_write_vectored(context, &parts[..count]))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += taken;
            while let Some(first) = self.waiting.front().filter(|first| first.bytes.len() <= self.written) {
                left(first);
                self.written -= first.bytes.len();
                self.waiting.pop_front();
            }
        }
        if !self.is_flushed {
            self.waiting = VecDeque::new();
            ready!(Pin::new(&mut *self.stream).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes one frame behind those that wait.
    pub(crate) async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        self.waiting.push_back(Frame::new(bytes));
        poll_fn(|context| self.poll_flush(context, |_| {})).await
    }

    /// Writes the last frame. What waits is forgotten, but for the rest of a frame of which the client has a part.
    pub(crate) async fn close(&mut self, bytes: Bytes) -> io::Result<()> {
        self.waiting.truncate(usize::from(0 < self.written));
        self.is_closed = true;
        self.send(bytes).await
    }

    /// Waits for what the client says, and answers its pings. Something came, though no frame may be whole.
    pub(crate) fn poll_hear(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Heard>> {
        if !self.is_flushed {
            // Of what does not go out now the stream wakes whoever reads, too.
            let _ = self.poll_flush(context, |_| {})?;
        }
        let mut is_begun = false;
        loop {
            let mut buffer = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut buffer);
            match Pin::new(&mut *self.stream).poll_read(context, &mut read) {
                Poll::Ready(came) => came?,
                Poll::Pending if is_begun => return Poll::Ready(Ok(Heard::default())),
                Poll::Pending => return Poll::Pending,
            }
            if read.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let broken = |Broken| io::Error::from(io::ErrorKind::InvalidData);
            let heard = self.reader.read(read.filled()).map_err(broken)?;
            if 0 < heard.frames {
                if let Some(payload) = heard.ping.as_ref().filter(|_| !self.is_closed) {
                    self.answer(payload);
                    let _ = self.poll_flush(context, |_| {})?;
                }
                return Poll::Ready(Ok(heard));
            }
            is_begun = true;
        }
    }

    /// Answers a ping. One answer waits at most: it answers all pings before it.
    fn answer(&mut self, payload: &[u8]) {
        let is_last_written = self.waiting.len() == 1 && 0 < self.written;
        if !is_last_written && self.waiting.back().is_some_and(|last| frames::is_pong(&last.bytes)) {
            self.waiting.pop_back();
        }
        self.waiting.push_back(Frame::new(frames::pong(payload)));
        self.is_flushed = false;
    }

    /// Waits for what the client says.
    pub(crate) async fn hear(&mut self) -> io::Result<Heard> {
        poll_fn(|context| self.poll_hear(context)).await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn texts(all: &[&str]) -> VecDeque<Frame> {
        all.iter().map(|text| Frame::new(frames::text(text))).collect()
    }

    #[tokio::test]
    async fn what_waits_leaves_in_order_however_little_is_taken_at_once() {
        for room in [1, 3, 5, 1_000] {
            let (here, mut there) = duplex(room);
            let mut socket = WebSocket::new(here);
            let words: Vec<String> = (0..200).map(|number| format!("number {number}")).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let whole: Vec<u8> = words.iter().flat_map(|word| frames::text(word)).collect();
            socket.add(texts(&words[..100]));
            socket.add(texts(&words[100..]));
            let mut left = 0;
            let mut came = vec![0; whole.len()];
            let flushing = poll_fn(|context| socket.poll_flush(context, |_| left += 1));
            let (flushed, read) = tokio::join!(flushing, there.read_exact(&mut came));
            flushed.unwrap();
            read.unwrap();
            assert_eq!((left, came), (200, whole));
            assert_eq!(socket.waiting.capacity(), 0, "an idle socket holds a queue");
        }
    }

    #[tokio::test]
    async fn a_close_comes_behind_the_frame_that_the_client_has_a_part_of() {
        let (here, mut there) = duplex(4);
        let mut socket = WebSocket::new(here);
        socket.add(texts(&["first", "second"]));
        assert!(poll_fn(|context| Poll::Ready(socket.poll_flush(context, |_| {}))).await.is_pending());
        let closing = socket.close(frames::close(1013, "later"));
        let mut came = vec![0; 7 + 9];
        let (closed, read) = tokio::join!(closing, there.read_exact(&mut came));
        closed.unwrap();
        read.unwrap();
        assert_eq!(came, [&frames::text("first")[..], &frames::close(1013, "later")].concat());
    }

    #[tokio::test]
    async fn a_ping_is_answered_once_however_many_come_while_nothing_is_read() {
        let (here, mut there) = duplex(64);
        let mut socket = WebSocket::new(here);
        let ping = |letter: u8| [0x89, 0x81, 0, 0, 0, 0, letter];
        there.write_all(&ping(b'a')).await.unwrap();
        assert_eq!(socket.hear().await.unwrap().ping, Some(b"a".to_vec()));
        let mut answer = [0; 3];
        there.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0x8a, 1, b'a']);
        // From here on the client does not read.
        socket.add(texts(&["x".repeat(62).as_str()]));
        assert!(poll_fn(|context| socket.poll_flush(context, |_| {})).now_or_never().is_some());
        for letter in *b"bcd" {
            there.write_all(&ping(letter)).await.unwrap();
            assert_eq!(socket.hear().await.unwrap().frames, 1);
        }
        assert_eq!(socket.waiting.len(), 1);
        let mut came = vec![0; 64 + 3];
        tokio::select! {
            heard = socket.hear() => panic!("nothing was said: {heard:?}"),
            read = there.read_exact(&mut came) => assert_eq!(read.unwrap(), 64 + 3),
        }
        assert_eq!(came[64..], [0x8a, 1, b'd']);
    }

    #[tokio::test]
    async fn what_breaks_the_protocol_ends_it() {
        for said in [&b"GET"[..], &[0x81, 0x80], &[]] {
            let (here, mut there) = duplex(64);
            let mut socket = WebSocket::new(here);
            there.write_all(said).await.unwrap();
            drop(there);
            let heard = async { while socket.hear().await.is_ok() {} };
            tokio::time::timeout(std::time::Duration::from_secs(10), heard).await.unwrap();
        }
    }

    #[test]
    fn an_idle_socket_is_small() {
        assert!(size_of::<WebSocket>() <= 160, "{}", size_of::<WebSocket>());
    }
}
