//! `carillon bench-sockets`: what open sockets cost on this machine, beside a bare broadcast by the same library.

pub(crate) mod stage;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use carillon_model::{ChannelArn, IdentityArn};
use clap::{Args, ValueEnum};
use tokio::time::{Instant, sleep};

use crate::child::Folder;
use crate::client::Connection;
use crate::crowd::{Crowd, Door, Tally};
use crate::fan_out::{Measured, Plan, Rounds, resident_bytes};
use crate::scene::lost;
use carillon_server::error::{Error, ExitStatus, Result};
use stage::{Bare, Stage};

/// The numbers of members of one channel that are measured.
const MEMBERS: [usize; 4] = [1, 100, 1_000, 5_000];
/// Events that may be on their way at once when the rate is measured: few enough that no session is too slow.
const WINDOW: usize = 64;
/// Connections that send when the rate is measured.
const SENDERS: usize = 16;
/// Requests that are signed for a round.
const REQUESTS: usize = 30_000;
/// Members of the channel in which one stops reading.
const SLOW_MEMBERS: usize = 1_000;
/// Events that are sent while it does not read: what the kernel keeps for it, its queue, and some more.
const SLOW_EVENTS: usize = 3_000;
/// Members of each channel of the idle and of the mixed crowd.
const CHANNEL_MEMBERS: usize = 100;
/// Channels of each member of the mixed crowd.
const MIXED_CHANNELS_EACH: usize = 2;
/// Sends a second of the mixed load.
const MIXED_SENDS_PER_SECOND: u32 = 200;
/// How often the mixed load says how it is.
const MIXED_REPORT_EVERY: Duration = Duration::from_secs(20);
/// How long memory may settle before it is read.
const SETTLE: Duration = Duration::from_secs(2);

/// The options of `bench-sockets`.
#[derive(Debug, Args)]
pub struct Options {
    /// What to measure; all, one after the other, unless named.
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// How long each round lasts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many sockets are idle, or under mixed load.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    sockets: usize,
    /// How long the mixed load lasts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    mixed_seconds: u64,
    /// Where to put what is removed in the end [default: the system's temporary folder].
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One channel with more and more members.
    FanOut,
    /// One member of many who stops reading.
    Slow,
    /// Memory of sockets that do nothing.
    Idle,
    /// Many sockets and many channels at once.
    Mixed,
}

/// Measures what was asked for.
pub fn run(options: &Options) -> Result<ExitStatus> {
    let parent = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    crate::common::runtime()?.block_on(async {
        let folder = Folder::make_in(&parent)?;
        let parts = if options.part.is_empty() { Part::value_variants() } else { &options.part };
        if cfg!(debug_assertions) {
            say("THIS BUILD IS NOT OPTIMIZED: build with --release before reading any figure.");
        }
        for part in parts {
            let lasting = Duration::from_secs(options.seconds);
            match part {
                Part::FanOut => fan_out(folder.path(), lasting).await?,
                Part::Slow => slow(folder.path(), lasting).await?,
                Part::Idle => idle(folder.path(), options.sockets).await?,
                Part::Mixed => {
                    let lasting = Duration::from_secs(options.mixed_seconds);
                    mixed(folder.path(), options.sockets, lasting).await?;
                }
            }
        }
        Ok(ExitStatus::Success)
    })
}

async fn fan_out(folder: &Path, lasting: Duration) -> Result<()> {
    let mut stage = Stage::set(folder, "fan-out", MEMBERS[MEMBERS.len() - 1]).await?;
    let bare = Bare::start(folder, &stage.root).await?;
    say("fan-out    one channel            events delivered a second    processor, us    to the last, ms");
    say("members                           carillon      bare  ratio    carillon bare    p50        p99");
    for count in MEMBERS {
        let users = stage.users[..count].to_vec();
        let channel = stage.channel(&format!("fan-out-{count}"), &users).await?;
        let frame = one_frame(&mut stage, &channel, &users[0]).await?;

        let tally = Tally::of(count);
        let crowd = Crowd::gather(&Door::plain(stage.server.address, &stage.root), &users, &tally).await?;
        let requests = stage.requests(&channel, REQUESTS).await?;
        let (alone, together) = two_rounds(&stage.plan(requests, lasting), tally).await?;
        drop(crowd);

        let tally = Tally::of(count);
        let crowd = Crowd::gather(&Door::plain(bare.process.address, &stage.root), &users, &tally).await?;
        let requests = bare.requests(&frame, REQUESTS);
        let (address, process) = (bare.process.address, bare.process.id());
        let plan = Plan { address, process, requests, senders: 1, window: 1, lasting };
        let (bare_alone, bare_together) = two_rounds(&plan, tally).await?;
        drop(crowd);
        print_row(count, &[alone, together, bare_alone, bare_together]);
    }
    Ok(())
}

