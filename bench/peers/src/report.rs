//! What all turns found: JSON with every figure of every turn, and tables of their medians.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Result;
use crate::measure::{LISTENERS, SENDERS, Sending, Telling, Turn};
use crate::peer::{About, Acknowledges, Way};
use crate::postgres::Postgres;
use crate::table::{Spread, Table, fixed, grouped, times};

/// What it was measured under.
#[derive(Debug, Serialize)]
pub(crate) struct Conditions {
    rounds: u64,
    seconds: u64,
    processors: usize,
    kernel: String,
    flush_ms: f64,
    postgres: Option<String>,
    optimized: bool,
}

impl Conditions {
    /// Those of this machine.
    pub(crate) fn read(rounds: u64, seconds: u64, flush_ms: f64, postgres: Option<&Postgres>) -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let postgres = postgres.map(|postgres| postgres.version.clone());
        let processors = std::thread::available_parallelism().map_or(1, Into::into);
        Self { rounds, seconds, processors, kernel, flush_ms, postgres, optimized: !cfg!(debug_assertions) }
    }
}

/// All that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    conditions: Conditions,
    /// The build of Carillon that ratios are of.
    subject: String,
    /// In the order in which they were taken.
    pub(crate) turns: Vec<Turn>,
    /// Turns that brought nothing, and why.
    pub(crate) failed: Vec<String>,
}

impl Report {
    /// Of nothing yet.
    pub(crate) fn new(conditions: Conditions, subject: &str) -> Self {
        Self { conditions, subject: subject.to_owned(), turns: Vec::new(), failed: Vec::new() }
    }

