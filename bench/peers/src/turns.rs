//! `run`: who takes part, and in which order.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::timeout;

use crate::measure::{Turn, turn};
use crate::peer::Peer as _;
use crate::peer::append::{Append, Onto};
use crate::peer::broadcast::Broadcast;
use crate::peer::carillon::Carillon;
use crate::peer::ejabberd::Ejabberd;
use crate::peer::nats::{JetStream, OverWebSocket, Sync};
use crate::peer::sockudo::Sockudo;
use crate::peer::synapse::Synapse;
use crate::postgres::Postgres;
use crate::report::{Conditions, Report};
use crate::{Result, disk, say};

/// How long a turn may take beside its workloads.
const TURN_TIMEOUT: Duration = Duration::from_mins(5);
/// The most workloads of a turn.
const WORKLOADS_MAX: u32 = 8;

/// The options of `run`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A build of Carillon, as [NAME=]PATH; several are compared, and the last is the one that ratios are of.
    #[arg(long, value_name = "[NAME=]PATH", required = true)]
    carillon: Vec<String>,
    /// nats-server.
    #[arg(long, value_name = "PATH")]
    nats: Option<PathBuf>,
    /// Where Debian's packages of ejabberd and Erlang were unpacked.
    #[arg(long, value_name = "FOLDER")]
    ejabberd: Option<PathBuf>,
    /// The Python of the environment that holds Synapse.
    #[arg(long, value_name = "PATH")]
    synapse: Option<PathBuf>,
    /// Sockudo.
    #[arg(long, value_name = "PATH")]
    sockudo: Option<PathBuf>,
    /// A PostgreSQL on this machine that nobody else uses, as postgres://SUPERUSER@127.0.0.1:PORT/postgres.
    #[arg(long, value_name = "URL", requires = "psql")]
    postgres: Option<String>,
    /// Its psql.
    #[arg(long, value_name = "PATH")]
    psql: Option<PathBuf>,
    /// How long each workload is measured, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many turns each peer has.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// Only those whose name holds this, whatever its letters; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Where servers put what is removed in the end; on the disk to measure [default: the system's temporary folder].
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Where to write peers.md and peers.json.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Any peer.
enum Any {
    Append(Append),
    Carillon(Carillon),
    Nats(JetStream),
    WebSocket(OverWebSocket),
    Broadcast(Broadcast),
    Sockudo(Sockudo),
    Ejabberd(Ejabberd),
    Synapse(Synapse),
}

impl Any {
    fn name(&self) -> String {
        match self {
            Self::Append(peer) => peer.about().name,
            Self::Carillon(peer) => peer.about().name,
            Self::Nats(peer) => peer.about().name,
            Self::WebSocket(peer) => peer.about().name,
            Self::Broadcast(peer) => peer.about().name,
            Self::Sockudo(peer) => peer.about().name,
            Self::Ejabberd(peer) => peer.about().name,
            Self::Synapse(peer) => peer.about().name,
        }
    }

    async fn turn(&mut self, folder: &Path, lasting: Duration) -> Result<Turn> {
        match self {
            Self::Append(peer) => turn(peer, folder, lasting).await,
            Self::Carillon(peer) => turn(peer, folder, lasting).await,
            Self::Nats(peer) => turn(peer, folder, lasting).await,
            Self::WebSocket(peer) => turn(peer, folder, lasting).await,
            Self::Broadcast(peer) => turn(peer, folder, lasting).await,
            Self::Sockudo(peer) => turn(peer, folder, lasting).await,
            Self::Ejabberd(peer) => turn(peer, folder, lasting).await,
            Self::Synapse(peer) => turn(peer, folder, lasting).await,
        }
    }
}

