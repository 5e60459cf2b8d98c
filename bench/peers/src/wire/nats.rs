//! The protocol of NATS: lines, and payloads of a length that a line says.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Result;

/// What a client says first.
pub(crate) const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\
     \"lang\":\"rust\",\"version\":\"0.1.0\",\"protocol\":1,\"echo\":true,\"headers\":true,\"no_responders\":true}\r\n";
/// The subject on which a client is answered.
const INBOX: &str = "_INBOX.peers";

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// A message, with the start and the end of its payload.
    Message(usize, usize),
    Ping,
    Pong,
    /// Something that wants nothing.
    Other,
}

/// A connection that waits for the answer to each message.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    inbox: String,
}

impl Connection {
    /// Connects; the number makes its inbox its own.
    pub(crate) async fn open(address: SocketAddr, number: usize) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let inbox = format!("{INBOX}.{number}");
        let mut connection = Self { stream, received: Vec::with_capacity(4_096), inbox };
        let hello = format!("{CONNECT}SUB {} 1\r\nPING\r\n", connection.inbox);
        connection.stream.write_all(hello.as_bytes()).await?;
        while connection.next().await?.0 != Said::Pong {}
        Ok(connection)
    }

    /// A message to this subject, as it goes over the wire, with the wish for an answer.
    pub(crate) fn asking(&self, subject: &str, payload: &str) -> Vec<u8> {
        format!("PUB {subject} {} {}\r\n{payload}\r\n", self.inbox, payload.len()).into_bytes()
    }

    /// Sends such a message, and reads the answer.
    pub(crate) async fn ask(&mut self, asking: &[u8]) -> Result<Vec<u8>> {
        self.stream.write_all(asking).await?;
        loop {
            if let (Said::Message(..), payload) = self.next().await? {
                return Ok(payload);
            }
        }
    }

    /// Asks what is answered in JSON, of which nothing may be an error.
    pub(crate) async fn ask_json(&mut self, subject: &str, payload: &str) -> Result<Value> {
        let asking = self.asking(subject, payload);
        let answer: Value = serde_json::from_slice(&self.ask(&asking).await?)?;
        match answer.get("error") {
            Some(error) => Err(format!("NATS answered: {error}").into()),
            None => Ok(answer),
        }
    }

    async fn next(&mut self) -> Result<(Said, Vec<u8>)> {
        loop {
            if let Some((said, end)) = parse(&self.received)? {
                let payload = match said {
                    Said::Message(start, end) => self.received[start..end].to_vec(),
                    _ => Vec::new(),
                };
                self.received.drain(..end);
                if said == Said::Ping {
                    self.stream.write_all(b"PONG\r\n").await?;
                }
                return Ok((said, payload));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err("NATS closed the connection".into());
            }
        }
    }
}

/// What stands first, and where it ends, once it is there whole.
fn parse(bytes: &[u8]) -> Result<Option<(Said, usize)>> {
    let Some(line) = memchr::memmem::find(bytes, b"\r\n") else { return Ok(None) };
    let (text, start) = (String::from_utf8_lossy(&bytes[..line]), line + 2);
    let mut words = text.split(' ');
    Ok(match words.next().unwrap_or_default() {
        "MSG" | "HMSG" => {
            let length: usize = words.next_back().ok_or("a message without a length")?.parse()?;
            let end = start + length;
            (end + 2 <= bytes.len()).then_some((Said::Message(start, end), end + 2))
        }
        "PING" => Some((Said::Ping, start)),
        "PONG" => Some((Said::Pong, start)),
        "-ERR" => return Err(format!("NATS says: {text}").into()),
        _ => Some((Said::Other, start)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_once_it_is_whole() {
        let stream = b"MSG _INBOX.peers.0.x 1 5\r\nhello\r\nPING\r\n";
        let payload = stream.len() - b"hello\r\nPING\r\n".len();
        assert_eq!(parse(stream).unwrap(), Some((Said::Message(payload, payload + 5), payload + 7)));
        assert_eq!(parse(&stream[..payload + 6]).unwrap(), None);
        assert_eq!(parse(&stream[payload + 7..]).unwrap(), Some((Said::Ping, 6)));
    }

    #[test]
    fn what_a_server_refuses_is_an_error() {
        assert!(parse(b"-ERR 'Unknown Protocol Operation'\r\n").is_err());
        assert_eq!(parse(b"INFO {}\r\n").unwrap(), Some((Said::Other, 9)));
    }
}
