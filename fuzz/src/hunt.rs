//! The hunt: seeds first, then what is made of them, for as long as one likes. What leads to something new is kept.

use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::mutate::mutate;
use crate::targets::Target;
use crate::{outcome, seeds};

/// Inputs that are kept to be altered further; those that come later push out others.
const CORPUS_LEN_MAX: usize = 4_096;
/// Crashes that are told; one more ends the hunt.
const CRASHES_MAX: usize = 20;

/// What came of a hunt.
#[derive(Debug, Default)]
pub struct Found {
    /// Inputs that were tried.
    pub executions: u64,
    /// Those of them that led to something new.
    pub kept: usize,
    /// Inputs that broke what was promised, and in which words.
    pub crashes: Vec<(Vec<u8>, String)>,
}

/// Tries inputs until `is_over`, which is told how many were tried.
pub fn hunt(target: &Target, seed: u64, is_over: impl Fn(u64) -> bool) -> Found {
    let (mut random, mut found) = (StdRng::seed_from_u64(seed), Found::default());
    let words: Vec<&str> = target.words.split_whitespace().collect();
    let (mut corpus, mut outcomes, mut told) = (seeds(target), HashSet::new(), HashSet::new());
    for input in corpus.clone() {
        outcomes.extend(attempt(target, &input, &mut found, &mut told));
    }
    corpus.push(Vec::new());
    while !is_over(found.executions) && found.crashes.len() < CRASHES_MAX {
        let input = mutate(&mut random, &corpus, &words);
        let Some(outcome) = attempt(target, &input, &mut found, &mut told) else { continue };
        if outcomes.insert(outcome) {
            found.kept += 1;
            if corpus.len() < CORPUS_LEN_MAX {
                corpus.push(input);
            } else {
                let at = found.kept % CORPUS_LEN_MAX;
                corpus[at] = input;
            }
        }
    }
    found
}

/// Tries an input; answers what it led to, where it did not crash. A crash is told once for its words.
fn attempt(target: &Target, input: &[u8], found: &mut Found, told: &mut HashSet<String>) -> Option<u64> {
    found.executions += 1;
    outcome::take();
    match run(target, input) {
        Ok(()) => Some(outcome::take()),
        Err(words) => {
            if told.insert(words.clone()) {
                found.crashes.push((input.to_vec(), words));
            }
            None
        }
    }
}

/// Runs a target on an input; a panic is an error, in its words.
pub fn run(target: &Target, input: &[u8]) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            WORDS.with_borrow_mut(|words| match words {
                Some(words) => *words = panic.to_string(),
                None => before(panic),
            });
        }));
    });
    WORDS.set(Some(String::new()));
    let ran = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let words = WORDS.take().unwrap_or_default();
    ran.map_err(|_| words)
}

thread_local! {
    /// While a target runs, what its panic said; nobody else is to hear of it a thousand times.
    static WORDS: RefCell<Option<String>> = const { RefCell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::TARGETS;

    /// Inputs that are tried in the tests of every change, of a target that needs no service; of one that does, few.
    const QUICK: u64 = 3_000;
    const SLOW: u64 = 400;

    #[test]
    fn no_input_breaks_what_is_promised() {
        for target in &TARGETS {
            let most = if target.is_quick { QUICK } else { SLOW };
            let found = hunt(target, 18, |executions| most <= executions);
            println!("{:<16} {} inputs, {} kept", target.name, found.executions, found.kept);
            let told =
                found.crashes.iter().map(|(input, words)| format!("{words}\n{}", input.escape_ascii()));
            assert!(found.crashes.is_empty(), "{}: {}", target.name, told.collect::<Vec<_>>().join("\n"));
        }
    }

    #[test]
    fn every_target_has_seeds_that_lead_to_different_things() {
        for target in &TARGETS {
            let seeds = seeds(target);
            let outcomes: HashSet<u64> = seeds
                .iter()
                .map(|seed| {
                    outcome::take();
                    (target.run)(seed);
                    outcome::take()
                })
                .collect();
            assert!(1 < outcomes.len(), "{}: {} seeds, all alike", target.name, seeds.len());
        }
    }

    #[test]
    fn a_panic_is_found_and_told_once() {
        let run = |input: &[u8]| assert!(!input.contains(&b'7'), "a seven");
        let target = Target { name: "none", about: "", words: "7", is_quick: true, run };
        let found = hunt(&target, 1, |executions| 5_000 <= executions);
        let [(input, words)] = &found.crashes[..] else { panic!("{:?}", found.crashes) };
        assert!(input.contains(&b'7') && words.contains("a seven"), "{words}");
    }
}
