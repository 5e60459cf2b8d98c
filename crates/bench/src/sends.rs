//! `carillon bench`: durable sends a second on this machine, beside what its store and its HTTP could do.
//!
//! A part, named after it, measures one thing more; each has its file. To add one: its file, its line in `Also`.

mod deletion;
mod flows;
mod processor_down;
mod processors;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use tokio::time::Instant;

use crate::child::{Child, Folder, command};
use crate::common::{NOT_OPTIMIZED, address_in, figures, processors, ratio, root_key, runtime, say};
use crate::load::{Board, Plan, Round, sign};
use crate::report::{Measured, Report, Row};
use crate::scene::{Remote, Scene};
use crate::socket::Member;
use crate::{returning, starting, workload};
use carillon_server::config::StoreAddress;
use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, ExitStatus, Result};
use carillon_server::stop::StopSignal;

/// The numbers of connections that are measured.
const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];
/// How long a round is tried before, to learn how many requests it will need.
const TRIAL: Duration = Duration::from_secs(1);
/// Requests of a trial; at a rate that would use them up, the trial is as long as they last.
const TRIAL_REQUESTS: usize = 10_000;
/// Requests that are repeated where nobody minds.
const REPEATED_REQUESTS: usize = 1_000;
/// The most requests that are signed for a round: some 400 MB.
const REQUESTS_MAX: usize = 400_000;
/// Flushes that are timed.
const FLUSHES: usize = 50;

/// The options of `bench`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    also: Option<Also>,
    /// What to measure: sqlite, or postgres://… of a database made for this; may be given several times.
    #[arg(long, value_name = "STORE", default_value = "sqlite")]
    store: Vec<String>,
    /// How long each round lasts, in seconds; there are four for each number of connections.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Where to put what is removed in the end; on the disk to measure [default: the system's temporary folder].
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// What is measured only when it is named.
#[derive(Debug, Subcommand)]
enum Also {
    /// Sends through a processor, built in and behind HTTP, beside sends without a flow.
    Flows(flows::Options),
    /// A channel whose processor is down, and what others notice of it.
    ProcessorDown(processor_down::Options),
    /// A processor that takes its time, and one that was away: which messages went past it, and which failed.
    Processors(processors::Options),
    /// The deletion of an app instance full of messages, and what others notice of it.
    Deletion(deletion::Options),
    /// One workload, on one binary or on several in turns, at one size or at several, as ratios to the first.
    Workload(workload::Options),
    /// How long a start takes on a store that holds much, as a ratio to an empty one.
    Start(starting::Options),
    /// Sockets that all come back at once, beside the bare library, and what senders notice of it.
    Return(returning::Options),
}

