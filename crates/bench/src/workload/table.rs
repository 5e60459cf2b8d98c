//! What a workload found, for people.

use std::fmt::Write as _;

use super::generator::Loop;
use super::times::Spread;
use super::turns::{Asked, Found, Pair, Variant};
use crate::common::processors;

/// The table of what was found on one store.
pub(crate) fn of(asked: &Asked, found: &Found) -> String {
    let how = match asked.how {
        Loop::Closed(lasting) => {
            format!("{} connections, each waits, {} s a round", asked.connections, lasting.as_secs())
        }
        Loop::Open(pacing) => {
            let day = if pacing.is_day { ", more in the morning than at night" } else { "" };
            let (per_second, seconds) = (pacing.per_second, pacing.lasting.as_secs());
            format!("{per_second} calls due a second{day}, {seconds} s a round")
        }
    };
    let how = if asked.is_apart { format!("{how}, each kind of call by itself") } else { how };
    let name = clap::ValueEnum::to_possible_value(&asked.kind);
    let name = name.as_ref().map_or("", |name| name.get_name());
    let mut text = format!(
        "\n{name}, {}\n{how}, {} rounds in turns, {} processors for server and load\n\n\
         {:24} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}   to the first: {:>6} {:>6}\n",
        found.store,
        asked.rounds,
        processors(),
        "",
        "a second",
        "p50 ms",
        "p90",
        "p99",
        "p99.9",
        "max",
        "p50",
        "p99",
    );
    for (at, variant) in found.variants.iter().enumerate() {
        one(&mut text, variant, (0 < at, asked.is_apart));
    }
    text
}

fn one(text: &mut String, variant: &Variant, (is_related, is_apart): (bool, bool)) {
    let (total, ratios) = (&variant.total, &variant.ratios);
    let _ = writeln!(text, "{}, size {}", variant.binary, variant.size);
    // Parts of a round are of one length.
    let parts = if is_apart { u32::try_from(total.kinds.len()).unwrap_or(1) } else { 1 };
    for (kind, spread) in &total.kinds {
        let pair = ratios.kinds.get(kind).copied().filter(|_| is_related);
        row(text, kind, share(spread.count, total.seconds / f64::from(parts)), spread, pair);
    }
    if let Some(told) = &total.told {
        let pair = ratios.told.filter(|_| is_related);
        row(text, "to the last socket", share(told.count, total.seconds), told, pair);
    }
    let mib = total.resident_kib / 1024;
    let _ = write!(
        text,
        "  {:.0} calls a second, {:.3} ms of the server's processor each, {mib} MiB resident",
        total.per_second, total.processor_ms_a_call,
    );
    if 0 < total.due {
        let _ = write!(text, "; {:.0} deliveries a second of it", total.delivered_a_processor_s);
    }
    if is_related {
        let _ = write!(
            text,
            "\n  to the first: calls a second {:.2}, processor each {:.2}",
            ratios.per_second, ratios.processor_ms_a_call,
        );
    }
    text.push('\n');
    if total.delivered != total.due {
        let _ = writeln!(text, "  of {} deliveries only {} came!", total.due, total.delivered);
    }
    for (status, count) in &total.refused {
        let _ = writeln!(text, "  {count} calls were answered with {status}!");
    }
}

fn row(text: &mut String, name: &str, per_second: f64, spread: &Spread, pair: Option<Pair>) {
    let Spread { p50_ms, p90_ms, p99_ms, p999_ms, max_ms, .. } = spread;
    let _ = write!(
        text,
        "  {name:22} {per_second:>9.0} {p50_ms:>8.2} {p90_ms:>8.2} {p99_ms:>8.2} {p999_ms:>8.2} {max_ms:>8.2}"
    );
    if let Some(Pair { p50, p99 }) = pair {
        let _ = write!(text, "                 {p50:>6.2} {p99:>6.2}");
    }
    text.push('\n');
}

#[expect(clippy::cast_precision_loss, reason = "a round has far fewer than 2^52 calls")]
fn share(count: u64, seconds: f64) -> f64 {
    crate::common::ratio(count as f64, seconds)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::super::kinds::Kind;
    use super::super::turns::{Figures, Ratios};
    use super::*;

    #[test]
    fn a_table_says_what_was_measured_and_what_went_wrong() {
        let spread = Spread { count: 20, p50_ms: 1.5, p90_ms: 2.0, p99_ms: 3.0, p999_ms: 4.0, max_ms: 5.0 };
        let total = Figures {
            seconds: 2.0,
            per_second: 10.0,
            kinds: BTreeMap::from([("send", spread)]),
            refused: BTreeMap::from([(503, 7)]),
            delivered: 19,
            due: 20,
            ..Figures::default()
        };
        let ratios =
            Ratios { kinds: BTreeMap::from([("send", Pair { p50: 0.5, p99: 0.25 })]), ..Ratios::default() };
        let variant = |size| Variant {
            binary: "carillon".to_owned(),
            size,
            total: total.clone(),
            ratios: ratios.clone(),
            rounds: Vec::new(),
        };
        let found = Found { store: "sqlite".to_owned(), variants: vec![variant(1), variant(9)] };
        let asked = Asked {
            kind: Kind::OneMember,
            binaries: Vec::new(),
            sizes: vec![1, 9],
            connections: 4,
            how: Loop::Closed(Duration::from_secs(2)),
            rounds: 1,
            seed: 1,
            by_wire: false,
            is_apart: false,
        };
        let text = of(&asked, &found);
        for words in ["one-member, sqlite", "4 connections, each waits", "size 9", "0.50   0.25"] {
            assert!(text.contains(words), "{words}\n{text}");
        }
        assert_eq!(text.matches("7 calls were answered with 503!").count(), 2);
        assert_eq!(text.matches("of 20 deliveries only 19 came!").count(), 2);
    }
}