    /// Writes both forms into this folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::write(folder.join("peers.json"), serde_json::to_string_pretty(self)? + "\n")?;
        Ok(fs::write(folder.join("peers.md"), self.markdown())?)
    }

    /// Tables for people.
    pub(crate) fn markdown(&self) -> String {
        let mut text = self.head();
        for senders in SENDERS {
            text += &self.sends(senders);
        }
        text += &self.fan_out();
        text += &self.standing();
        text += "\n## How each was set\n\n";
        for about in self.abouts() {
            let (name, version, settings) = (&about.name, &about.version, &about.settings);
            let _ = writeln!(text, "- **{name}** ({version}): {settings}. It {}.", words(about.acknowledges));
        }
        if !self.failed.is_empty() {
            text += "\n## What failed\n\n";
            for failure in &self.failed {
                let _ = writeln!(text, "- {}", failure.replace('\n', " "));
            }
        }
        text
    }

    fn head(&self) -> String {
        let Conditions { rounds, seconds, processors, kernel, flush_ms, postgres, optimized } =
            &self.conditions;
        let mut text = "# Carillon beside its peers\n\n".to_owned();
        if !optimized {
            text += "THIS LOAD GENERATOR IS NOT OPTIMIZED: no figure below means anything.\n\n";
        }
        let _ = writeln!(
            text,
            "Rounds: {rounds}, in each of which every server had its turn alone, from an empty store; {seconds} \
             seconds a workload after one to warm. Figures are the medians of the rounds; in parentheses the least \
             and the greatest. {processors} processors, which servers and load share; kernel {kernel}; an append of \
             a page takes {flush_ms:.2} ms with its flush; all on 127.0.0.1."
        );
        if let Some(postgres) = postgres {
            let _ = writeln!(
                text,
                "PostgreSQL {postgres} is one for all who use it, with its default durability (fsync, \
                 synchronous_commit); its processor time counts for the server that uses it."
            );
        }
        text
    }

    /// Each peer once, in the order in which they stand.
    fn abouts(&self) -> Vec<&About> {
        let mut abouts: Vec<&About> = Vec::new();
        for turn in &self.turns {
            if !abouts.iter().any(|about| about.name == turn.about.name) {
                abouts.push(&turn.about);
            }
        }
        abouts
    }

    fn turns_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Turn> {
        self.turns.iter().filter(move |turn| turn.about.name == name)
    }

    /// What of one workload's durable sends was found, turn by turn.
    fn sendings(&self, name: &str, way: Way, senders: usize) -> Vec<&Sending> {
        let all = self.turns.iter().filter(|turn| turn.about.name == name).flat_map(|turn| &turn.sendings);
        all.filter(|sending| sending.way == way && sending.senders == senders).collect()
    }

    fn tellings(&self, name: &str, listeners: usize) -> Vec<&Telling> {
        let all = self.turns.iter().filter(|turn| turn.about.name == name).flat_map(|turn| &turn.tellings);
        all.filter(|telling| telling.listeners == listeners).collect()
    }

    /// What the build that ratios are of is called on an engine.
    fn subject(&self, engine: &str) -> String {
        format!("Carillon {}, {engine}", self.subject).replace(" ,", ",")
    }

    fn sends(&self, senders: usize) -> String {
        let mut table = Table::new(&[
            "server",
            "who listens",
            "says that it has a message",
            "acknowledged/s",
            "p50 ms",
            "p99 ms",
            "processor s per 1,000",
            "flushes a message",
            "peak MB",
            "Carillon/SQLite ÷ this",
            "Carillon/PostgreSQL ÷ this",
        ]);
        let rate = |name: &str, way| {
            Spread::of(self.sendings(name, way, senders).iter().map(|sending| sending.round.per_second()))
        };
        for way in [Way::Alone, Way::Together] {
            for about in self.abouts() {
                let found = self.sendings(&about.name, way, senders);
                let Some(own) = rate(&about.name, way) else { continue };
                let of = |value: fn(&Sending) -> f64| Spread::of(found.iter().map(|sending| value(sending)));
                let ratio =
                    |engine| rate(&self.subject(engine), way).map(|subject| subject.median / own.median);
                table.row([
                    about.name.clone(),
                    way.words().to_owned(),
                    brief(about.acknowledges).to_owned(),
                    own.shown(grouped),
                    of(|sending| sending.round.p50_ms)
                        .map_or_else(String::new, |spread| fixed(spread.median, 1)),
                    of(|sending| sending.round.p99_ms)
                        .map_or_else(String::new, |spread| fixed(spread.median, 1)),
                    of(processor_per_1000).map_or_else(String::new, |spread| fixed(spread.median, 3)),
                    flushes(&found),
                    peak(&found),
                    ratio("SQLite").map_or_else(String::new, times),
                    ratio("PostgreSQL").map_or_else(String::new, times),
                ]);
            }
        }
        table.titled(&format!(
            "Durable sends, {senders} senders, one channel, 400 bytes, each waits for its acknowledgement"
        ))
    }

    fn fan_out(&self) -> String {
        let mut head = vec!["server".to_owned()];
        for count in LISTENERS {
            let count = grouped(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
            head.push(format!("1:{count}, deliveries/s"));
            head.push("for each processor second".to_owned());
            head.push("Carillon's ÷ this".to_owned());
        }
        let mut table = Table::new(&head);
        let rate: fn(&Telling) -> f64 = |telling| telling.round.per_second;
        let worth: fn(&Telling) -> f64 = |telling| telling.round.per_processor_second;
        let of = |name: &str, count, value: fn(&Telling) -> f64| {
            Spread::of(self.tellings(name, count).into_iter().map(value))
        };
        for about in self.abouts() {
            let mut cells = vec![about.name.clone()];
            for count in LISTENERS {
                let own = of(&about.name, count, worth);
                let subject = of(&self.subject("SQLite"), count, worth);
                cells.extend(
                    [of(&about.name, count, rate), own]
                        .map(|spread| spread.map_or_else(String::new, |spread| spread.shown(grouped))),
                );
                let ratio = subject.zip(own).map(|(subject, own)| subject.median / own.median);
                cells.push(ratio.map_or_else(String::new, times));
            }
            if cells[1..].iter().any(|cell| !cell.is_empty()) {
                table.row(cells);
            }
        }
        table.titled(
            "Fan-out, flat: 64 senders, 64 messages under way at most, 400 bytes, everybody hears all",
        )
    }

    fn standing(&self) -> String {
        let mut table = Table::new(&[
            "server",
            "start to first message, ms",
            "resident then, MB",
            "bytes an idle listener",
        ]);
        for about in self.abouts() {
            let turns = || self.turns_of(&about.name).map(|turn| &turn.standing);
            let first = Spread::of(turns().map(|standing| standing.first_ms));
            let resident = Spread::of(turns().map(|standing| megabytes(standing.resident_kib)));
            let idle = Spread::of(turns().filter_map(|standing| standing.idle_bytes));
            table.row([
                about.name.clone(),
                first.map_or_else(String::new, |spread| spread.shown(grouped)),
                resident.map_or_else(String::new, |spread| fixed(spread.median, 1)),
                idle.map_or_else(String::new, |spread| spread.shown(grouped)),
            ]);
        }
        table.titled("What it takes to stand there: a second start, on a store in use; PostgreSQL and the kernel aside")
    }
}

