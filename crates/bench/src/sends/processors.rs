//! `carillon bench processors`: more messages than places into a channel whose processor takes its time, and messages
//! before, in and after an outage of one; which of them went past it, and which failed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use carillon_model::Timestamp;
use carillon_model::text::{ChannelMessageStatus, FallbackAction};
use carillon_service::shapes::ChannelMessageSummary;
use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{Common, say};
use crate::pace::Pace;
use crate::processor::Processor;
use crate::scene::Scene;
use crate::stage::{BEHIND_HTTP, Stage};
use crate::vitals::Memory;
use carillon_server::clock;
use carillon_server::error::{ExitStatus, Result};

/// Connections of a load.
const CONNECTIONS: usize = 64;
/// How long it may take until no message is pending any more.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(4);
/// How often it is looked whether one is.
const SETTLE_EVERY: Duration = Duration::from_secs(1);
/// Messages that are looked at while it is waited: those that were sent last.
const NEWEST: usize = 50;
/// How long messages are sent before an outage, and after it.
const AROUND_OUTAGE: Duration = Duration::from_secs(10);
/// From when on after an outage no message may fail.
const BACK_FOR_MS: i64 = 3_000;

/// The options of `bench processors`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    common: Common,
    /// The binary to measure [default: this one].
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Milliseconds that the processor takes for a call.
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=2_000))]
    milliseconds: u32,
    /// Messages a second, while it is well.
    #[arg(long, value_name = "RATE", default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    per_second: u32,
    /// For how long, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=120))]
    seconds: u32,
    /// How long it is away, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=120))]
    outage_seconds: u32,
    /// Messages a second, around the outage.
    #[arg(long, value_name = "RATE", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    outage_per_second: u32,
}

/// What was found of one store.
#[derive(Debug, Serialize)]
struct Found {
    /// Beside a processor that is well, with CONTINUE.
    well: Ended,
    /// Messages a second that were accepted.
    accepted_per_second: f64,
    memory_before: Memory,
    memory_after: Memory,
    /// Around an outage, with ABORT.
    outage: Ended,
    /// Of those that failed: before the processor was back, within three seconds, and later.
    failed_before: usize,
    failed_soon: usize,
    failed_late: usize,
}

/// How messages ended.
#[derive(Debug, Serialize)]
struct Ended {
    accepted: usize,
    sent: usize,
    /// Sent, though the processor was not told of them.
    unseen: usize,
    failed: usize,
    /// Failed, though the processor was not told of them.
    failed_unseen: usize,
    /// Still pending when it was no longer waited.
    pending: usize,
    /// From the last send until none was pending.
    settled_ms: u64,
}

/// Measures both.
pub(super) fn run(options: &Options) -> Result<ExitStatus> {
    let measure = async |store: &str, folder: &Path| measure(options, store, folder).await;
    options.common.run(measure, |found| table(options, found))
}

async fn measure(options: &Options, store: &str, folder: &Path) -> Result<Found> {
    let mut processor = Processor::listen_slowly(Duration::from_millis(options.milliseconds.into()))?;
    let mut stage = Stage::set_of(options.server.as_deref(), folder, store, processor.address).await?;
    processor.call_back(stage.server.address, &stage.root);
    let memory_before = Memory::of(stage.server.id())?;

    say(format_args!("{} messages a second for {} s", options.per_second, options.seconds));
    let scene = stage.channel_of_flow("well", BEHIND_HTTP, FallbackAction::Continue).await?;
    let lasting = Duration::from_secs(options.seconds.into());
    let most = options.per_second as usize * options.seconds as usize;
    let load = stage.unheard(&scene, Pace::PerSecond(options.per_second), CONNECTIONS, most);
    let round = load.run_for(lasting).await?;
    say(format_args!("until no message is pending"));
    let (messages, settled_ms) = settle(&stage, &scene).await?;
    let well = Ended::of(&messages, &processor, settled_ms);
    let memory_after = Memory::of(stage.server.id())?;

    let (messages, settled_ms, back_at) = outage(options, &mut stage, &mut processor).await?;
    processor.check()?;
    let back_at = back_at.ms();
    let failed_between = |from: i64, to: i64| {
        let within = |message: &&ChannelMessageSummary| {
            let at = message.last_updated_timestamp.ms();
            is(message, ChannelMessageStatus::Failed) && from <= at && at < to
        };
        messages.iter().filter(within).count()
    };
    Ok(Found {
        well,
        accepted_per_second: round.per_second(),
        memory_before,
        memory_after,
        outage: Ended::of(&messages, &processor, settled_ms),
        failed_before: failed_between(0, back_at),
        failed_soon: failed_between(back_at, back_at + BACK_FOR_MS),
        failed_late: failed_between(back_at + BACK_FOR_MS, i64::MAX),
    })
}

