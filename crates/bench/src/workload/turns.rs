//! Turns: each binary at each size has a server of its own, and they are measured one after the other, round by round.
//! A ratio is that of the round to the same round of the first, and of all rounds the one in the middle: what the
//! machine does for a while concerns all alike.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::call::Workload;
use super::ears::Heard;
use super::generator::{Drive, Loop, Round};
use super::host::{Binary, Host};
use super::kinds::{Kind, Stage};
use super::progress::Progress;
use super::times::{Spread, Times};
use crate::common::{median, ratio};
use crate::fan_out::processor_seconds;
use crate::vitals::Memory;
use carillon_server::config::StoreAddress;
use carillon_server::error::{Error, Result};

/// How long a server is called before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// What is to be measured.
pub(crate) struct Asked {
    /// The workload.
    pub(crate) kind: Kind,
    /// Which binaries.
    pub(crate) binaries: Vec<Binary>,
    /// At which sizes.
    pub(crate) sizes: Vec<usize>,
    /// Over how many connections.
    pub(crate) connections: usize,
    /// When calls are made.
    pub(crate) how: Loop,
    /// How many rounds.
    pub(crate) rounds: u32,
    /// What chance is drawn from.
    pub(crate) seed: u64,
    /// Whether scenes are made through the interface.
    pub(crate) by_wire: bool,
    /// Whether each kind of call has a part of every round to itself.
    pub(crate) is_apart: bool,
}

/// What was found on one store.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    /// The store.
    pub(crate) store: String,
    /// Each binary at each size, the first of which all ratios are to.
    pub(crate) variants: Vec<Variant>,
}

/// What was found of one binary at one size.
#[derive(Debug, Serialize)]
pub(crate) struct Variant {
    /// The binary.
    pub(crate) binary: String,
    /// The size of the workload.
    pub(crate) size: usize,
    /// Over all rounds.
    pub(crate) total: Figures,
    /// What stands to what was found of the first as this does to one, in the middle of all rounds.
    pub(crate) ratios: Ratios,
    /// Each round.
    pub(crate) rounds: Vec<Figures>,
}

/// What a round found, or all of them.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Figures {
    /// Seconds that it took.
    pub(crate) seconds: f64,
    /// Calls that succeeded, a second.
    pub(crate) per_second: f64,
    /// How long they took: those of all kinds, and of each.
    pub(crate) all: Option<Spread>,
    /// Of each kind that there was.
    pub(crate) kinds: BTreeMap<&'static str, Spread>,
    /// From when a message was due until the last socket was told.
    pub(crate) told: Option<Spread>,
    /// Calls that were refused, by their status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// How often a socket was told of something, and how often it should have been.
    pub(crate) delivered: u64,
    /// See there.
    pub(crate) due: u64,
    /// Seconds of processor that the server used.
    pub(crate) processor_s: f64,
    /// Of that, milliseconds for each call.
    pub(crate) processor_ms_a_call: f64,
    /// How often sockets were told of something for each second of processor.
    pub(crate) delivered_a_processor_s: f64,
    /// What the server held at its end, in KiB.
    pub(crate) resident_kib: u64,
}

/// How figures stand to those of the first.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Ratios {
    /// Calls a second.
    pub(crate) per_second: f64,
    /// Processor for each call.
    pub(crate) processor_ms_a_call: f64,
    /// Of all kinds together, half of the times and all but one in a hundred.
    pub(crate) all: Pair,
    /// Of each kind.
    pub(crate) kinds: BTreeMap<&'static str, Pair>,
    /// Until the last socket was told.
    pub(crate) told: Option<Pair>,
}

/// Ratios of two times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Pair {
    /// Of what half took.
    pub(crate) p50: f64,
    /// Of what all but one in a hundred took.
    pub(crate) p99: f64,
}

/// One that takes its turns.
struct Turner {
    host: Host,
    workload: Arc<dyn Workload>,
    binary: String,
    size: usize,
    next: Arc<AtomicU64>,
    kinds: Vec<Times>,
    told: Times,
    rounds: Vec<Figures>,
}

/// A turn, or the part of it that belongs to one kind of call.
struct Turn {
    round: Round,
    told: Option<Times>,
    heard: Heard,
    processor_s: f64,
}

