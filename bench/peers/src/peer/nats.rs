//! NATS: `JetStream` with a file store, each message acknowledged; and core over WebSocket, which stores nothing.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::Result;
use crate::crowd::{Listener, Wire};
use crate::peer::{About, Acknowledges, Peer, ROOM, Sender, Way, content, log_in, version_of};
use crate::process::{Server, free_address};
use crate::wire::nats::{CONNECT, Connection};
use crate::wire::{http, websocket};

/// The answer to a ping.
const PONG: &[u8] = b"PONG\r\n";

/// When the file store flushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// After every message.
    Always,
    /// Every two minutes, as it does unless told otherwise.
    Default,
}

/// A stream in a file.
pub(crate) struct JetStream {
    program: PathBuf,
    sync: Sync,
    folder: PathBuf,
    address: SocketAddr,
}

impl JetStream {
    /// This program, flushing so.
    pub(crate) fn new(program: &Path, sync: Sync) -> Result<Self> {
        let address = free_address()?;
        Ok(Self { program: program.to_owned(), sync, folder: PathBuf::new(), address })
    }
}

impl Peer for JetStream {
    type Sender = Publisher;

    fn about(&self) -> About {
        let (name, when, acknowledges) = match self.sync {
            Sync::Always => ("JetStream, always", "sync_interval: always", Acknowledges::OnceStored),
            Sync::Default => {
                ("JetStream, default", "sync_interval not set: 2 minutes", Acknowledges::BeforeStored)
            }
        };
        About {
            name: name.to_owned(),
            version: version_of(&self.program, &["--version"]),
            settings: format!(
                "file store, one stream of one subject, one replica, {when}; each sender a connection of its own that \
                 waits for the acknowledgement of JetStream; no deduplication (no Nats-Msg-Id)"
            ),
            acknowledges,
        }
    }

    fn ways(&self) -> &'static [Way] {
        &[Way::Alone]
    }

    fn tells(&self) -> bool {
        false
    }

    async fn prepare(&mut self, folder: &Path, _: usize) -> Result<()> {
        self.folder = folder.into();
        let sync = if self.sync == Sync::Always { ", sync_interval: always" } else { "" };
        let store = folder.join("store");
        let text = format!(
            "listen: \"{}\"\nserver_name: peers\njetstream {{ store_dir: \"{}\"{sync} }}\n",
            self.address,
            store.display()
        );
        fs::write(folder.join("nats.conf"), text)?;
        let server = self.start()?;
        let mut connection = crate::patiently(async || Connection::open(self.address, 0).await).await?;
        let stream = json!({
            "name": ROOM, "subjects": [ROOM], "storage": "file", "retention": "limits", "discard": "old",
            "num_replicas": 1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_consumers": -1,
        });
        let create = format!("$JS.API.STREAM.CREATE.{ROOM}");
        connection.ask_json(&create, &stream.to_string()).await?;
        server.stop().await
    }

    fn start(&mut self) -> Result<Server> {
        start(&self.program, &self.folder)
    }

    async fn sender(&self, _: Way, number: usize) -> Result<Publisher> {
        let connection = Connection::open(self.address, number).await?;
        let message = connection.asking(ROOM, &content());
        Ok(Publisher { connection, message })
    }

    #[expect(clippy::manual_async_fn, reason = "an `async fn` would hold the peer")]
    fn listener(&self, _: usize) -> impl Future<Output = Result<Listener>> + Send + 'static {
        async { Err("JetStream's fan-out is not measured".into()) }
    }
}

fn start(program: &Path, folder: &Path) -> Result<Server> {
    let mut command = Command::new(program);
    command.arg("--config").arg(folder.join("nats.conf"));
    Server::start(command, &log_in(folder))
}

/// Publishes into the stream.
pub(crate) struct Publisher {
    connection: Connection,
    message: Vec<u8>,
}

impl Sender for Publisher {
    async fn send(&mut self) -> Result<()> {
        let answer = self.connection.ask(&self.message).await?;
        if memchr::memmem::find(&answer, b"\"seq\"").is_some() {
            return Ok(());
        }
        Err(format!("JetStream did not take a message: {}", String::from_utf8_lossy(&answer)).into())
    }
}

/// Core, over WebSocket.
pub(crate) struct OverWebSocket {
    program: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    plain: SocketAddr,
}

impl OverWebSocket {
    /// This program.
    pub(crate) fn new(program: &Path) -> Result<Self> {
        let (address, plain) = (free_address()?, free_address()?);
        Ok(Self { program: program.to_owned(), folder: PathBuf::new(), address, plain })
    }
}

impl Peer for OverWebSocket {
    type Sender = Teller;

    fn about(&self) -> About {
        About {
            name: "NATS core, WebSocket".to_owned(),
            version: version_of(&self.program, &["--version"]),
            settings: "websocket without TLS and without compression, one subject; senders are WebSockets too; nothing \
                       is stored and nothing acknowledged"
                .to_owned(),
            acknowledges: Acknowledges::StoresNothing,
        }
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn tells(&self) -> bool {
        true
    }

    async fn prepare(&mut self, folder: &Path, _: usize) -> Result<()> {
        self.folder = folder.into();
        let text = format!(
            "listen: \"{}\"\nserver_name: peers\nwebsocket {{ listen: \"{}\", no_tls: true }}\n",
            self.plain, self.address
        );
        Ok(fs::write(folder.join("nats.conf"), text)?)
    }

    fn start(&mut self) -> Result<Server> {
        start(&self.program, &self.folder)
    }

    async fn sender(&self, _: Way, _: usize) -> Result<Teller> {
        let (stream, received) = open(self.address, "").await?;
        let content = content();
        let publish = format!("PUB {ROOM} {}\r\n{content}\r\n", content.len());
        Ok(Teller { stream, received, message: websocket::frame(websocket::BINARY, publish.as_bytes()) })
    }

    fn listener(&self, _: usize) -> impl Future<Output = Result<Listener>> + Send + 'static {
        let address = self.address;
        async move {
            let (stream, received) = open(address, &format!("SUB {ROOM} 1\r\n")).await?;
            Ok(Listener { stream, received, wire: Wire::NatsInFrames })
        }
    }
}

/// Connects, says this, and waits until it was heard.
async fn open(address: SocketAddr, say: &str) -> Result<(TcpStream, Vec<u8>)> {
    let request = http::upgrade_request("/", &address.to_string());
    let (mut stream, mut received) = http::Connection::open(address).await?.upgrade(&request).await?;
    let hello = format!("{CONNECT}{say}PING\r\n");
    stream.write_all(&websocket::frame(websocket::BINARY, hello.as_bytes())).await?;
    websocket::wait_for(&mut stream, &mut received, PONG).await?;
    Ok((stream, received))
}

/// Publishes without an answer.
pub(crate) struct Teller {
    stream: TcpStream,
    received: Vec<u8>,
    message: Vec<u8>,
}

impl Sender for Teller {
    async fn send(&mut self) -> Result<()> {
        Ok(self.stream.write_all(&self.message).await?)
    }

    async fn settle(&mut self) -> Result<()> {
        self.stream.write_all(&websocket::frame(websocket::BINARY, b"PING\r\n")).await?;
        websocket::wait_for(&mut self.stream, &mut self.received, PONG).await
    }
}