/// One event after the other, then as many at once as no session minds.
async fn two_rounds(plan: &Plan, tally: Arc<Tally>) -> Result<(Measured, Measured)> {
    let mut rounds = Rounds::over(tally);
    let half = plan.requests.len() / 2;
    let part = |range: std::ops::Range<usize>| plan.requests[range].to_vec().into();
    let alone = Plan { requests: part(0..half), ..*plan };
    let together =
        Plan { requests: part(half..plan.requests.len()), senders: SENDERS, window: WINDOW, ..*plan };
    Ok((rounds.run(&alone).await?, rounds.run(&together).await?))
}

fn print_row(count: usize, [alone, together, bare_alone, bare_together]: &[Measured; 4]) {
    say(format!(
        "{count:>7} {:>35.0} {:>9.0} {:>6.2} {:>10.2} {:>5.2} {:>8.2} {:>9.2}   (bare {:.2} {:.2})",
        together.per_second,
        bare_together.per_second,
        together.per_second / bare_together.per_second,
        together.processor_us,
        bare_together.processor_us,
        alone.last.p50_ms,
        alone.last.p99_ms,
        bare_alone.last.p50_ms,
        bare_alone.last.p99_ms,
    ));
}

/// The frame of a message, as the server makes it.
async fn one_frame(stage: &mut Stage, channel: &ChannelArn, user: &IdentityArn) -> Result<Vec<u8>> {
    let door = Door::plain(stage.server.address, &stage.root);
    let mut socket = Crowd::stalled(&door, user).await?;
    let request = stage.requests(channel, 1).await?;
    let mut connection = Connection::open(stage.server.address).await.map_err(|error| lost(&error))?;
    let sent = connection.exchange(&request[0]).await.map_err(|error| lost(&error))?;
    if sent.status != 201 {
        return Err(Error::failure(format!("a message was answered with {}", sent.status)));
    }
    Ok(socket.frame().await.map_err(|error| lost(&error))?.1)
}

async fn slow(folder: &Path, lasting: Duration) -> Result<()> {
    let mut stage = Stage::set(folder, "slow", SLOW_MEMBERS).await?;
    let users = stage.users.clone();
    let channel = stage.channel("slow", &users).await?;
    let door = Door::plain(stage.server.address, &stage.root);
    let tally = Tally::of(SLOW_MEMBERS - 1);
    let crowd = Crowd::gather(&door, &users[1..], &tally).await?;
    let mut rounds = Rounds::over(tally);
    let requests = stage.requests(&channel, REQUESTS).await?;
    let before = rounds.run(&stage.plan(requests, lasting)).await?;

    let stalled = Crowd::stalled(&door, &users[0]).await?;
    let requests = stage.requests(&channel, SLOW_EVENTS).await?;
    let plan = stage.plan(requests, lasting.saturating_mul(20));
    let filling = Plan { senders: SENDERS, window: 8, ..plan };
    let filled = rounds.run(&filling).await?;
    let code = stalled.close_code().await;

    let again = Crowd::stalled(&door, &users[0]).await?;
    let requests = stage.requests(&channel, REQUESTS).await?;
    let during = rounds.run(&stage.plan(requests, lasting)).await?;
    drop(again);
    say(format!(
        "\nslow       one of {SLOW_MEMBERS} members does not read\n\
         others, to the last, ms: p50 {:.2} p99 {:.2} before; p50 {:.2} p99 {:.2} beside one that stalls: \
         p99 ratio {:.2}\n\
         {} events at {:.0} deliveries a second until it was closed with {code:?}; others closed: {}",
        before.last.p50_ms,
        before.last.p99_ms,
        during.last.p50_ms,
        during.last.p99_ms,
        during.last.p99_ms / before.last.p99_ms,
        filled.events,
        filled.per_second,
        crowd.gone(),
    ));
    Ok(())
}

