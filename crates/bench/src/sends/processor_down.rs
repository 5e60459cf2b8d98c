//! `carillon bench processor-down`: many messages into a channel whose processor is down, and what another channel,
//! and the server's memory, notice of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use carillon_model::text::ChannelMessageStatus;
use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{Common, ratio, say};
use crate::child::free_address;
use crate::load::Round;
use crate::pace::{Load, Pace};
use crate::processor::Silent;
use crate::report::Latency;
use crate::scene::Scene;
use crate::stage::{BEHIND_HTTP, Stage};
use crate::vitals::{Looking, Looks, Memory};
use carillon_server::error::{Error, ExitStatus, Result};

/// Connections of each of both loads.
const CONNECTIONS: usize = 8;
/// How long the other channel is measured before, at most.
const BEFORE_SECONDS_MAX: u32 = 20;
/// How long it may take until no message is pending any more: longer than a server waits for a processor.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(4);
/// How often it is looked whether one is.
const SETTLE_EVERY: Duration = Duration::from_secs(1);

/// The options of `bench processor-down`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    common: Common,
    /// How long the processor is down, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Messages a second into the channel of the processor.
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    per_second: u32,
    /// Messages a second into the other channel.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    other_per_second: u32,
}

/// What is wrong with the processor.
#[derive(Debug, Clone, Copy, Serialize)]
enum Wrong {
    /// Nobody listens.
    Closed,
    /// Somebody listens and never answers.
    Silent,
}

/// What was measured of one wrong.
#[derive(Debug, Serialize)]
struct Found {
    wrong: Wrong,
    /// The other channel: with nothing beside it, beside as many messages that need no processor, beside the
    /// processor that is down.
    alone: Other,
    plain: Other,
    down: Other,
    /// Beside the processor that is down, as a multiple of beside messages that need none.
    socket_p50_ratio: f64,
    socket_p99_ratio: f64,
    memory_before: Memory,
    memory_after: Memory,
    /// Messages that were accepted for the processor, and how they ended.
    sent: usize,
    ended: BTreeMap<String, usize>,
    /// From the last send until none was pending.
    settled_ms: u64,
    /// What was seen of the gates, if the server has metrics.
    gates: Option<Looks>,
}

/// What was measured of the other channel.
#[derive(Debug, Clone, Copy, Serialize)]
struct Other {
    messages: usize,
    undelivered: usize,
    answer: Latency,
    socket: Latency,
}

impl Other {
    fn of(round: &Round) -> Self {
        Self {
            messages: round.answered,
            undelivered: round.answered - round.socket_us.len(),
            answer: Latency::of(&round.answer_us),
            socket: Latency::of(&round.socket_us),
        }
    }
}

/// Measures both wrongs.
pub(super) fn run(options: &Options) -> Result<ExitStatus> {
    let measure = async |store: &str, folder: &Path| {
        let closed = measure(options, store, &folder.join("closed"), Wrong::Closed).await?;
        let silent = measure(options, store, &folder.join("silent"), Wrong::Silent).await?;
        Ok([closed, silent])
    };
    options.common.run(measure, |found| table(options, found))
}

