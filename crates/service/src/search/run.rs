//! Runs: messages of a place, packed with their terms.
//!
//! The head of a run lists its messages: when and under which number each was sent, which is how its key begins, and
//! for whom it is where that is not everybody. Its parts hold the terms, each with the places of its messages in the
//! head. A small run has one part; of a larger one the first bits of a term say which part it is in, so that a search
//! reads about as much of either.

use std::collections::{BTreeMap, BTreeSet};

use carillon_model::{Key, MessageKey};

/// How many runs of a level there may be in a place: one more makes them all one.
pub(crate) const FAN: usize = 16;
/// From how many messages on a run is of the next level.
const LEVEL_FROM: [usize; 2] = [256, 4_096];
/// The level whose runs stay as they are.
pub(crate) const LEVEL_MAX: i64 = 2;
/// The bits of a term that say its part, on each level more.
const PART_BITS: i64 = 4;

/// How a message's key begins: its time and its number. Nearly always there is one message, and never an older one is
/// after a younger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Start(pub(crate) u128);

impl Start {
    pub(crate) fn of(key: MessageKey) -> Self {
        Self(u128::from_be_bytes(*key.0.first_chunk().expect("16 of 32 bytes")))
    }

    pub(crate) fn ms(self) -> i64 {
        i64::try_from(self.0 >> 64).unwrap_or(i64::MAX)
    }

    /// The keys that begin so.
    pub(crate) fn keys(self) -> (MessageKey, MessageKey) {
        let with = |rest: u8| {
            let mut bytes = [rest; 32];
            bytes[..16].copy_from_slice(&self.0.to_be_bytes());
            MessageKey(bytes)
        };
        (with(0), with(0xff))
    }

    fn halves(self) -> (u64, u64) {
        let half = |bits: u128| u64::try_from(bits).expect("64 of 128 bits");
        (half(self.0 >> 64), half(self.0 & u128::from(u64::MAX)))
    }
}

/// A message, as the head of a run lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) start: Start,
    /// Of whom it is for, where it is for two alone.
    pub(crate) pair: Option<[u32; 2]>,
    /// Whether it was deleted, redacted, or is found by another run since it was edited.
    pub(crate) is_gone: bool,
}

/// What the head says of somebody: enough that hardly anybody else is taken for them, and who is, is not shown it.
pub(crate) fn mark(key: Key) -> u32 {
    u32::from_be_bytes(*key.0.last_chunk().expect("4 of 16 bytes"))
}

impl Entry {
    /// Whether somebody may be shown it.
    pub(crate) fn is_for(&self, viewer: Key) -> bool {
        !self.is_gone && self.pair.is_none_or(|pair| pair.contains(&mark(viewer)))
    }
}

/// Messages with their terms.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) entries: Vec<Entry>,
    /// Of each term the places of its messages, in order.
    terms: BTreeMap<u32, Vec<u32>>,
    /// The places of messages that have too many terms to be kept.
    any: Vec<u32>,
}

/// A run as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) level: i64,
    /// Between which times its messages are, both within.
    pub(crate) span: (i64, i64),
    pub(crate) head: Vec<u8>,
    /// Those of its parts that hold something.
    pub(crate) parts: Vec<(i64, Vec<u8>)>,
}

/// The part of a run of this level that a term is in.
pub(crate) fn part_of(level: i64, term: u32) -> i64 {
    i64::from(term) >> (32 - PART_BITS * level)
}

pub(crate) fn level_of(count: usize) -> i64 {
    LEVEL_FROM.iter().fold(0, |level, from| level + i64::from(*from <= count))
}

impl Run {
    /// Adds a message, with its terms, or none where they are too many.
    pub(crate) fn add(&mut self, entry: Entry, terms: Option<BTreeSet<u32>>) {
        let at = place(self.entries.len());
        self.entries.push(entry);
        match terms {
            None => self.any.push(at),
            Some(terms) => terms.into_iter().for_each(|term| self.terms.entry(term).or_default().push(at)),
        }
    }

