//! `carillon bench deletion`: an app instance full of messages is deleted, and what senders in another one notice.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use carillon_model::Key;
use carillon_service::operations::identity::delete_app_instance::DeleteAppInstance;
use carillon_store::{Store, Tx, app_instance};
use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Common, address_in, ratio, say};
use crate::child::free_address;
use crate::load::{Plan, Round, sign};
use crate::pace::{Load, Pace};
use crate::report::Latency;
use crate::scene::Scene;
use crate::stage::Stage;
use carillon_server::config::StoreAddress;
use carillon_server::error::{Error, ExitStatus, Result};
use carillon_server::wire;

/// Channels of the app instance that is deleted.
const CHANNELS: usize = 10;
/// Connections that fill it.
const FILL_CONNECTIONS: usize = 64;
/// Messages that are signed at once: some 11 MB.
const FILL_LEN: usize = 10_000;
/// How long so many may take.
const FILL_TIMEOUT: Duration = Duration::from_mins(5);
/// Connections of those who send meanwhile.
const CONNECTIONS: usize = 4;
/// How long the destruction may take.
const DESTROY_SECONDS_MAX: u32 = 600;
/// How often it is looked whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The options of `bench deletion`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    common: Common,
    /// Messages of the app instance that is deleted.
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000,
        value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    messages: u32,
    /// How long the others are measured before, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Messages a second of the others.
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    per_second: u32,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Found {
    /// Messages that were deleted with their app instance.
    messages: usize,
    /// From the request until the last row was gone.
    destroyed_ms: u64,
    before: Others,
    during: Others,
    answer_p50_ratio: f64,
    answer_p99_ratio: f64,
    socket_p50_ratio: f64,
    socket_p99_ratio: f64,
}

/// What was measured of those who send.
#[derive(Debug, Clone, Copy, Serialize)]
struct Others {
    messages: usize,
    undelivered: usize,
    answer: Latency,
    socket: Latency,
    /// The slowest answer.
    answer_max_ms: f64,
}

impl Others {
    fn of(round: &Round) -> Self {
        Self {
            messages: round.answered,
            undelivered: round.answered - round.socket_us.len(),
            answer: Latency::of(&round.answer_us),
            socket: Latency::of(&round.socket_us),
            answer_max_ms: f64::from(round.answer_us.last().copied().unwrap_or_default()) / 1000.0,
        }
    }
}

/// Measures a deletion.
pub(super) fn run(options: &Options) -> Result<ExitStatus> {
    options.common.run(async |store, folder| measure(options, store, folder).await, table)
}

async fn measure(options: &Options, store: &str, folder: &Path) -> Result<Found> {
    let mut stage = Stage::set(folder, store, free_address()?).await?;
    let doomed =
        Scene::set(format!("doomed-{}", carillon_server::clock::real().ms()), &mut stage.remote().await?)
            .await?;
    let messages = fill(&stage, &doomed, options.messages as usize).await?;
    // Watched from before the first measurement on, so that watching costs both alike.
    let watch = wire::open_store(&StoreAddress::parse(&address_in(store, folder))?, Arc::new(|_| {})).await?;

    say(format_args!("{} s of the others alone", options.seconds));
    let lasting = Duration::from_secs(options.seconds.into());
    let before = others(&mut stage, options, options.seconds).run_for(lasting).await?;
    say(format_args!("the deletion of {messages} messages"));
    let (load, until) = (others(&mut stage, options, DESTROY_SECONDS_MAX), CancellationToken::new());
    let destroy = async {
        let destroyed = destroy(&stage, &doomed, &watch).await;
        until.cancel();
        destroyed
    };
    let (during, destroyed) = tokio::try_join!(load.run(&until), destroy)?;
    stage.check()?;
    let (before, during) = (Others::of(&before), Others::of(&during));
    Ok(Found {
        messages,
        destroyed_ms: u64::try_from(destroyed.as_millis()).unwrap_or(u64::MAX),
        before,
        during,
        answer_p50_ratio: ratio(during.answer.p50_ms, before.answer.p50_ms),
        answer_p99_ratio: ratio(during.answer.p99_ms, before.answer.p99_ms),
        socket_p50_ratio: ratio(during.socket.p50_ms, before.socket.p50_ms),
        socket_p99_ratio: ratio(during.socket.p99_ms, before.socket.p99_ms),
    })
}