/// The options that every part has.
#[derive(Debug, Args)]
struct Common {
    /// What to measure: sqlite, or postgres://… of a database made for this; may be given several times.
    #[arg(long, value_name = "STORE", default_value = "sqlite")]
    store: Vec<String>,
    /// Where to put what is removed in the end; on the disk to measure [default: the system's temporary folder].
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

impl Common {
    /// Measures one thing on each store, and writes what was found.
    #[expect(clippy::needless_pass_by_value, reason = "a closure that nobody needs afterwards")]
    fn run<T: Serialize>(
        &self,
        measure: impl AsyncFn(&str, &Path) -> Result<T>,
        table: impl Fn(&T) -> String,
    ) -> Result<ExitStatus> {
        let parent = self.folder.clone().unwrap_or_else(std::env::temp_dir);
        let measured = runtime()?.block_on(async {
            let mut stop = StopSignal::listen()?;
            let all = async {
                let mut measured = Vec::new();
                for store in &self.store {
                    let folder = Folder::make_in(&parent)?;
                    let shown = StoreAddress::parse(&address_in(store, folder.path()))?.shown;
                    measured.push(OfStore { store: shown, found: measure(store, folder.path()).await? });
                }
                Ok(measured)
            };
            tokio::select! {
                measured = all => measured,
                signal = stop.received() => Err(Error::failure(format!("{signal} ended the measurement"))),
            }
        })?;
        let mut text = if self.json { figures(&measured)? } else { String::new() };
        if !self.json {
            text.push_str(if cfg!(debug_assertions) { NOT_OPTIMIZED } else { "" });
            for OfStore { store, found } in &measured {
                text.extend(["\nstore ", store, "\n\n", &table(found)]);
            }
        }
        // Where stdout is closed nobody wants to know.
        let _ = std::io::stdout().write_all(text.as_bytes());
        Ok(ExitStatus::Success)
    }
}

/// What was found on one store.
#[derive(Serialize)]
struct OfStore<T> {
    store: String,
    found: T,
}

/// Measures what was asked for.
pub fn run(options: &Options) -> Result<ExitStatus> {
    match &options.also {
        None => run_sends(options),
        Some(Also::Flows(options)) => flows::run(options),
        Some(Also::ProcessorDown(options)) => processor_down::run(options),
        Some(Also::Processors(options)) => processors::run(options),
        Some(Also::Deletion(options)) => deletion::run(options),
        Some(Also::Workload(options)) => workload::run(options),
        Some(Also::Start(options)) => starting::run(options),
        Some(Also::Return(options)) => returning::run(options),
    }
}

fn run_sends(options: &Options) -> Result<ExitStatus> {
    let parent = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    let report = runtime()?.block_on(async {
        let mut stop = StopSignal::listen()?;
        tokio::select! {
            report = measure_all(options, &parent) => report,
            signal = stop.received() => Err(Error::failure(format!("{signal} ended the measurement"))),
        }
    })?;
    let text = if options.json { report.json() } else { report.table() };
    // Where stdout is closed nobody wants to know.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitStatus::Success)
}

async fn measure_all(options: &Options, parent: &Path) -> Result<Report> {
    let mut stores = Vec::new();
    for store in &options.store {
        let folder = Folder::make_in(parent)?;
        stores.push(Bench::measure(store, &folder, Duration::from_secs(options.seconds)).await?);
    }
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        optimized: !cfg!(debug_assertions),
        processors: processors(),
        seconds: options.seconds,
        stores,
    })
}

/// One store under measurement.
struct Bench {
    root: RootKey,
    lasting: Duration,
    /// The store of the store's ceiling.
    ceiling_store: String,
    server: Child,
    handler: Child,
    scene: Scene,
    member: Member,
    board: std::sync::Arc<Board>,
    /// The number of the next message.
    next: usize,
}

impl Bench {
    async fn measure(store: &str, folder: &Folder, lasting: Duration) -> Result<Measured> {
        let mut bench = Self::start(store, folder, lasting).await?;
        let flush_ms = if store == "sqlite" { Some(flush_ms(folder.path())?) } else { None };
        let mut rounds = Vec::new();
        for connections in CONNECTIONS {
            rounds.push(bench.row(connections).await?);
        }
        let shown = if store == "sqlite" {
            format!("sqlite in {}", folder.path().display())
        } else {
            StoreAddress::parse(store)?.shown
        };
        Ok(Measured { store: shown, flush_ms, rounds })
    }

    async fn start(store: &str, folder: &Folder, lasting: Duration) -> Result<Self> {
        let root = root_key()?;
        let data_dir = folder.path().join("server");
        let data_dir = data_dir.to_string_lossy();
        let mut words = vec![
            "serve",
            "--https",
            "off",
            "--log",
            "warn",
            "--limits-preset",
            "off",
            "--data-dir",
            &*data_dir,
        ];
        let ceiling_store = if store == "sqlite" {
            format!("sqlite:{}", folder.path().join("ceiling.db").display())
        } else {
            words.extend(["--store", store]);
            store.to_owned()
        };
        let server = Child::start(&words, &root).await?;

        let mut remote = Remote::open(server.address, &root).await?;
        let name = format!("bench-{}", carillon_server::clock::real().ms());
        let scene = Scene::set(name, &mut remote).await?;
        let (_, length) = remote.call(&scene.message(0)).await?;
        let length = length.to_string();
        let handler = Child::start(&["bench-part", "http", "--length", &length], &root).await?;

        let board = Board::new();
        let member = Member::connect(server.address, &root, &scene, board.clone()).await?;
        Ok(Self { root, lasting, ceiling_store, server, handler, scene, member, board, next: 1 })
    }