    /// All messages of several runs but those that are gone, in the order of their keys.
    pub(crate) fn merge(runs: Vec<Self>) -> Self {
        let mut all: Vec<(Entry, usize, usize)> = Vec::new();
        for (run, of) in runs.iter().enumerate() {
            let living = of.entries.iter().enumerate().filter(|(_, entry)| !entry.is_gone);
            all.extend(living.map(|(at, entry)| (*entry, run, at)));
        }
        all.sort_by_key(|(entry, ..)| entry.start);
        let mut moved: Vec<Vec<Option<u32>>> = runs.iter().map(|run| vec![None; run.entries.len()]).collect();
        for (to, (_, run, at)) in all.iter().enumerate() {
            moved[*run][*at] = Some(place(to));
        }
        let mut merged =
            Self { entries: all.into_iter().map(|(entry, ..)| entry).collect(), ..Self::default() };
        for (run, moved) in runs.into_iter().zip(moved) {
            let there = |at: u32| moved[at as usize];
            for (term, places) in run.terms {
                let mut places = places.into_iter().filter_map(there).peekable();
                if places.peek().is_some() {
                    merged.terms.entry(term).or_default().extend(places);
                }
            }
            merged.any.extend(run.any.into_iter().filter_map(there));
        }
        merged.terms.values_mut().for_each(|places| places.sort_unstable());
        merged.any.sort_unstable();
        merged
    }

    /// How it is stored.
    pub(crate) fn pack(&self) -> Packed {
        let level = level_of(self.entries.len());
        let mut parts: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
        let begin = || {
            let mut bytes = Vec::new();
            put_places(&mut bytes, &self.any);
            bytes
        };
        let mut last = (0, 0);
        for (term, places) in &self.terms {
            let part = part_of(level, *term);
            let before = if last.0 == part { last.1 } else { 0 };
            let bytes = parts.entry(part).or_insert_with(begin);
            put(bytes, u64::from(*term - before));
            put_places(bytes, places);
            last = (part, *term);
        }
        if !self.any.is_empty() {
            for part in 0..1 << (PART_BITS * level) {
                parts.entry(part).or_insert_with(begin);
            }
        }
        let times = || self.entries.iter().map(|entry| entry.start.ms());
        let span = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
        Packed { level, span, head: pack_head(&self.entries), parts: parts.into_iter().collect() }
    }

    /// What was stored; nothing where that is not a run.
    pub(crate) fn unpack(head: &[u8], parts: &[Vec<u8>]) -> Option<Self> {
        let mut run = Self { entries: unpack_head(head)?, ..Self::default() };
        for part in parts {
            let mut rest = &part[..];
            run.any = take_places(&mut rest)?;
            let mut term = 0;
            while !rest.is_empty() {
                term += u32::try_from(take(&mut rest)?).ok()?;
                run.terms.insert(term, take_places(&mut rest)?);
            }
        }
        let most = place(run.entries.len());
        let is_whole = run.terms.values().chain([&run.any]).flatten().all(|at| *at < most);
        is_whole.then_some(run)
    }
}

/// In which places of the head a part has a term, and whatever it has of all; nothing where that is no part of a run.
pub(crate) fn look_up(part: &[u8], term: u32) -> Option<Vec<u32>> {
    let mut rest = part;
    let mut found = take_places(&mut rest)?;
    let mut passed = 0;
    while !rest.is_empty() {
        passed += u32::try_from(take(&mut rest)?).ok()?;
        if term < passed {
            break;
        }
        if term == passed {
            found.extend(take_places(&mut rest)?);
            found.sort_unstable();
            break;
        }
        for _ in 0..take(&mut rest)? {
            take(&mut rest)?;
        }
    }
    Some(found)
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a run has far fewer messages")
}

const GONE: u64 = 1;
const PAIR: u64 = 2;
const FLAG_BITS: u32 = 2;

pub(crate) fn pack_head(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, entries.len() as u64);
    let mut last = (0_u64, 0_u64);
    for entry in entries {
        let (ms, number) = entry.start.halves();
        let flags = if entry.is_gone { GONE } else { 0 } | if entry.pair.is_some() { PAIR } else { 0 };
        // Times have far fewer bits than would be lost.
        put(&mut bytes, zigzag(ms.wrapping_sub(last.0)) << FLAG_BITS | flags);
        put(&mut bytes, zigzag(number.wrapping_sub(last.1)));
        for mark in entry.pair.iter().flatten() {
            bytes.extend(mark.to_be_bytes());
        }
        last = (ms, number);
    }
    bytes
}