/// The load of the others, for at most so many seconds.
fn others(stage: &mut Stage, options: &Options, seconds_max: u32) -> Load {
    let (scene, rate) = (stage.scene.clone(), options.per_second);
    stage.heard(&scene, Pace::PerSecond(rate), CONNECTIONS, rate as usize * seconds_max as usize)
}

/// Sends so many messages into several channels; answers how many were accepted.
async fn fill(stage: &Stage, doomed: &Scene, messages: usize) -> Result<usize> {
    let mut channels = vec![doomed.clone()];
    for number in 1..CHANNELS {
        channels.push(stage.channel(doomed, &format!("doomed-{number}")).await?);
    }
    let (address, mut filled) = (stage.server.address, 0);
    for (number, first) in (0..messages).step_by(FILL_LEN).enumerate() {
        say(format_args!("{filled} of {messages} messages"));
        let count = FILL_LEN.min(messages - first);
        let scene = &channels[number % CHANNELS];
        let requests = sign(scene, &stage.root, address, first, count).await?;
        let connections = FILL_CONNECTIONS.min(count);
        let plan = Plan { address, connections, lasting: FILL_TIMEOUT, requests: &requests };
        filled += plan.fill().await?.answered;
    }
    if filled < messages {
        return Err(Error::failure(format!("only {filled} messages could be sent in time")));
    }
    Ok(filled)
}

/// Deletes the app instance; answers how long it took until the last of its rows was gone.
async fn destroy(stage: &Stage, doomed: &Scene, watch: &Store) -> Result<Duration> {
    let start = Instant::now();
    let delete = DeleteAppInstance { app_instance_arn: doomed.sender.app_instance() };
    stage.remote().await?.call(&delete).await?;
    while !is_gone(watch).await? {
        if Duration::from_secs(DESTROY_SECONDS_MAX.into()) < start.elapsed() {
            return Err(Error::failure("the app instance was not destroyed in time"));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(start.elapsed())
}

/// Whether no app instance waits to be destroyed: its own row is the last.
async fn is_gone(watch: &Store) -> Result<bool> {
    let left = watch.read(|tx: &mut Tx| app_instance::list_deleted(tx, Key([0; 16]), 1)).await;
    let left = left.map_err(|error: carillon_store::Error| {
        Error::failure(format!("the store cannot be watched: {error}"))
    })?;
    Ok(left.is_empty())
}

fn table(found: &Found) -> String {
    let Found { messages, destroyed_ms, .. } = found;
    let mut text = format!(
        "an app instance of {messages} messages is deleted; its last row was gone after {destroyed_ms} ms\n\n\
         the others    messages  lost   answer, ms p50     p99     max   socket, ms p50     p99\n"
    );
    for (name, others) in [("before", found.before), ("during", found.during)] {
        let Others { messages, undelivered, answer, socket, answer_max_ms } = others;
        let _ = writeln!(
            text,
            "{name:<12} {messages:>9} {undelivered:>5} {:>16.2} {:>7.2} {answer_max_ms:>7.2} {:>16.2} {:>7.2}",
            answer.p50_ms, answer.p99_ms, socket.p50_ms, socket.p99_ms,
        );
    }
    let _ = writeln!(
        text,
        "{:<12} {:>32.2} {:>7.2} {:>24.2} {:>7.2}",
        "ratio",
        found.answer_p50_ratio,
        found.answer_p99_ratio,
        found.socket_p50_ratio,
        found.socket_p99_ratio,
    );
    text
}
