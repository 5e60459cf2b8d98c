//! Any of the targets, by coverage: `CARILLON_FUZZ_TARGET` names it.
//!
//! `CARILLON_FUZZ_TARGET=policy cargo +nightly fuzz run any --fuzz-dir libfuzzer libfuzzer/corpus/policy seeds/policy`
//! in `fuzz/`, with cargo-fuzz installed.
#![no_main]

use std::sync::LazyLock;

use carillon_fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("CARILLON_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("CARILLON_FUZZ_TARGET names no target: {name:?}"))
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
