//! What every peer is asked for. To add one: its file here, a line in [`crate::turns`].

pub(crate) mod append;
pub(crate) mod broadcast;
pub(crate) mod carillon;
pub(crate) mod ejabberd;
pub(crate) mod nats;
pub(crate) mod sockudo;
pub(crate) mod synapse;

use std::future::Future;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Result;
use crate::crowd::Listener;
use crate::process::Server;

/// What a message says, in bytes.
pub(crate) const CONTENT_BYTES: usize = 400;
/// What every message begins with; its first byte is nowhere else in it, so that it is found in pieces, too.
pub(crate) const MARK: &[u8] = b"@carillon-peers!";
/// The channel, the room, the subject.
pub(crate) const ROOM: &str = "bench";

/// When a server says that it has a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Acknowledges {
    /// Once the message is on the disk.
    OnceStored,
    /// Before it is: a crash of the machine loses what was acknowledged.
    BeforeStored,
    /// Nothing goes to a disk.
    StoresNothing,
}

/// What a peer is, and how it was set.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct About {
    /// What it is called in the tables.
    pub(crate) name: String,
    /// As it says itself.
    pub(crate) version: String,
    /// What was set, and why.
    pub(crate) settings: String,
    /// When it acknowledges.
    pub(crate) acknowledges: Acknowledges,
}

/// How messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// Nobody listens.
    Alone,
    /// Each sender hears what all of them say.
    Together,
    /// Many listen who do not send.
    ToMany,
}

impl Way {
    /// As it stands in the tables.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Alone => "nobody listens",
            Self::Together => "each sender hears all",
            Self::ToMany => "many listen",
        }
    }
}

/// A server under measurement. One at a time runs; PostgreSQL, which some share, runs on.
pub(crate) trait Peer {
    /// One connection that sends.
    type Sender: Sender;

    /// What it is.
    fn about(&self) -> About;

    /// How its durable sends are measured; not at all where this is empty.
    fn ways(&self) -> &'static [Way];

    /// Whether its fan-out is measured, as [`Way::ToMany`].
    fn tells(&self) -> bool;

    /// Lays an empty store in this empty folder, with all that the measurements need, for this many listeners.
    fn prepare(&mut self, folder: &Path, listeners: usize) -> impl Future<Output = Result<()>>;

    /// Starts the server on what was prepared, and does not wait for it.
    fn start(&mut self) -> Result<Server>;

    /// Processes that work for it beside its own.
    fn helpers(&self) -> Vec<u32> {
        Vec::new()
    }

    /// Opens the sender with this number.
    fn sender(&self, way: Way, number: usize) -> impl Future<Output = Result<Self::Sender>>;

    /// Opens the connection of a listener who hears everything.
    fn listener(&self, number: usize) -> impl Future<Output = Result<Listener>> + Send + 'static;
}

/// One connection that sends.
pub(crate) trait Sender: Send + 'static {
    /// Makes what this many messages need, where that is work of clients and not of the server.
    fn ready(&mut self, _count: usize) {}

    /// Sends a message, and waits until the server says that it has it.
    fn send(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Waits until the server has all that was sent, where it does not say so of each message.
    fn settle(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// What a message says.
pub(crate) fn content() -> String {
    let mark = String::from_utf8_lossy(MARK);
    format!("{mark:.<CONTENT_BYTES$}")
}

/// The file of a folder that a server's output goes to.
pub(crate) fn log_in(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// What a program prints of its version.
pub(crate) fn version_of(program: &Path, words: &[&str]) -> String {
    let output = std::process::Command::new(program).args(words).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "version unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_begins_with_what_is_nowhere_else() {
        let content = content();
        assert_eq!(content.len(), CONTENT_BYTES);
        assert_eq!(content.bytes().filter(|byte| *byte == MARK[0]).count(), 1);
    }
}
