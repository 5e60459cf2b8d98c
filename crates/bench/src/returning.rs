//! `carillon bench return`: many sockets come back at once, as after a lost network: how long until all of them are
//! established, beside the bare library, and what senders notice of it.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use carillon_model::IdentityArn;
use clap::Args;
use rand::rngs::StdRng;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::common::{median, ratio, say};
use crate::crowd::{Door, Socket};
use crate::members;
use crate::scene::{Scene, lost};
use crate::sockets::stage::{Bare, channel_of};
use crate::workload::Common;
use crate::workload::call::{Call, Workload};
use crate::workload::generator::{Drive, Loop, Round};
use crate::workload::host::{Binary, Host};
use crate::workload::pacing::Pacing;
use crate::workload::times::{Spread, Times};
use carillon_server::config::StoreAddress;
use carillon_server::error::{Error, ExitStatus, Result};

/// Members of each channel of those who come back.
const CHANNEL_MEMBERS: usize = 100;
/// How long all may take to come back.
const RETURN_TIMEOUT: Duration = Duration::from_mins(2);
/// How long a server is left alone after they have gone.
const SETTLE: Duration = Duration::from_secs(3);
/// Connections of those who send.
const CONNECTIONS: usize = 64;
/// Connections beside those who come back, those that are ending among them.
const OTHER_CONNECTIONS: usize = 1_000;

/// The options of `bench return`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// How many sockets come back at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    sockets: usize,
    /// Sends a second of those who do not notice, it is hoped.
    #[arg(long, value_name = "NUMBER", default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How long the sends are measured before, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// How often all of it is done.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
}

/// What was found on one store.
#[derive(Debug, Serialize)]
struct Found {
    store: String,
    sockets: usize,
    /// How long the bare library took in each round.
    bare_s: Vec<f64>,
    /// Sends to the first server while the bare library was come back to: what the machine costs them by itself.
    elsewhere: Spread,
    variants: Vec<Variant>,
}

#[derive(Debug, Serialize)]
struct Variant {
    binary: String,
    /// How long all took, in the middle of all rounds.
    established_s: f64,
    /// As a ratio to the bare library, in the middle of all rounds.
    to_bare: f64,
    /// Sends before, and while they came back; of all rounds together.
    before: Spread,
    meanwhile: Spread,
    /// Of all but one send in a hundred, meanwhile to before, in the middle of all rounds.
    p99_ratio: f64,
    rounds: Vec<Return>,
}

#[derive(Debug, Clone, Serialize)]
struct Return {
    established: usize,
    established_s: f64,
    before: Spread,
    meanwhile: Spread,
}

/// Measures it.
pub(crate) fn run(options: &Options) -> Result<ExitStatus> {
    options.common.run(async |store, folder| measure(options, store, folder).await, table)
}

/// Sends to a channel in which nobody listens.
struct Sends(Scene);

impl Workload for Sends {
    fn kinds(&self) -> &'static [&'static str] {
        &["send"]
    }
    fn call(&self, number: u64, _random: &mut StdRng) -> Call {
        Call::of(0, &self.0.message(usize::try_from(number).unwrap_or_default()))
    }
}

/// A server to which they come back.
struct Returner {
    host: Host,
    binary: String,
    sends: Arc<Sends>,
    users: Vec<IdentityArn>,
    next: Arc<AtomicU64>,
    before: Times,
    meanwhile: Times,
    rounds: Vec<Return>,
}

async fn measure(options: &Options, store: &str, folder: &Path) -> Result<Found> {
    let mut returners = Vec::new();
    for binary in Binary::all(&options.common.binary)? {
        let name = returners.len().to_string();
        returners.push(Returner::set(options, &binary, (store, folder), &name).await?);
    }
    let first = returners.first().ok_or_else(|| Error::usage("no binary is named"))?;
    let bare = Bare::start(folder, &first.host.root).await?;
    let (bare_door, bare_users) = (Door::plain(bare.process.address, &first.host.root), first.users.clone());
    let (mut bare_s, mut elsewhere) = (Vec::new(), Times::default());
    for round in 1..=options.rounds {
        let Some(first) = returners.first() else { break };
        let (sends, _, seconds) = first.beside(options.rate, come_back(&bare_door, &bare_users)).await?;
        bare_s.push(seconds);
        elsewhere.add(&sends);
        say(format_args!("round {round} of {}: bare {seconds:.2} s", options.rounds));
        sleep(SETTLE).await;
        for returner in &mut returners {
            returner.turn(options).await?;
        }
    }
    let variants = returners.into_iter().map(|returner| returner.found(&bare_s)).collect();
    let shown = if store == "sqlite" { store.to_owned() } else { StoreAddress::parse(store)?.shown };
    Ok(Found { store: shown, sockets: options.sockets, bare_s, elsewhere: elsewhere.spread(), variants })
}

/// Opens a socket for each user, all at once; answers how long it took until the last was established.
async fn come_back(door: &Door, users: &[IdentityArn]) -> Result<(Vec<Socket>, f64)> {
    let (mut opening, start) = (JoinSet::new(), Instant::now());
    for user in users {
        let (door, user) = (door.clone(), user.clone());
        opening.spawn(async move { door.open(&user, false, None).await });
    }
    let mut sockets = Vec::with_capacity(users.len());
    let all = async {
        while let Some(opened) = opening.join_next().await {
            let opened = opened.map_err(|error| Error::failure(format!("a socket ended badly: {error}")))?;
            sockets.push(opened.map_err(|error| lost(&error))?.0);
        }
        Ok(())
    };
    let late = |_| Error::failure("not all sockets were established in time");
    timeout(RETURN_TIMEOUT, all).await.map_err(late)??;
    let seconds = start.elapsed().as_secs_f64();
    Ok((sockets, seconds))
}