async fn measure(options: &Options, store: &str, folder: &Path, wrong: Wrong) -> Result<Found> {
    std::fs::create_dir(folder)
        .map_err(|error| Error::failure(format!("{} cannot be made: {error}", folder.display())))?;
    let silent = Silent::listen().await?;
    let behind_http = match wrong {
        Wrong::Closed => free_address()?,
        Wrong::Silent => silent.address,
    };
    let mut stage = Stage::set(folder, store, behind_http).await?;
    let plain = stage.channel(&stage.scene, "plain").await?;
    let flow = stage.channel_with_flow("down", BEHIND_HTTP).await?;

    let before = options.seconds.min(BEFORE_SECONDS_MAX);
    say(format_args!("{wrong:?}: {before} s of the other channel alone"));
    let alone = other(&mut stage, options, before).run_for(seconds(before)).await?;
    say(format_args!("{wrong:?}: {before} s beside messages that need no processor"));
    let (plain, _) = beside(&mut stage, options, &plain, before).await?;
    let memory_before = Memory::of(stage.server.id())?;
    say(format_args!("{wrong:?}: {} s beside a processor that is down", options.seconds));
    let looking = Looking::at(stage.server.address);
    let (down, sent) = beside(&mut stage, options, &flow, options.seconds).await?;
    stage.check()?;
    say(format_args!("{wrong:?}: until no message is pending"));
    let (ended, settled_ms) = settle(&stage, &flow).await?;
    let gates = looking.end().await?;
    let (alone, plain, down) = (Other::of(&alone), Other::of(&plain), Other::of(&down));
    Ok(Found {
        wrong,
        alone,
        plain,
        down,
        socket_p50_ratio: ratio(down.socket.p50_ms, plain.socket.p50_ms),
        socket_p99_ratio: ratio(down.socket.p99_ms, plain.socket.p99_ms),
        memory_before,
        memory_after: Memory::of(stage.server.id())?,
        sent: sent.answered,
        ended,
        settled_ms,
        gates,
    })
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// The other channel's load of so many seconds.
fn other(stage: &mut Stage, options: &Options, seconds: u32) -> Load {
    let (scene, rate) = (stage.scene.clone(), options.other_per_second);
    stage.heard(&scene, Pace::PerSecond(rate), CONNECTIONS, rate as usize * seconds as usize)
}

/// Both loads at once: the other channel's, and one into this channel.
async fn beside(stage: &mut Stage, options: &Options, into: &Scene, lasting: u32) -> Result<(Round, Round)> {
    let rate = options.per_second;
    let many = stage.unheard(into, Pace::PerSecond(rate), CONNECTIONS, rate as usize * lasting as usize);
    let other = other(stage, options, lasting);
    tokio::try_join!(other.run_for(seconds(lasting)), many.run_for(seconds(lasting)))
}

/// Waits until no message of a channel is pending; answers how many ended how, and how long that took.
async fn settle(stage: &Stage, scene: &Scene) -> Result<(BTreeMap<String, usize>, u64)> {
    let start = Instant::now();
    loop {
        let settled_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ended = statuses(stage, scene).await?;
        let pending = ended.get(ChannelMessageStatus::Pending.as_str()).copied();
        if pending.is_none() || SETTLE_TIMEOUT < start.elapsed() {
            return Ok((ended, settled_ms));
        }
        sleep(SETTLE_EVERY).await;
    }
}

/// How far the messages of a channel have come, as their sender is told.
async fn statuses(stage: &Stage, scene: &Scene) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for message in stage.messages(scene, usize::MAX).await? {
        *counts.entry(message.status.value.as_str().to_owned()).or_default() += 1;
    }
    Ok(counts)
}

fn table(options: &Options, found: &[Found]) -> String {
    let mut text = String::new();
    for one in found {
        let Found { wrong, sent, ended, settled_ms, memory_before, memory_after, .. } = one;
        let _ = writeln!(
            text,
            "{wrong:?}: {} messages a second for {} s into a channel whose processor is down\n\n\
             the other channel                 messages  lost   answer, ms p50     p99   socket, ms p50     p99",
            options.per_second, options.seconds,
        );
        let beside = [("alone", one.alone), ("beside a plain channel", one.plain), ("beside it", one.down)];
        for (name, other) in beside {
            let Other { messages, undelivered, answer, socket } = other;
            let _ = writeln!(
                text,
                "  {name:<30} {messages:>9} {undelivered:>5} {:>16.2} {:>7.2} {:>16.2} {:>7.2}",
                answer.p50_ms, answer.p99_ms, socket.p50_ms, socket.p99_ms,
            );
        }
        let _ = writeln!(
            text,
            "  beside it : beside a plain one   p50 {:.2}  p99 {:.2};  beside it : alone   p50 {:.2}  p99 {:.2}",
            one.socket_p50_ratio,
            one.socket_p99_ratio,
            ratio(one.down.socket.p50_ms, one.alone.socket.p50_ms),
            ratio(one.down.socket.p99_ms, one.alone.socket.p99_ms),
        );
        let mib = |kib: u64| kib / 1024;
        let _ = writeln!(
            text,
            "memory, MiB    before {}, peak {}, after {}",
            mib(memory_before.now_kib),
            mib(memory_after.peak_kib),
            mib(memory_after.now_kib),
        );
        let _ = writeln!(text, "messages       {sent} accepted; {settled_ms} ms later: {ended:?}");
        let _ = writeln!(text, "{}\n", gates(one.gates.as_ref()));
    }
    text
}

fn gates(looks: Option<&Looks>) -> String {
    let Some(Looks { closed, all, closed_after_ms, last }) = looks else {
        return "gates          the server has no metrics".to_owned();
    };
    let after = closed_after_ms.map_or("never".to_owned(), |ms| format!("first after {ms} ms"));
    format!(
        "gates          closed in {closed} of {all} looks, {after}; at last {} open, {} closed\n\
         calls          {} taken, {} failed, {} not made",
        last.open, last.closed, last.taken, last.failed, last.not_made,
    )
}