/// Seconds of a processor for a thousand messages.
#[expect(clippy::cast_precision_loss, reason = "a round has far fewer than 2^52 messages")]
fn processor_per_1000(sending: &Sending) -> f64 {
    sending.processor_s * 1_000.0 / (sending.round.acknowledged as f64).max(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "a round has far fewer than 2^52 flushes")]
fn flushes(found: &[&Sending]) -> String {
    let each = found
        .iter()
        .filter_map(|sending| Some(sending.flushes? as f64 / (sending.round.acknowledged as f64).max(1.0)));
    Spread::of(each).map_or_else(|| "not counted".to_owned(), |spread| fixed(spread.median, 2))
}

fn peak(found: &[&Sending]) -> String {
    let own = Spread::of(found.iter().map(|sending| megabytes(sending.peak_kib)));
    let helpers = Spread::of(found.iter().filter_map(|sending| sending.helpers_kib).map(megabytes));
    let own = own.map_or_else(String::new, |spread| fixed(spread.median, 0));
    helpers.map_or_else(|| own.clone(), |spread| format!("{own} + {} of PostgreSQL", fixed(spread.median, 0)))
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1_024.0 / 1e6
}

fn brief(acknowledges: Acknowledges) -> &'static str {
    match acknowledges {
        Acknowledges::OnceStored => "after the disk has it",
        Acknowledges::BeforeStored => "**before the disk has it**",
        Acknowledges::StoresNothing => "**without a disk**",
    }
}

fn words(acknowledges: Acknowledges) -> &'static str {
    match acknowledges {
        Acknowledges::OnceStored => "acknowledges a message once it is on the disk",
        Acknowledges::BeforeStored => {
            "acknowledges **before** a message is on the disk: a crash of the machine loses acknowledged messages"
        }
        Acknowledges::StoresNothing => "stores nothing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Standing;
    use crate::{fan_out, sends};

    fn turn(name: &str, per_second: usize, acknowledges: Acknowledges) -> Turn {
        let round = sends::Round { acknowledged: per_second, seconds: 1.0, p50_ms: 1.0, p99_ms: 2.5 };
        let sending = Sending {
            way: Way::Alone,
            senders: 64,
            round,
            processor_s: 0.5,
            flushes: Some(100),
            peak_kib: 10_000,
            helpers_kib: None,
        };
        let told = fan_out::Round { per_second: 100.0, per_processor_second: 100_000.0 };
        Turn {
            about: About {
                name: name.to_owned(),
                version: "1".to_owned(),
                settings: "as it is".to_owned(),
                acknowledges,
            },
            standing: Standing { first_ms: 70.0, resident_kib: 1_000, idle_bytes: Some(5_000.0) },
            sendings: vec![sending],
            tellings: vec![Telling { listeners: 500, round: told }],
        }
    }

    fn conditions() -> Conditions {
        Conditions::read(3, 5, 0.5, None)
    }

    #[test]
    fn medians_stand_beside_their_ratios_and_what_they_mean() {
        let mut report = Report::new(conditions(), "");
        for rate in [900, 3_000, 1_000] {
            report.turns.push(turn("Carillon, SQLite", rate, Acknowledges::OnceStored));
            report.turns.push(turn("Other", rate / 2, Acknowledges::BeforeStored));
        }
        report.failed.push("Third, round 1: no\nanswer".to_owned());
        let text = report.markdown();
        let row = "| Other | nobody listens | **before the disk has it** | 500 (450 – 1,500) | 1.0 | 2.5 | 1.000 \
                   | 0.20 | 10 | 2.00 × |  |";
        assert!(text.contains(row), "{text}");
        assert!(
            text.contains("| Carillon, SQLite |  |  |  |") || text.contains("| Carillon, SQLite | 100 "),
            "{text}"
        );
        assert!(text.contains("a crash of the machine loses acknowledged messages"), "{text}");
        assert!(text.contains("- Third, round 1: no answer\n"), "{text}");
    }

    #[test]
    fn every_figure_of_every_turn_is_in_the_json() {
        let mut report = Report::new(conditions(), "head");
        report.turns.push(turn("Carillon head, SQLite", 1_000, Acknowledges::OnceStored));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["turns"][0]["sendings"][0]["round"]["p99_ms"], 2.5);
        assert_eq!(json["turns"][0]["about"]["acknowledges"], "once-stored");
        assert_eq!(report.subject("SQLite"), "Carillon head, SQLite");
    }
}