impl Returner {
    async fn set(
        options: &Options,
        binary: &Binary,
        (store, folder): (&str, &Path),
        name: &str,
    ) -> Result<Self> {
        // All of them come from this one machine.
        let configuration =
            format!("[server]\nconnections_per_address_max = {}\n", options.sockets + OTHER_CONNECTIONS);
        let host = Host::start_with(&configuration, binary, store, folder, name).await?;
        say(format_args!("{binary}: making {} users", options.sockets));
        let scene = Scene::set(format!("return-{name}"), &mut host.remote().await?).await?;
        let (address, instance) = (host.address(), scene.sender.app_instance());
        let users = members::make(address, &host.root, &instance, options.sockets).await?;
        for (number, some) in users.chunks(CHANNEL_MEMBERS).enumerate() {
            channel_of(&mut host.remote().await?, &scene, &format!("{name}-{number}"), some).await?;
        }
        Ok(Self {
            host,
            binary: binary.to_string(),
            sends: Arc::new(Sends(scene)),
            users,
            next: Arc::default(),
            before: Times::default(),
            meanwhile: Times::default(),
            rounds: Vec::new(),
        })
    }

    fn drive(&self, rate: u32, lasting: Duration) -> Drive {
        Drive {
            address: self.host.address(),
            root: self.host.root.clone(),
            workload: self.sends.clone(),
            only: None,
            connections: CONNECTIONS,
            how: Loop::Open(Pacing { per_second: rate, lasting, is_day: false }),
            seed: 0,
            next: self.next.clone(),
            answered: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Sends for as long as others come back, wherever that is.
    async fn beside(
        &self,
        rate: u32,
        returning: impl Future<Output = Result<(Vec<Socket>, f64)>>,
    ) -> Result<(Times, Vec<Socket>, f64)> {
        let drive = self.drive(rate, RETURN_TIMEOUT);
        let stop = drive.stop.clone();
        let back = async {
            let back = returning.await;
            stop.cancel();
            back
        };
        let (round, back) = tokio::join!(apart(drive), back);
        let (sockets, seconds) = back?;
        Ok((round?.times(), sockets, seconds))
    }

    async fn turn(&mut self, options: &Options) -> Result<()> {
        let lasting = Duration::from_secs(options.seconds.into());
        let before = apart(self.drive(options.rate, lasting)).await?.times();
        let door = self.host.door();
        let back = come_back(&door, &self.users);
        let (meanwhile, sockets, established_s) = self.beside(options.rate, back).await?;
        let (shown, since) = (before.spread(), meanwhile.spread());
        say(format_args!(
            "{}: {} in {established_s:.2} s; sends p99 {:.2} ms before, {:.2} ms meanwhile",
            self.binary,
            sockets.len(),
            shown.p99_ms,
            since.p99_ms
        ));
        let established = sockets.len();
        self.rounds.push(Return { established, established_s, before: shown, meanwhile: since });
        self.before.add(&before);
        self.meanwhile.add(&meanwhile);
        drop(sockets);
        sleep(SETTLE).await;
        Ok(())
    }

    fn found(self, bare_s: &[f64]) -> Variant {
        let middle = |of: &dyn Fn(&Return) -> f64| median(self.rounds.iter().map(of).collect());
        let to_bare = self.rounds.iter().zip(bare_s).map(|(round, bare)| ratio(round.established_s, *bare));
        Variant {
            established_s: middle(&|round| round.established_s),
            to_bare: median(to_bare.collect()),
            before: self.before.spread(),
            meanwhile: self.meanwhile.spread(),
            p99_ratio: middle(&|round| ratio(round.meanwhile.p99_ms, round.before.p99_ms)),
            binary: self.binary,
            rounds: self.rounds,
        }
    }
}

/// Drives on a thread of its own, so that no call waits for the tasks of those who come back.
async fn apart(drive: Drive) -> Result<Round> {
    let (done, driven) = oneshot::channel();
    let thread = std::thread::Builder::new().name("sends".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let driven = match runtime {
            Ok(runtime) => runtime.block_on(drive.run()),
            Err(error) => Err(Error::failure(format!("a runtime cannot start: {error}"))),
        };
        // Nobody waits any more where the measurement ended.
        let _ = done.send(driven);
    });
    thread.map_err(|error| Error::failure(format!("a thread cannot start: {error}")))?;
    driven.await.map_err(|_| Error::failure("the sends ended badly"))?
}

fn table(found: &Found) -> String {
    let bare = median(found.bare_s.clone());
    let mut text = format!(
        "\nreturn, {}: {} sockets at once; the bare library takes {bare:.2} s, and sends to the first server meanwhile \
         have a p99 of {:.2} ms\n\n\
         {:40} {:>11} {:>8}   {:>14} {:>14} {:>6}\n",
        found.store,
        found.sockets,
        found.elsewhere.p99_ms,
        "",
        "seconds",
        "to bare",
        "p99 before, ms",
        "meanwhile",
        "ratio"
    );
    for variant in &found.variants {
        let Variant { binary, established_s, to_bare, before, meanwhile, p99_ratio, .. } = variant;
        let _ = writeln!(
            text,
            "{binary:40} {established_s:>11.2} {to_bare:>8.2}   {:>14.2} {:>14.2} {p99_ratio:>6.2}",
            before.p99_ms, meanwhile.p99_ms
        );
    }
    text
}
