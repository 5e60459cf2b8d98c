//! `append`: the server of the bare append, in a process of its own.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use rusqlite::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::Result;
use crate::peer::CONTENT_BYTES;
use crate::peer::append::Onto;

/// What may wait; more than senders there are.
const WAITING_MAX: usize = 4_096;

/// The options of `append`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// What to append to.
    #[arg(long, value_enum)]
    onto: Onto,
    /// The file.
    #[arg(long)]
    to: PathBuf,
}

type Waiting = (Vec<u8>, oneshot::Sender<()>);

enum Store {
    File(File),
    Sqlite(Connection),
}

impl Store {
    fn open(onto: Onto, path: &Path) -> Result<Self> {
        Ok(match onto {
            Onto::File => Self::File(File::options().create(true).append(true).open(path)?),
            Onto::Sqlite => {
                let database = Connection::open(path)?;
                database.pragma_update(None, "journal_mode", "WAL")?;
                database.pragma_update(None, "synchronous", "FULL")?;
                database.execute_batch("CREATE TABLE IF NOT EXISTS message (content BLOB NOT NULL)")?;
                Self::Sqlite(database)
            }
        })
    }

    /// Writes all of these, and returns once they are on the disk.
    fn append(&mut self, group: &[Waiting]) -> Result<()> {
        match self {
            Self::File(file) => {
                file.write_all(&group.iter().flat_map(|(content, _)| content).copied().collect::<Vec<u8>>())?;
                file.sync_data()?;
            }
            Self::Sqlite(database) => {
                let transaction = database.transaction()?;
                // Once a group, which is a small part of it.
                let mut insert = transaction.prepare("INSERT INTO message (content) VALUES ($1)")?;
                for (content, _) in group {
                    insert.execute([content])?;
                }
                drop(insert);
                transaction.commit()?;
            }
        }
        Ok(())
    }
}

/// Appends until killed.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let mut store = Store::open(options.onto, &options.to)?;
    let (queue, mut waiting) = mpsc::channel::<Waiting>(WAITING_MAX);
    std::thread::spawn(move || {
        let mut group = Vec::new();
        while let Some(first) = waiting.blocking_recv() {
            group.push(first);
            while let Ok(next) = waiting.try_recv() {
                group.push(next);
            }
            if store.append(&group).is_err() {
                return; // Whoever waits is told by the end of their connection.
            }
            for (_, answer) in group.drain(..) {
                // Who went away is not waited for.
                let _ = answer.send(());
            }
        }
    });
    let listener = TcpListener::bind(options.listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, queue.clone()));
    }
}

async fn serve(mut stream: TcpStream, queue: mpsc::Sender<Waiting>) -> Result<()> {
    loop {
        let mut content = vec![0; CONTENT_BYTES];
        stream.read_exact(&mut content).await?;
        let (answer, answered) = oneshot::channel();
        queue.send((content, answer)).await?;
        answered.await?;
        stream.write_all(b"+").await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_appended_together() {
        let folder = std::env::temp_dir().join(format!("carillon-peers-append-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let group = || [b"one", b"two"].map(|content| (content.to_vec(), oneshot::channel().0));
        for (onto, name) in [(Onto::File, "file"), (Onto::Sqlite, "sqlite")] {
            Store::open(onto, &folder.join(name)).unwrap().append(&group()).unwrap();
        }
        assert_eq!(std::fs::read(folder.join("file")).unwrap(), b"onetwo");
        let database = Connection::open(folder.join("sqlite")).unwrap();
        let count: i64 = database.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 2);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
