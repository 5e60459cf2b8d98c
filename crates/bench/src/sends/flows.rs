//! `carillon bench flows`: what a processor costs a message, beside one that passes none.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{Common, ratio, say};
use crate::load::Round;
use crate::pace::Pace;
use crate::processor::Processor;
use crate::report::Latency;
use crate::scene::Scene;
use crate::stage::{BEHIND_HTTP, BUILT_IN, Stage};
use carillon_server::error::{Error, ExitStatus, Result};

/// The numbers of connections that are measured.
const CONNECTIONS: [usize; 2] = [1, 16];
/// Each flow has so many turns, one after the other, so that what else the machine does concerns them alike.
const TURNS: u32 = 3;
/// How long each is tried before.
const TRIAL: Duration = Duration::from_millis(500);
/// Messages of a turn. All turns together stay below a million: a number of seven digits would be masked as a phone's.
const TURN_MESSAGES_MAX: usize = 40_000;
const _: () = assert!((TURNS as usize + 1) * CONNECTIONS.len() * 3 * TURN_MESSAGES_MAX < 1_000_000);

/// The options of `bench flows`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    common: Common,
    /// How long each flow is measured, in seconds; there are three for each number of connections.
    #[arg(long, value_name = "SECONDS", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
}

/// What was measured of one flow at one number of connections.
#[derive(Debug, Serialize)]
struct Row {
    connections: usize,
    flow: &'static str,
    /// Messages a second that came to the member.
    per_second: f64,
    /// From a send to its answer.
    answer: Latency,
    /// From a send to the member's socket.
    socket: Latency,
    /// The same, as a multiple of the channel without a flow.
    socket_p50_ratio: f64,
    socket_p99_ratio: f64,
    per_second_ratio: f64,
}

/// Measures flows.
pub(super) fn run(options: &Options) -> Result<ExitStatus> {
    let turn = Duration::from_secs(options.seconds.into()) / TURNS;
    options.common.run(async |store, folder| measure(store, folder, turn).await, |rows| table(rows))
}

async fn measure(store: &str, folder: &Path, turn: Duration) -> Result<Vec<Row>> {
    let mut processor = Processor::listen()?;
    let mut stage = Stage::set(folder, store, processor.address).await?;
    processor.call_back(stage.server.address, &stage.root);
    let flows = [
        ("none", stage.scene.clone()),
        ("built in", stage.channel_with_flow("built-in", BUILT_IN).await?),
        ("HTTP", stage.channel_with_flow("behind-http", BEHIND_HTTP).await?),
    ];
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let mut rounds = flows.each_ref().map(|_| Round::default());
        for lasting in [TRIAL].into_iter().chain([turn; TURNS as usize]) {
            for ((name, scene), round) in flows.iter().zip(&mut rounds) {
                say(format_args!("{connections} connections: {name}"));
                let sent = send(&mut stage, scene, connections, lasting).await;
                processor.check()?;
                *round = if lasting == TRIAL { Round::default() } else { std::mem::take(round).and(sent?) };
            }
        }
        let names = flows.each_ref().map(|(name, _)| *name);
        rows.extend(rows_of(connections, &names, &rounds));
    }
    Ok(rows)
}

async fn send(stage: &mut Stage, scene: &Scene, connections: usize, lasting: Duration) -> Result<Round> {
    let load = stage.heard(scene, Pace::Arrival, connections, TURN_MESSAGES_MAX);
    let round = load.run_for(lasting).await?;
    stage.check()?;
    if round.socket_us.len() < round.answered {
        return Err(Error::failure("a message did not come to the member"));
    }
    Ok(round)
}

/// The rows of one number of connections; the first flow is what the others are compared to.
fn rows_of(connections: usize, names: &[&'static str], rounds: &[Round]) -> Vec<Row> {
    let Some(bare) = rounds.first() else { return Vec::new() };
    let (bare_per_second, bare) = (bare.per_second(), Latency::of(&bare.socket_us));
    let row = |(flow, round): (&&'static str, &Round)| {
        let (per_second, socket) = (round.per_second(), Latency::of(&round.socket_us));
        Row {
            connections,
            flow,
            per_second,
            answer: Latency::of(&round.answer_us),
            socket,
            socket_p50_ratio: ratio(socket.p50_ms, bare.p50_ms),
            socket_p99_ratio: ratio(socket.p99_ms, bare.p99_ms),
            per_second_ratio: ratio(per_second, bare_per_second),
        }
    };
    names.iter().zip(rounds).map(row).collect()
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "                          messages        answer, ms        socket, ms      beside none\n\
         connections  flow        a second  ratio    p50     p99     p50     p99     p50     p99\n",
    );
    for row in rows {
        let _ = writeln!(
            text,
            "{:>11}  {:<10} {:>9.0} {:>6.2} {:>6.2} {:>7.2} {:>7.2} {:>7.2} {:>7.2} {:>7.2}",
            row.connections,
            row.flow,
            row.per_second,
            row.per_second_ratio,
            row.answer.p50_ms,
            row.answer.p99_ms,
            row.socket.p50_ms,
            row.socket.p99_ms,
            row.socket_p50_ratio,
            row.socket_p99_ratio,
        );
    }
    text.push_str(NOTES);
    text
}

const NOTES: &str = "
none      a channel without a flow
built in  a flow of one processor: regex, which masks e-mail addresses, phone and card numbers
HTTP      a flow of one processor behind HTTP, in the process of the load: 202, then ChannelFlowCallback, signed
socket    from the first byte of a request to the event in the member's socket

Each connection sends when its last message has come to the member, so a message a second is one all the way.
Requests are signed between two sends, outside of what is timed.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_compared_to_the_channel_without_one() {
        let round = |us: u32, answered| Round {
            answered,
            elapsed: Duration::from_secs(1),
            answer_us: vec![1_000],
            socket_us: vec![us],
        };
        let rows = rows_of(16, &["none", "HTTP"], &[round(2_000, 100), round(6_000, 25)]);
        let figures = |row: &Row| (row.flow, row.socket_p99_ratio, row.per_second_ratio);
        assert_eq!(rows.iter().map(figures).collect::<Vec<_>>(), [("none", 1.0, 1.0), ("HTTP", 3.0, 0.25)]);
    }
}