pub(crate) fn unpack_head(head: &[u8]) -> Option<Vec<Entry>> {
    let mut rest = head;
    let count = usize::try_from(take(&mut rest)?).ok()?;
    let mut entries = Vec::with_capacity(count.min(head.len()));
    let mut last = (0_u64, 0_u64);
    for _ in 0..count {
        let (first, second) = (take(&mut rest)?, take(&mut rest)?);
        last = (last.0.wrapping_add(unzigzag(first >> FLAG_BITS)), last.1.wrapping_add(unzigzag(second)));
        let mut mark = || {
            let (mark, after) = rest.split_first_chunk()?;
            rest = after;
            Some(u32::from_be_bytes(*mark))
        };
        let pair = if first & PAIR == 0 { None } else { Some([mark()?, mark()?]) };
        let start = Start(u128::from(last.0) << 64 | u128::from(last.1));
        entries.push(Entry { start, pair, is_gone: first & GONE != 0 });
    }
    rest.is_empty().then_some(entries)
}

/// Small numbers of either sign as small ones of none.
fn zigzag(number: u64) -> u64 {
    number << 1 ^ (if number >> 63 == 0 { 0 } else { u64::MAX })
}

fn unzigzag(number: u64) -> u64 {
    number >> 1 ^ (if number & 1 == 0 { 0 } else { u64::MAX })
}

/// Seven bits a byte, the last of which has no eighth.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while 0x80 <= number {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn put_places(bytes: &mut Vec<u8>, places: &[u32]) {
    put(bytes, places.len() as u64);
    let mut last = 0;
    for at in places {
        put(bytes, u64::from(at - last));
        last = *at;
    }
}

fn take_places(bytes: &mut &[u8]) -> Option<Vec<u32>> {
    let count = usize::try_from(take(bytes)?).ok()?;
    let mut places = Vec::with_capacity(count.min(bytes.len()));
    let mut last = 0_u32;
    for _ in 0..count {
        last = last.checked_add(u32::try_from(take(bytes)?).ok()?)?;
        places.push(last);
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Time, number, for whom, whether it is gone, terms.
    type Drawn = (u64, u64, Option<[u32; 2]>, bool, Vec<u32>);

    fn entries() -> impl Strategy<Value = Vec<Drawn>> {
        let terms = prop::collection::vec(prop_oneof![0_u32..50, any::<u32>()], 0..8);
        let one = (0_u64..1 << 44, any::<u64>(), any::<Option<[u32; 2]>>(), any::<bool>(), terms);
        prop::collection::vec(one, 0..600)
    }

    fn run(of: &[Drawn]) -> Run {
        let mut run = Run::default();
        for (ms, number, pair, is_gone, terms) in of {
            let start = Start(u128::from(*ms) << 64 | u128::from(*number));
            let terms = (terms.len() < 7).then(|| terms.iter().copied().collect());
            run.add(Entry { start, pair: *pair, is_gone: *is_gone }, terms);
        }
        run
    }

    fn unpacked(packed: &Packed) -> Run {
        let parts: Vec<_> = packed.parts.iter().map(|(_, bytes)| bytes.clone()).collect();
        Run::unpack(&packed.head, &parts).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_packed_is_unpacked_and_looked_up(of in entries()) {
            let run = run(&of);
            let packed = run.pack();
            prop_assert_eq!(&unpacked(&packed), &run);
            for term in run.terms.keys().copied().chain([7, 1 << 31]) {
                let part = part_of(packed.level, term);
                let found = packed.parts.iter().find(|(at, _)| *at == part);
                let found = found.map_or(Vec::new(), |(_, bytes)| look_up(bytes, term).unwrap());
                let mut expected = run.terms.get(&term).cloned().unwrap_or_default();
                expected.extend(&run.any);
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn runs_are_merged_without_what_is_gone(one in entries(), other in entries()) {
            let merged = Run::merge(vec![run(&one), run(&other)]);
            prop_assert!(merged.entries.is_sorted_by_key(|entry| entry.start));
            let mut expected: Vec<_> = one.iter().chain(&other).filter(|entry| !entry.3).collect();
            expected.sort_by_key(|entry| (entry.0, entry.1));
            prop_assert_eq!(merged.entries.len(), expected.len());
            for (at, (.., terms)) in expected.iter().enumerate() {
                let at = place(at);
                let is_any = merged.any.contains(&at);
                prop_assert!(is_any || terms.iter().all(|term| merged.terms[term].contains(&at)));
            }
        }

        #[test]
        fn whatever_is_stored_is_a_run_or_none(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (look_up(&bytes, 7), Run::unpack(&bytes, std::slice::from_ref(&bytes)));
        }
    }
}