/// Measures all of it on one store.
pub(crate) async fn measure(asked: &Asked, store: &str, folder: &Path) -> Result<Found> {
    let mut turners = Vec::new();
    for binary in &asked.binaries {
        for size in &asked.sizes {
            turners.push(Turner::set(asked, (binary, *size), (store, folder), turners.len()).await?);
        }
    }
    for turner in &mut turners {
        turner.turn(asked, Loop::Closed(WARM_UP), None, "warming up").await?;
    }
    let kinds = turners.first().map_or(0, |first| first.kinds.len());
    let parts = if asked.is_apart { (0..kinds).map(Some).collect() } else { vec![None] };
    for round in 1..=asked.rounds {
        let words = format!("round {round} of {}", asked.rounds);
        let mut turns: Vec<Vec<Turn>> = turners.iter().map(|_| Vec::new()).collect();
        // Those that are held against each other come right after each other.
        for only in &parts {
            for (turner, turns) in turners.iter_mut().zip(&mut turns) {
                turns.push(turner.turn(asked, asked.how, *only, &words).await?);
            }
        }
        for (turner, turns) in turners.iter_mut().zip(turns) {
            turner.note(turns)?;
        }
    }
    let variants: Vec<_> = turners.into_iter().map(Turner::found).collect();
    let shown = if store == "sqlite" {
        format!("sqlite in {}", folder.display())
    } else {
        StoreAddress::parse(store)?.shown
    };
    Ok(Found { store: shown, variants: related(variants) })
}

impl Turner {
    async fn set(
        asked: &Asked,
        (binary, size): (&Binary, usize),
        (store, folder): (&str, &Path),
        number: usize,
    ) -> Result<Self> {
        let configuration = asked.kind.configuration(size);
        let mut host = Host::start_with(configuration, binary, store, folder, &number.to_string()).await?;
        let stage = &mut Stage { host: &mut host, size, by_wire: asked.by_wire };
        let workload = asked.kind.set(stage).await.map_err(|error| {
            if asked.by_wire || binary.is_own() {
                return error;
            }
            error.hint("A binary of another version needs --by-wire where the workload fills the store.")
        })?;
        let kinds = vec![Times::default(); workload.kinds().len()];
        let (binary, told) = (binary.to_string(), Times::default());
        Ok(Self { host, workload, binary, size, next: Arc::default(), kinds, told, rounds: Vec::new() })
    }

    async fn turn(&self, asked: &Asked, how: Loop, only: Option<usize>, words: &str) -> Result<Turn> {
        let answered = Arc::default();
        let kind = only.map_or_else(String::new, |kind| format!(", {}", self.workload.kinds()[kind]));
        let shown = format!("{} {}: {words}{kind}", self.binary, self.size);
        let shown = Progress::of(&shown, &answered, None);
        let (before, heard) = (processor_seconds(self.host.process())?, self.heard());
        let drive = Drive {
            address: self.host.address(),
            root: self.host.root.clone(),
            workload: self.workload.clone(),
            only,
            connections: asked.connections,
            how,
            seed: asked.seed,
            next: self.next.clone(),
            answered,
            stop: CancellationToken::new(),
        };
        let round = drive.run().await?;
        let told = match self.workload.audience() {
            Some(audience) => Some(audience.ears.take_times().await),
            None => None,
        };
        drop(shown);
        let processor_s = processor_seconds(self.host.process())? - before;
        if let Some(gone) = self.workload.audience().map(super::ears::Audience::gone).filter(|gone| 0 < *gone)
        {
            return Err(Error::failure(format!("{gone} sockets were closed during a round")));
        }
        if round.count() == 0 {
            let words = round.first_refusal.unwrap_or_default();
            return Err(Error::failure(format!("no call succeeded: {words}")));
        }
        let now = self.heard();
        let heard = Heard { due: now.due - heard.due, delivered: now.delivered - heard.delivered };
        Ok(Turn { round, told, heard, processor_s })
    }

    /// Notes what the turns of one round found.
    fn note(&mut self, turns: Vec<Turn>) -> Result<()> {
        let mut all = Round { kinds: vec![Times::default(); self.kinds.len()], ..Round::default() };
        let (mut told, mut heard, mut processor_s) = (None::<Times>, Heard::default(), 0.0);
        for turn in turns {
            all.elapsed += turn.round.elapsed;
            all.add(turn.round);
            if let Some(times) = turn.told {
                told.get_or_insert_default().add(&times);
            }
            heard.due += turn.heard.due;
            heard.delivered += turn.heard.delivered;
            processor_s += turn.processor_s;
        }
        let mut figures = Figures::of(self.workload.kinds(), &all, told.as_ref(), processor_s);
        (figures.due, figures.delivered) = (heard.due, heard.delivered);
        figures.resident_kib = Memory::of(self.host.process())?.now_kib;
        figures.relate();
        self.kinds.iter_mut().zip(&all.kinds).for_each(|(kind, more)| kind.add(more));
        self.told.add(&told.unwrap_or_default());
        self.rounds.push(figures);
        Ok(())
    }

    fn heard(&self) -> Heard {
        self.workload.audience().map_or_else(Heard::default, |audience| audience.ears.heard())
    }

