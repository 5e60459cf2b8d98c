//! A bare append with the same durability: a server that does nothing but write what waits and flush it, once for all
//! that wait. What durable sends could be at most over a socket.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Result;
use crate::crowd::Listener;
use crate::peer::{About, Acknowledges, Peer, Sender, Way, content, log_in};
use crate::process::{Server, free_address};

/// What is appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Onto {
    /// A file: one write and one fdatasync for all that wait.
    File,
    /// A table of SQLite: one transaction for all that wait.
    Sqlite,
}

/// This program, appending.
pub(crate) struct Append {
    onto: Onto,
    folder: PathBuf,
    address: SocketAddr,
}

impl Append {
    /// Appending onto this.
    pub(crate) fn new(onto: Onto) -> Result<Self> {
        Ok(Self { onto, folder: PathBuf::new(), address: free_address()? })
    }
}

impl Peer for Append {
    type Sender = Writer;

    fn about(&self) -> About {
        let (name, how) = match self.onto {
            Onto::File => ("bare append, file", "one write and one fdatasync for all that wait"),
            Onto::Sqlite => (
                "bare append, SQLite",
                "one transaction for all that wait, a row of a table without any index each; WAL, synchronous=FULL",
            ),
        };
        About {
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            settings: format!(
                "{how}; 400 bytes in, one byte back over a TCP connection a sender; no protocol, no rules, no ids: \
                 the most that a server could do here with this durability"
            ),
            acknowledges: Acknowledges::OnceStored,
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
        Ok(())
    }

    fn start(&mut self) -> Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        let onto = if self.onto == Onto::File { "file" } else { "sqlite" };
        command.args(["append", "--listen", &self.address.to_string(), "--onto", onto, "--to"]);
        command.arg(self.folder.join("appended"));
        Server::start(command, &log_in(&self.folder))
    }

    async fn sender(&self, _: Way, _: usize) -> Result<Writer> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(Writer { stream, content: content() })
    }

    #[expect(clippy::manual_async_fn, reason = "an `async fn` would hold the peer")]
    fn listener(&self, _: usize) -> impl Future<Output = Result<Listener>> + Send + 'static {
        async { Err("a bare append tells nobody".into()) }
    }
}

/// A connection that appends.
pub(crate) struct Writer {
    stream: TcpStream,
    content: String,
}

impl Sender for Writer {
    async fn send(&mut self) -> Result<()> {
        self.stream.write_all(self.content.as_bytes()).await?;
        self.stream.read_u8().await?;
        Ok(())
    }
}
