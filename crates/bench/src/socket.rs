//! A member with an open WebSocket, which notes when each message arrives. It knows of the protocol only what a
//! server sends: unmasked frames, and pings that want an answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use carillon_auth::{SignedRequest, Signer, presign};
use carillon_model::IdentityArn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::client::Connection;
use super::load::Board;
use super::scene::{REGION, Scene, lost, number_in};
use carillon_server::clock;
use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, Result};
use carillon_server::request::SIGNING_NAME;

/// How long the address of a socket is good for.
const EXPIRES_S: u32 = 60;

/// The kind of a text frame.
pub(crate) const TEXT: u8 = 1;
/// The kind of a close.
pub(crate) const CLOSE: u8 = 8;
/// The kind of a ping.
pub(crate) const PING: u8 = 9;

/// A member who listens.
pub(crate) struct Member {
    task: JoinHandle<io::Result<()>>,
}

impl Member {
    /// Opens the socket of the scene's member; from here on the board is told of every message.
    pub(crate) async fn connect(
        address: SocketAddr,
        root: &RootKey,
        scene: &Scene,
        board: Arc<Board>,
    ) -> Result<Self> {
        let request = upgrade_request(&address.to_string(), root, &scene.member, None);
        let connection = Connection::open(address).await.map_err(|error| lost(&error))?;
        let (status, stream, rest) =
            connection.upgrade(request.as_bytes()).await.map_err(|error| lost(&error))?;
        if status != 101 {
            return Err(Error::failure(format!("the socket was refused with {status}")));
        }
        let mut frames = Frames { stream, received: rest };
        // The first frame says that from here on nothing is missed.
        let (kind, _) = frames.next().await.map_err(|error| lost(&error))?;
        if kind != TEXT {
            return Err(Error::failure("the socket was closed before it was established"));
        }
        let task = tokio::spawn(async move { listen(frames, &board).await });
        Ok(Self { task })
    }

    /// Whether the socket has ended, which it never should.
    pub(crate) fn is_gone(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(mut frames: Frames, board: &Board) -> io::Result<()> {
    loop {
        match frames.next().await? {
            (TEXT, payload) => {
                if let Some(number) = number_in(&payload) {
                    board.note_arrival(number);
                }
            }
            (PING, payload) => frames.pong(&payload).await?,
            (CLOSE, _) => return Ok(()),
            _ => {}
        }
    }
}

/// The request of a user for a socket, who resumes from an event if they were told of one.
pub(crate) fn upgrade_request(
    host: &str,
    root: &RootKey,
    user: &IdentityArn,
    resume_from: Option<&str>,
) -> String {
    let user = user.as_str().replace(':', "%3A").replace('/', "%2F");
    let resume = resume_from.map(|id| format!("resume-from={id}&")).unwrap_or_default();
    let query = format!("{resume}sessionId=bench&userArn={user}");
    let headers = [("host", host)];
    let request =
        SignedRequest { method: "GET", path: "/connect", query: &query, headers: &headers, body: b"" };
    let secret = root.secret();
    let signer = Signer {
        access_key_id: &root.access_key_id,
        secret: &secret,
        session_token: None,
        region: REGION,
        service: SIGNING_NAME,
    };
    let query =
        presign(&request, &signer, clock::real().ms(), EXPIRES_S).expect("the query keeps the limits");
    format!(
        "GET /connect?{query} HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: Y2FyaWxsb24gIGJlbmNoLg==\r\n\r\n"
    )
}

/// The frames of a server.
struct Frames {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Frames {
    async fn next(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            if let Some((kind, start, end)) = parse(&self.received) {
                let rest = self.received.split_off(end);
                let mut frame = std::mem::replace(&mut self.received, rest);
                return Ok((kind, frame.split_off(start)));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn pong(&mut self, payload: &[u8]) -> io::Result<()> {
        self.stream.write_all(&pong(payload)?).await
    }
}

/// The answer to a ping, masked as a client must, with the mask that changes nothing.
pub(crate) fn pong(payload: &[u8]) -> io::Result<Vec<u8>> {
    let length = u8::try_from(payload.len()).ok().filter(|length| *length <= 125);
    let length = length.ok_or(io::ErrorKind::InvalidData)?;
    let mut frame = vec![0x8a, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    Ok(frame)
}

/// Kind of the first frame, and where its payload starts and ends, once it is there whole.
pub(crate) fn parse(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let kind = bytes.first()? & 0x0f;
    let (start, length): (usize, usize) = match bytes.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            (10, usize::try_from(length).ok()?)
        }
        short => (2, usize::from(short)),
    };
    let end = start.checked_add(length)?;
    (end <= bytes.len()).then_some((kind, start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_once_it_is_whole() {
        assert_eq!(parse(&[0x81, 2, b'h', b'i', 0x89]), Some((TEXT, 2, 4)));
        assert_eq!(parse(&[0x81, 2, b'h']), None);
        let mut long = vec![0x81, 126, 1, 0];
        assert_eq!(parse(&long), None);
        long.resize(4 + 256, b'x');
        assert_eq!(parse(&long), Some((TEXT, 4, 260)));
        assert_eq!(parse(&[0x88, 0]), Some((CLOSE, 2, 2)));
    }
}