/// Measures all in turns, and writes what was found, after every round.
pub(crate) async fn run(options: &Options) -> Result<()> {
    allow_open_files()?;
    let parent = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = Folder::make_in(&parent)?;
    let postgres = match (&options.postgres, &options.psql) {
        (Some(url), Some(psql)) => Some(Arc::new(Postgres::find(url, psql)?)),
        _ => None,
    };
    let lasting = Duration::from_secs(options.seconds);
    let mut peers = all(options, postgres.as_ref())?;
    peers.retain(|peer| is_asked_for(&peer.name(), &options.only));
    if peers.is_empty() {
        return Err("nobody of that name is there".into());
    }
    let conditions =
        Conditions::read(options.rounds, options.seconds, disk::flush_ms(&folder.0)?, postgres.as_deref());
    let subject = builds(options).pop().map(|(label, _)| label).unwrap_or_default();
    let mut report = Report::new(conditions, &subject);
    fs::create_dir_all(&options.out)?;
    for round in 1..=options.rounds {
        let count = peers.len();
        for (at, peer) in peers.iter_mut().enumerate() {
            let name = peer.name();
            say(&format!("round {round} of {}, {} of {count}: {name}", options.rounds, at + 1));
            let place = folder.0.join(format!("turn-{round}-{at}"));
            fs::create_dir(&place)?;
            let patience = TURN_TIMEOUT + lasting.saturating_mul(WORKLOADS_MAX);
            let turn = timeout(patience, peer.turn(&place, lasting)).await;
            match turn.unwrap_or_else(|_| Err("it did not end in time".into())) {
                Ok(turn) => {
                    report.turns.push(turn);
                    fs::remove_dir_all(&place)?;
                }
                Err(error) => {
                    say(&format!("  failed: {error}"));
                    report.failed.push(format!("{name}, round {round}: {error}"));
                }
            }
        }
        report.write(&options.out)?;
    }
    std::io::stdout().write_all(report.markdown().as_bytes())?;
    Ok(())
}

/// Everybody that there is, in the order of the tables.
fn all(options: &Options, postgres: Option<&Arc<Postgres>>) -> Result<Vec<Any>> {
    let mut all = Vec::new();
    for onto in [Onto::File, Onto::Sqlite] {
        all.push(Any::Append(Append::new(onto)?));
    }
    for (label, program) in builds(options) {
        all.push(Any::Carillon(Carillon::new(&label, &program, None)?));
        if let Some(postgres) = postgres {
            all.push(Any::Carillon(Carillon::new(&label, &program, Some(postgres.clone()))?));
        }
    }
    if let Some(nats) = options.nats.as_deref().map(absolute) {
        for sync in [Sync::Always, Sync::Default] {
            all.push(Any::Nats(JetStream::new(&nats, sync)?));
        }
        all.push(Any::WebSocket(OverWebSocket::new(&nats)?));
    }
    if let Some((_, program)) = builds(options).pop() {
        all.push(Any::Broadcast(Broadcast::new(&program)?));
    }
    if let Some(sockudo) = options.sockudo.as_deref().map(absolute) {
        all.push(Any::Sockudo(Sockudo::new(&sockudo)?));
    }
    if let Some(ejabberd) = options.ejabberd.as_deref().map(absolute) {
        all.push(Any::Ejabberd(Ejabberd::new(&ejabberd, None)?));
        if let Some(postgres) = postgres {
            all.push(Any::Ejabberd(Ejabberd::new(&ejabberd, Some(postgres.clone()))?));
        }
    }
    if let (Some(synapse), Some(postgres)) = (options.synapse.as_deref().map(absolute), postgres) {
        all.push(Any::Synapse(Synapse::new(&synapse, postgres.clone())?));
    }
    Ok(all)
}

/// The builds of Carillon, each with its name, which is empty where there is one without.
fn builds(options: &Options) -> Vec<(String, PathBuf)> {
    let named = |text: &String| match text.split_once('=') {
        Some((name, path)) => (name.to_owned(), PathBuf::from(path)),
        None => (String::new(), PathBuf::from(text)),
    };
    options.carillon.iter().map(named).map(|(name, path)| (name, absolute(&path))).collect()
}

/// A path that holds in every folder: servers work in theirs.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn is_asked_for(name: &str, only: &[String]) -> bool {
    let name = name.to_lowercase();
    only.is_empty() || only.iter().any(|words| name.contains(&words.to_lowercase()))
}

/// As many open files as the system allows, for this process and all that it starts.
fn allow_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn make_in(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("carillon-peers-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays, named for what it is.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_asked_for_by_a_part_of_it() {
        let only = ["jetstream".to_owned(), "Carillon head".to_owned()];
        assert!(is_asked_for("JetStream, always", &only) && is_asked_for("Carillon head, SQLite", &only));
        assert!(!is_asked_for("Sockudo", &only) && is_asked_for("Sockudo", &[]));
    }
}