async fn idle(folder: &Path, sockets: usize) -> Result<()> {
    say(format!("\nidle       {sockets} sockets, resident KiB each"));
    for tls in [false, true] {
        let name = if tls { "idle-tls" } else { "idle-plain" };
        let stage = Stage::set(folder, name, sockets).await?;
        for (number, users) in stage.users.chunks(CHANNEL_MEMBERS).enumerate() {
            stage.channel(&format!("{name}-{number}"), users).await?;
        }
        let bare = Bare::start(folder, &stage.root).await?;
        let (door, bare_door) = if tls {
            let door = Door::secure(stage.https, &stage.root, &stage.ca)?;
            (door, Door::secure(bare.https, &stage.root, &bare.ca)?)
        } else {
            let door = Door::plain(stage.server.address, &stage.root);
            (door, Door::plain(bare.process.address, &stage.root))
        };
        let ours = kib_each(&door, stage.server.id(), &stage.users).await?;
        let floor = kib_each(&bare_door, bare.process.id(), &stage.users).await?;
        let how = if tls { "TLS" } else { "plain" };
        say(format!("{how:<6} carillon {ours:.1}   bare, the same library {floor:.1}"));
    }
    Ok(())
}

/// What a process holds for each idle socket.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
async fn kib_each(door: &Door, process: u32, users: &[IdentityArn]) -> Result<f64> {
    // A few first: what a process allocates once is not a socket's.
    let first = users.len() / 10;
    let warm = Crowd::gather(door, &users[..first], &Tally::of(0)).await?;
    sleep(SETTLE).await;
    let before = resident_bytes(process)?;
    let crowd = Crowd::gather(door, &users[first..], &Tally::of(0)).await?;
    sleep(SETTLE).await;
    let after = resident_bytes(process)?;
    let gone = crowd.gone() + warm.gone();
    if gone != 0 {
        return Err(Error::failure(format!("{gone} idle sockets were closed")));
    }
    Ok(after.saturating_sub(before) as f64 / (users.len() - first) as f64 / 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
async fn mixed(folder: &Path, sockets: usize, lasting: Duration) -> Result<()> {
    let mut stage = Stage::set(folder, "mixed", sockets).await?;
    let mut channels = Vec::new();
    for round in 0..MIXED_CHANNELS_EACH {
        // Each round mixes the users anew: neighbours in one channel are strangers in the other.
        let step = if round == 0 { 1 } else { sockets.div_ceil(CHANNEL_MEMBERS) };
        let mixed: Vec<IdentityArn> =
            (0..step).flat_map(|from| stage.users[from..].iter().step_by(step)).cloned().collect();
        for (number, users) in mixed.chunks(CHANNEL_MEMBERS).enumerate() {
            channels.push(stage.channel(&format!("mixed-{round}-{number}"), users).await?);
        }
    }
    let tally = Tally::of(usize::MAX);
    let door = Door::plain(stage.server.address, &stage.root);
    let crowd = Crowd::gather(&door, &stage.users, &tally).await?;
    let mut requests = Vec::new();
    let each = usize::try_from(lasting.as_secs() * u64::from(MIXED_SENDS_PER_SECOND)).unwrap_or_default();
    for channel in &channels {
        requests.push(stage.requests(channel, each.div_ceil(channels.len())).await?);
    }
    say(format!(
        "\nmixed      {sockets} sockets, {} channels, {MIXED_SENDS_PER_SECOND} sends a second",
        channels.len()
    ));
    let mut connection = Connection::open(stage.server.address).await.map_err(|error| lost(&error))?;
    let (start, mut reported, mut sent) = (Instant::now(), Instant::now(), 0_u32);
    while start.elapsed() < lasting {
        let at = sent as usize;
        let Some(request) = requests[at % channels.len()].get(at / channels.len()) else { break };
        let answer = connection.exchange(request).await.map_err(|error| lost(&error))?;
        if answer.status != 201 {
            return Err(Error::failure(format!("a message was answered with {}", answer.status)));
        }
        sent += 1;
        tokio::time::sleep_until(start + Duration::from_secs(1) * sent / MIXED_SENDS_PER_SECOND).await;
        if MIXED_REPORT_EVERY <= reported.elapsed() {
            reported = Instant::now();
            let resident = resident_bytes(stage.server.id())? as f64 / (1024.0 * 1024.0);
            let delivered = tally.delivered.load(std::sync::atomic::Ordering::Relaxed);
            say(format!(
                "{:>4.0} s  {sent} sent  {delivered} delivered  {resident:.0} MiB resident  {} closed",
                start.elapsed().as_secs_f64(),
                crowd.gone(),
            ));
        }
    }
    sleep(SETTLE).await;
    let delivered = tally.delivered.load(std::sync::atomic::Ordering::Relaxed);
    let due = u64::from(sent) * CHANNEL_MEMBERS as u64;
    say(format!("{sent} sent, {delivered} of {due} delivered, {} sockets closed", crowd.gone()));
    Ok(())
}

fn say(words: impl AsRef<str>) {
    // Where stdout is closed nobody wants to know.
    let _ = writeln!(std::io::stdout(), "{}", words.as_ref());
}