    /// The rounds of one number of connections, one after the other, so that what else the machine does concerns
    /// them alike. A ceiling is the most that was seen: a disk is not the same from one second to the next, so the
    /// store is measured before the sends and after them.
    async fn row(&mut self, connections: usize) -> Result<Row> {
        say(format_args!("{connections} connections: store"));
        let before = self.append(connections).await?;
        say(format_args!("{connections} connections: http"));
        let http = self.repeat(connections).await?;
        say(format_args!("{connections} connections: sends"));
        let trial = self.send(connections, TRIAL_REQUESTS, TRIAL).await?;
        let sends = self.send(connections, requests_for(&trial, self.lasting), self.lasting).await?;
        if self.member.is_gone() {
            return Err(Error::failure("the member's socket was closed during a round"));
        }
        say(format_args!("{connections} connections: store, once more"));
        let store_per_second = self.append(connections).await?.max(before);
        Ok(Row::new(connections, store_per_second, &http, &sends))
    }

    async fn append(&self, tasks: usize) -> Result<f64> {
        let (tasks, seconds) = (tasks.to_string(), self.lasting.as_secs().to_string());
        let words = ["bench-part", "store", "--store", &self.ceiling_store, "--tasks", &tasks, "--seconds"];
        let mut command = command(&[words.as_slice(), &[seconds.as_str()]].concat(), &self.root)?;
        let running =
            tokio::task::spawn_blocking(move || command.stderr(std::process::Stdio::inherit()).output());
        let failed = |words: String| Error::failure(format!("the store's ceiling was not measured: {words}"));
        let ended = running.await.map_err(|error| failed(error.to_string()))?;
        let ended = ended.map_err(|error| failed(error.to_string()))?;
        let printed = String::from_utf8_lossy(&ended.stdout);
        printed.trim().parse().map_err(|_| failed(format!("its process ended with {}", ended.status)))
    }

    async fn repeat(&self, connections: usize) -> Result<Round> {
        let address = self.handler.address;
        let requests = sign(&self.scene, &self.root, address, 0, REPEATED_REQUESTS).await?;
        Plan { address, connections, lasting: self.lasting, requests: &requests }.repeat().await
    }

    async fn send(&mut self, connections: usize, count: usize, lasting: Duration) -> Result<Round> {
        let (address, first) = (self.server.address, self.next);
        self.next += count;
        let requests = sign(&self.scene, &self.root, address, first, count).await?;
        Plan { address, connections, lasting, requests: &requests }.send(&self.board, first).await
    }
}

/// As many requests as a round will need, if it is up to half as fast again as its trial.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is bounded below"
)]
fn requests_for(trial: &Round, lasting: Duration) -> usize {
    let wanted = trial.per_second() * lasting.as_secs_f64() * 1.5;
    wanted.clamp(TRIAL_REQUESTS as f64, REQUESTS_MAX as f64) as usize
}

/// How long the disk takes to flush a page, half of the time: where that is nothing, durability is not measured.
fn flush_ms(folder: &Path) -> Result<f64> {
    let failed = |error: std::io::Error| Error::failure(format!("a flush cannot be timed: {error}"));
    let mut file = File::create(folder.join("flush")).map_err(failed)?;
    let mut took = Vec::new();
    for _ in 0..FLUSHES {
        let start = Instant::now();
        file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).map_err(failed)?;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    Ok(took[FLUSHES / 2].as_secs_f64() * 1000.0)
}
