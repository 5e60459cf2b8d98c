//! `carillon bench workload`: one workload on one binary or several, at one size or several, in turns: the machine is
//! whatever it is, so what counts is how the figures of one run stand to each other.
//!
//! A workload says how its scene is made and what its next call is (`call`, `kinds`); everything else is the same for
//! all: the generator, the histograms, the turns, the table.

pub(crate) mod call;
pub(crate) mod ears;
pub(crate) mod fill;
pub(crate) mod generator;
mod hands;
pub(crate) mod host;
mod kinds;
pub(crate) mod pacing;
pub(crate) mod progress;
mod table;
pub(crate) mod times;
mod turns;
mod zipf;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::child::Folder;
use crate::common::{runtime, write_found};
use carillon_server::error::{Error, ExitStatus, Result};
use carillon_server::stop::StopSignal;
use generator::Loop;
use host::Binary;
use kinds::Kind;
use pacing::Pacing;
use turns::{Asked, Found};

/// What everything has that is measured on binaries and stores in turns.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Another carillon to measure; several are measured in turns, as ratios to the first [default: this one].
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Vec<PathBuf>,
    /// What to measure: sqlite, or postgres://… of a database in which schemas may be made; may be given several
    /// times.
    #[arg(long, value_name = "STORE", default_value = "sqlite")]
    pub(crate) store: Vec<String>,
    /// Where to put what is removed in the end; on the disk to measure [default: the system's temporary folder].
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Write JSON to this file, beside the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Common {
    /// Measures one thing on each store, and writes what was found.
    #[expect(clippy::needless_pass_by_value, reason = "a closure that nobody needs afterwards")]
    pub(crate) fn run<T: serde::Serialize>(
        &self,
        measure: impl AsyncFn(&str, &Path) -> Result<T>,
        table: impl Fn(&T) -> String,
    ) -> Result<ExitStatus> {
        carillon_server::process::raise_open_files();
        let parent = self.folder.clone().unwrap_or_else(std::env::temp_dir);
        let measured = runtime()?.block_on(async {
            let mut stop = StopSignal::listen()?;
            let all = async {
                let mut measured = Vec::new();
                for store in &self.store {
                    let folder = Folder::make_in(&parent)?;
                    measured.push(measure(store, folder.path()).await?);
                }
                Ok(measured)
            };
            tokio::select! {
                measured = all => measured,
                signal = stop.received() => Err(Error::failure(format!("{signal} ended the measurement"))),
            }
        })?;
        write_found(&measured, measured.iter().map(table).collect(), self.json.as_deref())?;
        Ok(ExitStatus::Success)
    }
}

/// The options of `bench workload`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What to measure.
    #[arg(value_enum, value_name = "WORKLOAD")]
    kind: Kind,
    #[command(flatten)]
    common: Common,
    /// The size of the workload; several are measured in turns, as ratios to the first.
    #[arg(long, value_name = "NUMBER")]
    size: Vec<usize>,
    /// Over how many connections calls are made.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: Option<u32>,
    /// Open loop: so many calls a second are due, however long the ones before take, and a call's time counts from when
    /// it was due.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Closed loop: each connection makes its next call as soon as the last was answered.
    #[arg(long, conflicts_with = "rate")]
    closed: bool,
    /// How long each round lasts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Give each kind of call a part of every round to itself, of so many seconds each: how long one takes does not
    /// depend then on how dear the others are.
    #[arg(long)]
    apart: bool,
    /// How many rounds each has.
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// What chance is drawn from.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Make scenes through the interface, not in the store: slow, but right for binaries of other versions.
    #[arg(long)]
    by_wire: bool,
}

impl Options {
    fn how(&self) -> Loop {
        let lasting = Duration::from_secs(self.seconds.into());
        match self.rate.or(self.kind.rate()).filter(|_| !self.closed) {
            Some(per_second) => Loop::Open(Pacing { per_second, lasting, is_day: self.kind.is_day() }),
            None => Loop::Closed(lasting),
        }
    }
}

/// Measures a workload.
pub(crate) fn run(options: &Options) -> Result<ExitStatus> {
    let sizes = if options.size.is_empty() { options.kind.sizes() } else { &options.size };
    let connections = options.connections.and_then(|given| usize::try_from(given).ok());
    let asked = Asked {
        kind: options.kind,
        binaries: Binary::all(&options.common.binary)?,
        sizes: sizes.to_vec(),
        connections: connections.unwrap_or(options.kind.connections()),
        how: options.how(),
        rounds: options.rounds,
        seed: options.seed,
        by_wire: options.by_wire,
        is_apart: options.apart,
    };
    let measure = async |store: &str, folder: &Path| turns::measure(&asked, store, folder).await;
    options.common.run(measure, |found: &Found| table::of(&asked, found))
}
