//! `cargo xtask fuzz [--seconds N] [--seed N] [TARGET …]`: hunts in each target for so long; an input that breaks
//! something is kept in `target/fuzz/`. With `--input FILE` it runs one target on that file alone; `--list` says what
//! targets there are.
#![expect(clippy::print_stdout, reason = "a command talks to the person who started it")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use carillon_fuzz::hunt::{Found, hunt, run};
use carillon_fuzz::{TARGETS, Target};

struct Asked {
    seconds: u64,
    seed: u64,
    input: Option<PathBuf>,
    targets: Vec<&'static Target>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words == ["--list"] {
        println!("{}", list());
        return ExitCode::SUCCESS;
    }
    // What a thread keeps for its targets, it takes away at its end.
    let fuzzing = std::thread::spawn(move || asked(&words).and_then(|asked| fuzz(&asked)));
    match fuzzing.join().unwrap_or_else(|_| Err("the hunt itself panicked".to_owned())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(words) => {
            println!("{words}");
            ExitCode::FAILURE
        }
    }
}

fn asked(words: &[String]) -> Result<Asked, String> {
    let mut asked = Asked { seconds: 10, seed: 1, input: None, targets: Vec::new() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--seconds" => asked.seconds = number(value()?)?,
            "--seed" => asked.seed = number(value()?)?,
            "--input" => asked.input = Some(value()?.into()),
            name => {
                let found = TARGETS.iter().find(|target| target.name == name);
                asked.targets.push(found.ok_or_else(|| format!("no target is called {name}\n{}", list()))?);
            }
        }
    }
    if asked.targets.is_empty() {
        asked.targets = TARGETS.iter().collect();
    }
    Ok(asked)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn list() -> String {
    let lines = TARGETS.iter().map(|target| format!("  {:<16} {}", target.name, target.about));
    lines.collect::<Vec<_>>().join("\n")
}

/// True where nothing broke.
fn fuzz(asked: &Asked) -> Result<bool, String> {
    if let Some(path) = &asked.input {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let outcomes = asked.targets.iter().map(|target| run(target, &bytes));
        return Ok(outcomes.filter(Result::is_err).count() == 0);
    }
    let mut is_well = true;
    for target in &asked.targets {
        let found = for_seconds(target, asked);
        let Found { executions, kept, crashes } = &found;
        println!(
            "{:<16} {executions} inputs, {kept} led to something new, {} broke it",
            target.name,
            crashes.len()
        );
        for (number, (input, words)) in crashes.iter().enumerate() {
            let path = keep(target, number, input).map_err(|error| format!("target/fuzz: {error}"))?;
            println!("  {}: {words}", path.display());
        }
        is_well &= crashes.is_empty();
    }
    Ok(is_well)
}

#[expect(clippy::disallowed_methods, reason = "the person who started it says for how long it is to run")]
fn for_seconds(target: &Target, asked: &Asked) -> Found {
    let (begun, most) = (Instant::now(), Duration::from_secs(asked.seconds));
    hunt(target, asked.seed, |_| most <= begun.elapsed())
}

fn keep(target: &Target, number: usize, input: &[u8]) -> std::io::Result<PathBuf> {
    let folder = Path::new("target").join("fuzz").join(target.name);
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("crash-{number}"));
    std::fs::write(&path, input)?;
    Ok(path)
}