    fn found(self) -> Variant {
        let sum = |of: fn(&Figures) -> f64| self.rounds.iter().map(of).sum::<f64>();
        let round = Round {
            elapsed: Duration::from_secs_f64(sum(|figures| figures.seconds)),
            kinds: self.kinds,
            ..Round::default()
        };
        let told = (0 < self.told.count()).then_some(&self.told);
        let used = sum(|figures| figures.processor_s);
        let mut total = Figures::of(self.workload.kinds(), &round, told, used);
        for figures in &self.rounds {
            total.due += figures.due;
            total.delivered += figures.delivered;
            total.resident_kib = total.resident_kib.max(figures.resident_kib);
            for (status, count) in &figures.refused {
                *total.refused.entry(*status).or_default() += count;
            }
        }
        total.relate();
        Variant {
            binary: self.binary,
            size: self.size,
            total,
            ratios: Ratios::default(),
            rounds: self.rounds,
        }
    }
}

impl Figures {
    fn of(names: &[&'static str], round: &Round, told: Option<&Times>, processor_s: f64) -> Self {
        let kinds = names.iter().zip(&round.kinds).filter(|(_, times)| 0 < times.count());
        Self {
            seconds: round.elapsed.as_secs_f64(),
            all: Some(round.times().spread()),
            kinds: kinds.map(|(name, times)| (*name, times.spread())).collect(),
            told: told.map(Times::spread),
            refused: round.refused.clone(),
            processor_s,
            ..Self::default()
        }
    }

    /// What follows from the rest.
    #[expect(clippy::cast_precision_loss, reason = "a round has far fewer than 2^52 calls")]
    fn relate(&mut self) {
        let count = self.all.map_or(0, |all| all.count) as f64;
        self.per_second = ratio(count, self.seconds);
        self.processor_ms_a_call = ratio(self.processor_s * 1_000.0, count);
        self.delivered_a_processor_s = ratio(self.delivered as f64, self.processor_s);
    }
}

/// The same, with their ratios to the first.
fn related(mut variants: Vec<Variant>) -> Vec<Variant> {
    let Some(first) = variants.first().map(|first| first.rounds.clone()) else { return variants };
    for variant in &mut variants {
        let rounds: Vec<_> = variant.rounds.iter().zip(&first).collect();
        let middle = |of: &dyn Fn(&Figures) -> Option<f64>| {
            median(rounds.iter().filter_map(|(one, first)| Some(ratio(of(one)?, of(first)?))).collect())
        };
        let pair = |of: &dyn Fn(&Figures) -> Option<Spread>| Pair {
            p50: middle(&|figures| Some(of(figures)?.p50_ms)),
            p99: middle(&|figures| Some(of(figures)?.p99_ms)),
        };
        variant.ratios = Ratios {
            per_second: middle(&|figures| Some(figures.per_second)),
            processor_ms_a_call: middle(&|figures| Some(figures.processor_ms_a_call)),
            all: pair(&|figures| figures.all),
            kinds: variant
                .total
                .kinds
                .keys()
                .map(|kind| (*kind, pair(&|figures| figures.kinds.get(kind).copied())))
                .collect(),
            told: variant.total.told.map(|_| pair(&|figures| figures.told)),
        };
    }
    variants
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(p99: [f64; 3]) -> Variant {
        let spread =
            |p99_ms| Spread { count: 10, p50_ms: 1.0, p90_ms: 1.0, p99_ms, p999_ms: p99_ms, max_ms: p99_ms };
        let round = |p99_ms: f64| {
            let mut figures = Figures {
                seconds: p99_ms,
                all: Some(spread(p99_ms)),
                kinds: BTreeMap::from([("send", spread(p99_ms))]),
                processor_s: 1.0,
                ..Figures::default()
            };
            figures.relate();
            figures
        };
        let rounds: Vec<_> = p99.into_iter().map(round).collect();
        Variant {
            binary: "carillon".to_owned(),
            size: 1,
            total: rounds[0].clone(),
            ratios: Ratios::default(),
            rounds,
        }
    }

    #[test]
    fn a_ratio_is_that_of_a_turn_and_one_bad_turn_does_not_make_it() {
        let found = related(vec![variant([1.0, 10.0, 2.0]), variant([2.0, 20.0, 40.0])]);
        assert!((found[0].ratios.all.p99 - 1.0).abs() < 1e-9);
        assert!((found[1].ratios.all.p99 - 2.0).abs() < 1e-9);
        assert!((found[1].ratios.kinds["send"].p99 - 2.0).abs() < 1e-9);
        assert!((found[1].ratios.per_second - 0.5).abs() < 1e-9);
    }
}
