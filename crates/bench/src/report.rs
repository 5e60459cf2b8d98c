//! What a measurement found: a table for people, JSON for machines.

use std::fmt::Write as _;

use serde::Serialize;

use super::load::Round;

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The version measured.
    pub(crate) version: &'static str,
    /// Whether the build is optimized; of one that is not, no figure means anything.
    pub(crate) optimized: bool,
    /// Processors, which server and load share.
    pub(crate) processors: usize,
    /// How long each round lasted.
    pub(crate) seconds: u64,
    /// Each store.
    pub(crate) stores: Vec<Measured>,
}

/// What was measured on one store.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    /// The store.
    pub(crate) store: String,
    /// How long the disk of a SQLite store takes to flush once, in milliseconds.
    pub(crate) flush_ms: Option<f64>,
    /// Each number of connections.
    pub(crate) rounds: Vec<Row>,
}

/// What was measured at one number of connections.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// How many connections.
    pub(crate) connections: usize,
    /// Messages a second that the store appends with no HTTP.
    pub(crate) store_per_second: f64,
    /// Requests a second that HTTP answers with no service.
    pub(crate) http_per_second: f64,
    /// Durable sends a second.
    pub(crate) sends_per_second: f64,
    /// Sends as a part of the store's ceiling.
    pub(crate) of_store: f64,
    /// Sends as a part of HTTP's ceiling.
    pub(crate) of_http: f64,
    /// From a send to its answer.
    pub(crate) answer: Latency,
    /// From a send to the member's socket.
    pub(crate) socket: Latency,
    /// Messages that were acknowledged and did not come to the member.
    pub(crate) undelivered: usize,
}

/// How long something takes, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Latency {
    /// Half take no longer.
    pub(crate) p50_ms: f64,
    /// All but one in a hundred take no longer.
    pub(crate) p99_ms: f64,
}

impl Latency {
    /// Of times in microseconds, sorted.
    pub(crate) fn of(sorted_us: &[u32]) -> Self {
        let at = |percent: usize| {
            let place = (sorted_us.len() * percent).div_ceil(100).saturating_sub(1);
            f64::from(sorted_us.get(place).copied().unwrap_or_default()) / 1000.0
        };
        Self { p50_ms: at(50), p99_ms: at(99) }
    }
}

impl Row {
    /// The row of a round beside its two ceilings.
    pub(crate) fn new(connections: usize, store_per_second: f64, http: &Round, sends: &Round) -> Self {
        let (http_per_second, sends_per_second) = (http.per_second(), sends.per_second());
        Self {
            connections,
            store_per_second,
            http_per_second,
            sends_per_second,
            of_store: sends_per_second / store_per_second.max(f64::EPSILON),
            of_http: sends_per_second / http_per_second.max(f64::EPSILON),
            answer: Latency::of(&sends.answer_us),
            socket: Latency::of(&sends.socket_us),
            undelivered: sends.answered - sends.socket_us.len(),
        }
    }
}

impl Report {
    /// For machines.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and texts always serialize") + "\n"
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let Self { version, processors, seconds, .. } = self;
        let mut text = format!("carillon {version}, {processors} processors, {seconds} s a round\n");
        if !self.optimized {
            text.push_str("THIS BUILD IS NOT OPTIMIZED: build with --release before reading any figure.\n");
        }
        for measured in &self.stores {
            let _ = write!(text, "\nstore {}", measured.store);
            if let Some(flush_ms) = measured.flush_ms {
                let _ = write!(text, ", whose disk takes {flush_ms:.2} ms for a flush");
            }
            text.push_str(
                "\n\n             ceilings, a second       durable sends       answer, ms        socket, ms\n\
                 connections     store      http   a second  of store  of http   p50     p99     p50     p99\n",
            );
            for row in &measured.rounds {
                let _ = writeln!(
                    text,
                    "{:>11} {:>9.0} {:>9.0}  {:>9.0} {:>8.0}% {:>7.0}% {:>6.2} {:>7.2} {:>7.2} {:>7.2}",
                    row.connections,
                    row.store_per_second,
                    row.http_per_second,
                    row.sends_per_second,
                    row.of_store * 100.0,
                    row.of_http * 100.0,
                    row.answer.p50_ms,
                    row.answer.p99_ms,
                    row.socket.p50_ms,
                    row.socket.p99_ms,
                );
                if row.undelivered != 0 {
                    let _ = writeln!(text, "            {} did not come to the member!", row.undelivered);
                }
            }
        }
        text.push_str(NOTES);
        text
    }
}

const NOTES: &str = "
store   the same function of SendChannelMessage in the same store, with no HTTP and nobody listening
        (the better of two rounds, one before the sends and one after)
http    the same listener and the same requests, with a handler that reads the body and answers as many bytes
sends   SendChannelMessage over HTTP keep-alive to one channel: verified, on disk, told to one open WebSocket
answer  from the first byte of a request to the last of its answer
socket  from the first byte of a request to the event in the member's socket

Requests are signed before a round begins, so that the client's signatures are not measured; the server checks
each. Server and load share the processors of this machine, as server and ceilings do.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let hundred: Vec<u32> = (1..=100).map(|ms| ms * 1000).collect();
        assert_eq!(Latency::of(&hundred), Latency { p50_ms: 50.0, p99_ms: 99.0 });
        assert_eq!(Latency::of(&[2_000]), Latency { p50_ms: 2.0, p99_ms: 2.0 });
        assert_eq!(Latency::of(&[]), Latency { p50_ms: 0.0, p99_ms: 0.0 });
    }
}
