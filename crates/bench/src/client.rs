//! The least that is an HTTP/1.1 client: one connection, requests that are bytes already, answers with a
//! `Content-Length`. What an ordinary client does beside would be measured as if the server did it.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use carillon_server::error::{Error, Result};

/// The longest answer that is taken.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A connection that is kept open.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// An answer, as it stands in its connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: &'a [u8],
    /// How long it was in all.
    pub(crate) length: usize,
}

impl Answer<'_> {
    /// That a message was accepted.
    pub(crate) fn expect_created(&self) -> Result<()> {
        if self.status == 201 {
            return Ok(());
        }
        let words = String::from_utf8_lossy(self.body);
        Err(Error::failure(format!("a message was answered with {}: {words}", self.status)))
    }
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4_096) })
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.received.clear();
        self.stream.write_all(request).await?;
        let head = self.read_head().await?;
        let (status, length) = parse_head(&self.received[..head]).ok_or_else(not_http)?;
        let end = head + length;
        while self.received.len() < end {
            self.read_more().await?;
        }
        Ok(Answer { status, body: &self.received[head..end], length: end })
    }

    /// Sends a request whose answer is followed by something else; gives back the stream, what came after the
    /// head, and the status.
    pub(crate) async fn upgrade(mut self, request: &[u8]) -> io::Result<(u16, TcpStream, Vec<u8>)> {
        self.stream.write_all(request).await?;
        let head = self.read_head().await?;
        let (status, _) = parse_head(&self.received[..head]).ok_or_else(not_http)?;
        Ok((status, self.stream, self.received.split_off(head)))
    }

    /// Reads to the end of a head, and says where that is.
    async fn read_head(&mut self) -> io::Result<usize> {
        let mut searched = 0;
        loop {
            let found = self.received[searched..].windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(at) = found {
                return Ok(searched + at + 4);
            }
            searched = self.received.len().saturating_sub(3);
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if ANSWER_BYTES_MAX < self.received.len() {
            return Err(not_http());
        }
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Status, and length of the body.
fn parse_head(head: &[u8]) -> Option<(u16, usize)> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())
    });
    Some((status, length.unwrap_or(Some(0))?))
}

fn not_http() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_status_and_length() {
        assert_eq!(parse_head(b"HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n"), Some((201, 12)));
        assert_eq!(parse_head(b"HTTP/1.1 101 Switching Protocols\r\nx: y\r\n\r\n"), Some((101, 0)));
        assert_eq!(parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"), None);
        assert_eq!(parse_head(b"220 smtp\r\n\r\n"), None);
    }
}
