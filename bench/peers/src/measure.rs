//! One turn of one peer: an empty store, a start, and all workloads one after the other.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use crate::Result;
use crate::crowd::{Crowd, gather};
use crate::disk::Disk;
use crate::peer::{About, Peer, Sender, Way};
use crate::process::{Server, Usage, proportional_kib};
use crate::{fan_out, sends};

/// The numbers of connections that send.
pub(crate) const SENDERS: [usize; 2] = [64, 256];
/// The numbers of connections that listen.
pub(crate) const LISTENERS: [usize; 2] = [500, 2_000];
/// The number of connections that listen while nothing is said: so many that what is not theirs counts little.
const IDLE: usize = 5_000;
/// Connections that send where many listen: one for each message that may be under way.
const TELLERS: usize = fan_out::WINDOW;
/// How long a server may take to its first send.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// How long one attempt of it may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is attempted: what is measured is no finer.
const ATTEMPT_EVERY: Duration = Duration::from_millis(2);
/// How long memory may settle before it is read.
const SETTLE: Duration = Duration::from_secs(2);

/// What one turn found.
#[derive(Debug, Serialize)]
pub(crate) struct Turn {
    /// Whose.
    pub(crate) about: About,
    /// What it takes to stand there.
    pub(crate) standing: Standing,
    /// Durable sends.
    pub(crate) sendings: Vec<Sending>,
    /// Fan-out.
    pub(crate) tellings: Vec<Telling>,
}

/// What a server takes before it does anything.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Standing {
    /// From its start to the first message that was acknowledged, or heard back, in milliseconds.
    pub(crate) first_ms: f64,
    /// What it holds then.
    pub(crate) resident_kib: u64,
    /// What it holds for each connection that listens while nothing is said, the kernel aside.
    pub(crate) idle_bytes: Option<f64>,
}

/// Durable sends over this many connections.
#[derive(Debug, Serialize)]
pub(crate) struct Sending {
    /// Who listens.
    pub(crate) way: Way,
    /// How many send.
    pub(crate) senders: usize,
    /// What the senders saw.
    pub(crate) round: sends::Round,
    /// Seconds of a processor that the server used, and those who work for it.
    pub(crate) processor_s: f64,
    /// Flushes that the disk did meanwhile.
    pub(crate) flushes: Option<u64>,
    /// The most that the server held since its start.
    pub(crate) peak_kib: u64,
    /// What those who work for it hold afterwards.
    pub(crate) helpers_kib: Option<u64>,
}

/// Messages to this many connections.
#[derive(Debug, Serialize)]
pub(crate) struct Telling {
    /// How many listen.
    pub(crate) listeners: usize,
    /// What came to them.
    pub(crate) round: fan_out::Round,
}

/// Gives a peer its turn, in an empty folder.
pub(crate) async fn turn<P: Peer>(peer: &mut P, folder: &Path, lasting: Duration) -> Result<Turn> {
    let mut turn = Turn {
        about: peer.about(),
        standing: Standing::default(),
        sendings: Vec::new(),
        tellings: Vec::new(),
    };
    let listeners = if peer.tells() { IDLE } else { 0 };
    peer.prepare(folder, listeners).await?;

    let first = peer.ways().first().copied().unwrap_or(Way::ToMany);
    let start = Instant::now();
    let mut server = peer.start()?;
    let sender = first_send(peer, first, &mut server).await?;
    turn.standing.first_ms = start.elapsed().as_secs_f64() * 1_000.0;
    sleep(SETTLE).await;
    turn.standing.resident_kib = Usage::of(&[server.id()])?.resident_kib;
    drop(sender);
    for &way in peer.ways() {
        for senders in SENDERS {
            turn.sendings.push(sending(peer, &mut server, (way, senders), folder, lasting).await?);
        }
    }
    server.stop().await?;

    if peer.tells() {
        // A life of its own: what was sent before has left nothing in its memory.
        let mut server = peer.start()?;
        first_send(peer, Way::ToMany, &mut server).await?;
        turn.standing.idle_bytes = Some(idle_bytes(peer, &server).await?);
        for listeners in LISTENERS {
            turn.tellings.push(telling(peer, &server, listeners, lasting).await?);
        }
        server.stop().await?;
    }
    Ok(turn)
}

