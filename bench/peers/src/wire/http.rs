//! HTTP/1.1: one connection, requests that are bytes already.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Result;

/// The longest answer that is taken.
const ANSWER_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// A connection that is kept open.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// How long a body is.
#[derive(Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4_096) })
    }

    /// Sends a request, and reads its answer: status and body.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.received.clear();
        self.stream.write_all(request).await?;
        let head = self.read_head().await?;
        let (status, length) = parse_head(&self.received[..head]).ok_or("the answer is not HTTP")?;
        let end = match length {
            Length::Known(length) => head + length,
            Length::Chunked => {
                // The last chunk is empty; nothing comes behind it, because one request is under way.
                while !self.received[head..].ends_with(b"0\r\n\r\n") {
                    self.read_more().await?;
                }
                let body = unchunk(&self.received[head..]).ok_or("the answer has no chunks")?;
                self.received.truncate(head);
                self.received.extend(body);
                self.received.len()
            }
        };
        while self.received.len() < end {
            self.read_more().await?;
        }
        Ok((status, &self.received[head..end]))
    }

    /// Sends a request that must be answered with this status.
    pub(crate) async fn demand(&mut self, request: &[u8], wanted: u16) -> Result<&[u8]> {
        let (status, body) = self.exchange(request).await?;
        if status == wanted {
            return Ok(body);
        }
        Err(format!("a request was answered with {status}: {}", String::from_utf8_lossy(body)).into())
    }

    /// As [`Connection::demand`], for an answer in JSON.
    pub(crate) async fn demand_json(&mut self, request: &[u8], wanted: u16) -> Result<Value> {
        Ok(serde_json::from_slice(self.demand(request, wanted).await?)?)
    }

    /// Sends a request for a WebSocket; gives back the stream, and what came behind the head.
    pub(crate) async fn upgrade(mut self, request: &[u8]) -> Result<(TcpStream, Vec<u8>)> {
        self.stream.write_all(request).await?;
        let head = self.read_head().await?;
        match parse_head(&self.received[..head]) {
            Some((101, _)) => Ok((self.stream, self.received.split_off(head))),
            _ => Err(format!("no WebSocket: {}", String::from_utf8_lossy(&self.received)).into()),
        }
    }

    /// Reads to the end of a head, and says where that is.
    async fn read_head(&mut self) -> Result<usize> {
        let mut searched = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&self.received[searched..], b"\r\n\r\n") {
                return Ok(searched + at + 4);
            }
            searched = self.received.len().saturating_sub(3);
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<()> {
        if ANSWER_BYTES_MAX < self.received.len() {
            return Err("an answer is too long".into());
        }
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err("a server closed the connection".into()),
            _ => Ok(()),
        }
    }
}

/// A request with these headers beside `host` and the length.
pub(crate) fn request(
    method: &str,
    target: &str,
    host: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut text =
        format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

/// A request for a WebSocket.
pub(crate) fn upgrade_request(target: &str, host: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: Y2FyaWxsb24gIGJlbmNoLg==\r\n\r\n"
    )
    .into_bytes()
}

/// Status, and length of the body.
fn parse_head(head: &[u8]) -> Option<(u16, Length)> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut length = Length::Known(0);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Length::Known(value.trim().parse().ok()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.trim() == "chunked" {
            length = Length::Chunked;
        }
    }
    Some((status, length))
}

fn unchunk(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = memchr::memmem::find(chunks, b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).ok()?, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.extend(chunks.get(end + 2..end + 2 + length)?);
        chunks = chunks.get(end + 2 + length + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_how_long_its_body_is() {
        let known = b"HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(parse_head(known), Some((201, Length::Known(12))));
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(parse_head(chunked), Some((200, Length::Chunked)));
        assert_eq!(parse_head(b"SSH-2.0\r\n"), None);
    }

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(unchunk(b"3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\n"), Some(b"abc0123456789".to_vec()));
        assert_eq!(unchunk(b"3\r\nab"), None);
    }
}
