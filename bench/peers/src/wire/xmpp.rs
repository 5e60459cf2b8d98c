//! The least of XMPP: an anonymous login, a seat in a room, and messages that are known again by their ids.

use std::net::SocketAddr;

use memchr::memmem::find;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Result;

/// The domain of the server.
pub(crate) const DOMAIN: &str = "bench.test";
/// The domain of its rooms.
const ROOMS: &str = "conference.bench.test";
/// What stands at the end of every message.
const MESSAGE_END: &[u8] = b"</message>";
/// What a stanza is that says that another was refused.
const REFUSED: [&[u8]; 2] = [b"type='error'", b"type=\"error\""];

/// Someone in the room.
pub(crate) struct Occupant {
    /// The connection.
    pub(crate) stream: TcpStream,
    /// What came, and was not looked at.
    pub(crate) received: Vec<u8>,
}

impl Occupant {
    /// Connects, logs in, and joins the room.
    pub(crate) async fn join(address: SocketAddr, room: &str, nick: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut occupant = Self { stream, received: Vec::new() };
        let open = format!(
            "<?xml version='1.0'?><stream:stream to='{DOMAIN}' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
        );
        occupant.say(&open, b"</stream:features>").await?;
        let anonymous = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>";
        occupant.say(anonymous, b"<success").await?;
        occupant.say(&open, b"</stream:features>").await?;
        let bind = "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                    <resource>peers</resource></bind></iq>";
        occupant.say(bind, b"</iq>").await?;
        // Whoever had this nick before may still be on their way out.
        let life = crate::now_ms();
        let join = format!(
            "<presence to='{room}@{ROOMS}/{nick}-{life}'><x xmlns='http://jabber.org/protocol/muc'>\
             <history maxstanzas='0'/></x></presence>"
        );
        // The subject comes last, in a room that has none, too.
        occupant.say(&join, b"<subject").await?;
        occupant.wait(MESSAGE_END).await?;
        Ok(occupant)
    }

    /// Sends a message, and waits until the room has told it back.
    pub(crate) async fn send(&mut self, message: &[u8], id: &[u8]) -> Result<()> {
        self.stream.write_all(message).await?;
        loop {
            while let Some(end) = whole(&self.received) {
                let is_own = find(&self.received[..end], id).is_some();
                let checked = check(&self.received[..end]);
                self.received.drain(..end);
                checked?;
                if is_own {
                    return Ok(());
                }
            }
            self.read_more().await?;
        }
    }

    async fn say(&mut self, stanza: &str, wanted: &[u8]) -> Result<()> {
        self.stream.write_all(stanza.as_bytes()).await?;
        self.wait(wanted).await
    }

    /// Reads up to and with these words.
    async fn wait(&mut self, wanted: &[u8]) -> Result<()> {
        loop {
            if let Some(at) = find(&self.received, wanted) {
                self.received.drain(..at + wanted.len());
                return Ok(());
            }
            let said = &self.received;
            if find(said, b"<failure").is_some() || find(said, b"<stream:error").is_some() {
                return Err(format!("refused: {}", String::from_utf8_lossy(said)).into());
            }
            check(said)?;
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(format!("the stream ended: {}", String::from_utf8_lossy(&self.received)).into()),
            _ => Ok(()),
        }
    }
}

/// The message of the room with this id.
pub(crate) fn message(room: &str, id: &str, body: &str) -> String {
    format!("<message to='{room}@{ROOMS}' type='groupchat' id='{id}'><body>{body}</body></message>")
}

/// Takes the numbers of all messages that came whole: those behind this beginning of an id.
pub(crate) fn take_numbers(received: &mut Vec<u8>, beginning: &[u8]) -> Result<Vec<usize>> {
    let (mut numbers, mut at) = (Vec::new(), 0);
    while let Some(length) = whole(&received[at..]) {
        let message = &received[at..at + length];
        check(message)?;
        if let Some(start) = find(message, beginning) {
            let digits = message[start + beginning.len()..].iter().take_while(|byte| byte.is_ascii_digit());
            numbers.push(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')));
        }
        at += length;
    }
    received.drain(..at);
    Ok(numbers)
}

/// Where the first message ends, once it is there whole.
fn whole(received: &[u8]) -> Option<usize> {
    find(received, MESSAGE_END).map(|at| at + MESSAGE_END.len())
}

fn check(stanza: &[u8]) -> Result<()> {
    if REFUSED.iter().any(|refused| find(stanza, refused).is_some()) {
        return Err(format!("refused: {}", String::from_utf8_lossy(stanza)).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_from_whole_messages() {
        let mut received =
            b"<message id='slot-12'><body>x</body></message><presence/><message><subject/></message>\
                             <message id=\"slot-3\">"
                .to_vec();
        assert_eq!(take_numbers(&mut received, b"slot-").unwrap(), [12]);
        assert_eq!(received, b"<message id=\"slot-3\">");
        received.extend(MESSAGE_END);
        assert_eq!(take_numbers(&mut received, b"slot-").unwrap(), [3]);
    }

    #[test]
    fn a_message_that_was_refused_is_an_error() {
        let mut received = b"<message type='error' id='slot-1'><error/></message>".to_vec();
        assert!(take_numbers(&mut received, b"slot-").is_err());
    }
}
