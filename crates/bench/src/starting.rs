//! `carillon bench start`: from the start of a process to the first message that it acknowledged, on a store that holds
//! much, in turns with one that is empty.

use std::fmt::Write as _;
use std::path::Path;

use carillon_model::identity::Identity;
use clap::Args;
use serde::Serialize;
use tokio::time::{Duration, Instant, sleep};

use crate::child::Child;
use crate::client::Connection;
use crate::common::{median, ratio, say};
use crate::scene::{REGION, Scene};
use crate::vitals::Memory;
use crate::workload::Common;
use crate::workload::fill::{Filling, Plan};
use crate::workload::host::{Binary, Host};
use carillon_server::clock;
use carillon_server::config::StoreAddress;
use carillon_server::error::{Error, ExitStatus, Result};
use carillon_server::request::Author;
use carillon_service::operation::Operation as _;

/// How often it is tried to reach a server that starts.
const TRY_EVERY: Duration = Duration::from_millis(1);
/// How long a start may take.
const START_TIMEOUT: Duration = Duration::from_mins(2);
/// How long a server runs before it ends: its jobs have begun by then.
const RUNS_FOR: Duration = Duration::from_secs(2);

/// The options of `bench start`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// How many channels the store holds; several are measured in turns, as ratios to the first.
    #[arg(long, value_name = "NUMBER", default_values_t = [0, 1_000_000])]
    size: Vec<u64>,
    /// How many messages each channel holds.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    messages_each: u64,
    /// How many rounds each has.
    #[arg(long, value_name = "NUMBER", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
}

/// What was found on one store.
#[derive(Debug, Serialize)]
struct Found {
    store: String,
    variants: Vec<Variant>,
}

#[derive(Debug, Serialize)]
struct Variant {
    binary: String,
    channels: u64,
    messages: u64,
    /// Until the first message was acknowledged, in the middle of all rounds.
    first_send_ms: f64,
    /// As a ratio to the first, in the middle of all rounds.
    ratio: f64,
    /// What the process held some time after, in the middle of all rounds.
    resident_kib: f64,
    rounds: Vec<Start>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Start {
    first_send_ms: f64,
    resident_kib: u64,
}

/// Channels of one person, with messages.
struct Channels {
    who: Identity,
    count: u64,
    each: u64,
}

impl Plan for Channels {
    fn channels(&self) -> u64 {
        self.count
    }
    fn people(&self, _number: u64) -> Vec<Identity> {
        vec![self.who.clone()]
    }
    fn messages_each(&self) -> u64 {
        self.each
    }
}

/// One that is started again and again.
struct Starter {
    host: Host,
    scene: Scene,
    binary: String,
    channels: u64,
    next: usize,
    rounds: Vec<Start>,
}

/// Measures starts.
pub(crate) fn run(options: &Options) -> Result<ExitStatus> {
    options.common.run(async |store, folder| measure(options, store, folder).await, table)
}

async fn measure(options: &Options, store: &str, folder: &Path) -> Result<Found> {
    let mut starters = Vec::new();
    for binary in Binary::all(&options.common.binary)? {
        for channels in &options.size {
            let name = starters.len().to_string();
            let mut host = Host::start(&binary, store, folder, &name).await?;
            let scene = Scene::set(format!("start-{name}"), &mut host.remote().await?).await?;
            host.rest().await?;
            if 0 < *channels {
                let filling = Filling::of(&host, &scene.sender.app_instance()).await?;
                let who = filling.find(&scene.sender).await?;
                filling.fill(Channels { who, count: *channels, each: options.messages_each }).await?;
            }
            let (binary, channels) = (binary.to_string(), *channels);
            starters.push(Starter { host, scene, binary, channels, next: 0, rounds: Vec::new() });
        }
    }
    // The first start of each is not counted: it does what only a first one must.
    for round in 0..=options.rounds {
        for starter in &mut starters {
            let start = starter.start().await?;
            say(format_args!("{} {}: {:.1} ms", starter.binary, starter.channels, start.first_send_ms));
            if 0 < round {
                starter.rounds.push(start);
            }
        }
    }
    let first: Vec<Start> = starters.first().map(|first| first.rounds.clone()).unwrap_or_default();
    let variant = |starter: Starter| {
        let all = |of: fn(&Start) -> f64| median(starter.rounds.iter().map(of).collect());
        let ratios = starter.rounds.iter().zip(&first);
        Variant {
            channels: starter.channels,
            messages: starter.channels * options.messages_each,
            first_send_ms: all(|start| start.first_send_ms),
            ratio: median(ratios.map(|(one, first)| ratio(one.first_send_ms, first.first_send_ms)).collect()),
            resident_kib: all(Start::resident),
            binary: starter.binary,
            rounds: starter.rounds,
        }
    };
    let shown = if store == "sqlite" { store.to_owned() } else { StoreAddress::parse(store)?.shown };
    Ok(Found { store: shown, variants: starters.into_iter().map(variant).collect() })
}

impl Start {
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
    fn resident(&self) -> f64 {
        self.resident_kib as f64
    }
}

impl Starter {
    /// Starts it, sends a message as soon as it listens, and ends it some time after.
    async fn start(&mut self) -> Result<Start> {
        self.next += 1;
        let begun = Instant::now();
        let child = Child::begin(self.host.command())?;
        let host = child.address.to_string();
        let author = Author::new(&self.host.root, REGION, &host);
        let request = author.write(&self.scene.message(self.next).encode(), clock::real());
        let mut connection = loop {
            match Connection::open(child.address).await {
                Ok(connection) => break connection,
                Err(_) if begun.elapsed() < START_TIMEOUT => sleep(TRY_EVERY).await,
                Err(error) => return Err(Error::failure(format!("a server did not start: {error}"))),
            }
        };
        connection.exchange(&request).await.map_err(|error| crate::scene::lost(&error))?.expect_created()?;
        let first_send_ms = begun.elapsed().as_secs_f64() * 1_000.0;
        sleep(RUNS_FOR).await;
        let resident_kib = Memory::of(child.id())?.now_kib;
        child.end().await?;
        Ok(Start { first_send_ms, resident_kib })
    }
}

fn table(found: &Found) -> String {
    let mut text = format!(
        "\nstart, {}: from the start of the process to the first acknowledged message\n\n\
         {:40} {:>10} {:>11} {:>9} {:>7} {:>12}\n",
        found.store, "", "channels", "messages", "ms", "ratio", "resident MiB"
    );
    for variant in &found.variants {
        let Variant { binary, channels, messages, first_send_ms, ratio, resident_kib, .. } = variant;
        let mib = resident_kib / 1_024.0;
        let _ = writeln!(
            text,
            "{binary:40} {channels:>10} {messages:>11} {first_send_ms:>9.1} {ratio:>7.2} {mib:>12.1}"
        );
    }
    text
}