/// Sends all the while, as the processor goes away and comes back; answers what became of the messages, after which
/// time, and when it was back.
async fn outage(
    options: &Options,
    stage: &mut Stage,
    processor: &mut Processor,
) -> Result<(Vec<ChannelMessageSummary>, u64, Timestamp)> {
    say(format_args!("an outage of {} s", options.outage_seconds));
    let scene = stage.channel_of_flow("away", BEHIND_HTTP, FallbackAction::Abort).await?;
    let (rate, away) = (options.outage_per_second, Duration::from_secs(options.outage_seconds.into()));
    let lasting = AROUND_OUTAGE + away + AROUND_OUTAGE;
    let most = rate as usize * usize::try_from(lasting.as_secs()).unwrap_or(usize::MAX);
    let load = stage.unheard(&scene, Pace::PerSecond(rate), CONNECTIONS, most);
    let fall = async {
        sleep(AROUND_OUTAGE).await;
        processor.go_away().await;
        sleep(away).await;
        processor.come_back()?;
        Ok(clock::real())
    };
    let (_, back_at) = tokio::try_join!(load.run_for(lasting), fall)?;
    say(format_args!("until no message is pending"));
    let (messages, settled_ms) = settle(stage, &scene).await?;
    Ok((messages, settled_ms, back_at))
}

/// Waits until no message of a channel is pending, or too long; answers all, and for how long it waited.
async fn settle(stage: &Stage, scene: &Scene) -> Result<(Vec<ChannelMessageSummary>, u64)> {
    let start = Instant::now();
    let pending = |messages: &[ChannelMessageSummary]| {
        messages.iter().any(|message| is(message, ChannelMessageStatus::Pending))
    };
    loop {
        let settled_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let over = SETTLE_TIMEOUT < start.elapsed();
        // The whole list is long: it is asked for when its newest are through.
        if over || !pending(&stage.messages(scene, NEWEST).await?) {
            let all = stage.messages(scene, usize::MAX).await?;
            if over || !pending(&all) {
                return Ok((all, settled_ms));
            }
        }
        sleep(SETTLE_EVERY).await;
    }
}

fn is(message: &ChannelMessageSummary, status: ChannelMessageStatus) -> bool {
    message.status.value == status
}

impl Ended {
    fn of(messages: &[ChannelMessageSummary], processor: &Processor, settled_ms: u64) -> Self {
        let count = |status: ChannelMessageStatus, unseen: bool| {
            let of = |message: &&ChannelMessageSummary| {
                is(message, status) && !(unseen && processor.was_told_of(message.message_id.as_str()))
            };
            messages.iter().filter(of).count()
        };
        let [sent, unseen] = [false, true].map(|unseen| count(ChannelMessageStatus::Sent, unseen));
        let [failed, failed_unseen] = [false, true].map(|unseen| count(ChannelMessageStatus::Failed, unseen));
        let (accepted, pending) = (messages.len(), count(ChannelMessageStatus::Pending, false));
        Self { accepted, sent, unseen, failed, failed_unseen, pending, settled_ms }
    }
}

fn table(options: &Options, found: &Found) -> String {
    let Found { well, outage, memory_before, memory_after, .. } = found;
    let mut text =
        String::from("                accepted     sent   unseen   failed   unseen  pending  settled, ms\n");
    for (name, ended) in [("well", well), ("away, and back", outage)] {
        let Ended { accepted, sent, unseen, failed, failed_unseen, pending, settled_ms } = ended;
        let _ = writeln!(
            text,
            "{name:<14} {accepted:>9} {sent:>8} {unseen:>8} {failed:>8} {failed_unseen:>8} {pending:>8} \
             {settled_ms:>12}"
        );
    }
    let _ = writeln!(
        text,
        "\nwell            {} messages a second were asked for, {:.0} accepted; CONTINUE; {} ms a call\n\
         away            {} messages a second; ABORT; failed before it was back {}, within 3 s {}, later {}\n\
         memory, MiB     before {}, peak {}, after {}\n\
         unseen          the processor was not told of them",
        options.per_second,
        found.accepted_per_second,
        options.milliseconds,
        options.outage_per_second,
        found.failed_before,
        found.failed_soon,
        found.failed_late,
        memory_before.now_kib / 1024,
        memory_after.peak_kib / 1024,
        memory_after.now_kib / 1024,
    );
    text
}