/// Sends again and again until it succeeds.
async fn first_send<P: Peer>(peer: &P, way: Way, server: &mut Server) -> Result<P::Sender> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        server.check()?;
        let attempt = async {
            let mut sender = peer.sender(way, 0).await?;
            sender.send().await?;
            sender.settle().await?;
            Ok::<_, crate::Error>(sender)
        };
        match timeout(ATTEMPT_TIMEOUT, attempt).await {
            Ok(Ok(sender)) => return Ok(sender),
            Ok(Err(error)) if deadline < Instant::now() => return Err(error),
            Err(_) if deadline < Instant::now() => return Err("a first message was not answered".into()),
            _ => sleep(ATTEMPT_EVERY).await,
        }
    }
}

async fn sending<P: Peer>(
    peer: &P,
    server: &mut Server,
    (way, count): (Way, usize),
    folder: &Path,
    lasting: Duration,
) -> Result<Sending> {
    let mut senders = Vec::with_capacity(count);
    for number in 0..count {
        senders.push(peer.sender(way, number).await?);
    }
    sends::warm(&mut senders, lasting).await?;
    let (disk, helpers) = (Disk::of(folder)?, peer.helpers());
    let roots = [helpers.as_slice(), &[server.id()]].concat();
    let (used, flushes) = (Usage::of(&roots)?, disk.flushes());
    let round = sends::run(&mut senders, lasting).await?;
    let (after, flushes_after) = (Usage::of(&roots)?, disk.flushes());
    server.check()?;
    Ok(Sending {
        way,
        senders: count,
        round,
        processor_s: after.processor_s - used.processor_s,
        flushes: flushes_after.zip(flushes).map(|(after, before)| after - before),
        peak_kib: Usage::of(&[server.id()])?.peak_kib,
        helpers_kib: if helpers.is_empty() { None } else { Some(proportional_kib(&helpers)?) },
    })
}

/// What the server holds for each of many connections that are idle.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
async fn idle_bytes<P: Peer>(peer: &P, server: &Server) -> Result<f64> {
    // A few first: what a process allocates once is no connection's.
    let few = IDLE / 5;
    let warm = gather(peer, 0..few).await?;
    sleep(SETTLE).await;
    let before = Usage::of(&[server.id()])?.resident_kib;
    let listeners = gather(peer, few..IDLE).await?;
    sleep(SETTLE).await;
    let after = Usage::of(&[server.id()])?.resident_kib;
    drop(warm);
    Ok(after.saturating_sub(before) as f64 * 1_024.0 / listeners.len() as f64)
}

async fn telling<P: Peer>(peer: &P, server: &Server, listeners: usize, lasting: Duration) -> Result<Telling> {
    let mut senders = Vec::with_capacity(TELLERS);
    for number in 0..TELLERS {
        let mut sender = peer.sender(Way::ToMany, number).await?;
        sender.ready(messages_for(listeners, lasting));
        senders.push(sender);
    }
    // Who is left of those before is gone by now, or will be told in vain.
    sleep(SETTLE).await;
    let mut crowd = Crowd::of(gather(peer, 0..listeners).await?);
    let (round, senders) = fan_out::run(senders, &mut crowd, &[server.id()], lasting).await?;
    drop(senders);
    Ok(Telling { listeners, round })
}

/// Messages of each sender that are made before: more than any server here tells.
fn messages_for(listeners: usize, lasting: Duration) -> usize {
    const DELIVERIES_PER_SECOND: usize = 400_000;
    let seconds = usize::try_from(lasting.as_secs() + 2).unwrap_or(usize::MAX);
    DELIVERIES_PER_SECOND * seconds / listeners / TELLERS
}
