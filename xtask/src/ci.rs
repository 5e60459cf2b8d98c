//! `cargo xtask ci`: every check, and the minutes that each took.
//!
//! All steps run even when one fails, so that one run tells everything that is wrong.

use std::time::{Duration, Instant};

use crate::repository::Repository;
use crate::shell::{self, Failure, Result};
use crate::{fmt, lint, test, tidy};

struct Step {
    name: &'static str,
    run: fn(&Repository) -> Result<()>,
}

/// The quick ones first. The tests' own last lines are what a reader of the log looks for, so little follows them.
const STEPS: [Step; 5] = [
    Step { name: "fmt", run: fmt::check },
    Step { name: "tidy", run: |repository| tidy::run(repository, &[]) },
    Step { name: "lint", run: |repository| lint::run(repository, &[]) },
    Step { name: "doc", run: doc },
    Step { name: "test", run: |repository| test::run(repository, &[]) },
];

pub(crate) fn run(repository: &Repository, _: &[String]) -> Result<()> {
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    for Step { name, run } in STEPS {
        eprintln!("\n== {name}");
        let (outcome, took) = timed(|| run(repository));
        let word = if outcome.is_ok() { "passed" } else { "FAILED" };
        lines.push(format!("{name:<6} {word}  {:>6.1} min", took.as_secs_f64() / 60.0));
        if let Err(failure) = outcome {
            eprintln!("{failure}");
            failed.push(name);
        }
    }
    println!("\n{}", lines.join("\n"));
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(format!("failed: {}", failed.join(", ")))) }
}

fn doc(repository: &Repository) -> Result<()> {
    shell::run(repository.cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings"))
}

#[expect(clippy::disallowed_methods, reason = "the minutes of a step are what is asked for")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}
