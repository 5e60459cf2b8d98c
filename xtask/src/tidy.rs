//! `cargo xtask tidy`: the rules of the house that no compiler knows.
//!
//! It looks at every file that git tracks or would track. Each rule is a function from text to findings, in one of
//! the modules below; to add one, write the function and its test, and name it in [`inspect`]. `rooms` looks at a
//! crate as a whole.

mod edges;
mod files;
mod rooms;
mod rust;
mod source;

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::repository::Repository;
use crate::shell::{self, Failure, Result};
use rooms::Room;
use source::Source;

/// A rule broken at a line; line 0 is the file as a whole.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    line: usize,
    rule: String,
}

impl Finding {
    fn new(line: usize, rule: impl Into<String>) -> Self {
        Self { line, rule: rule.into() }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, " {}", self.rule),
            line => write!(f, "{line}: {}", self.rule),
        }
    }
}

pub(crate) fn run(repository: &Repository, _: &[String]) -> Result<()> {
    let mut broken = Vec::new();
    let mut rooms = Vec::new();
    for path in tracked(repository)? {
        // A file that was deleted and not yet committed is listed too.
        let Ok(bytes) = fs::read(repository.root.join(&path)) else { continue };
        if is_rust(Path::new(&path))
            && let Ok(text) = str::from_utf8(&bytes)
        {
            rooms.extend(Room::parse(&path, &Source::parse(text)));
        }
        broken.extend(inspect(Path::new(&path), &bytes).into_iter().map(|finding| (path.clone(), finding)));
    }
    broken.extend(rooms::check(&rooms));
    for (path, finding) in &broken {
        println!("{path}:{finding}");
    }
    let count = broken.len();
    if count == 0 { Ok(()) } else { Err(Failure::new(format!("tidy found {count} broken rules"))) }
}

fn tracked(repository: &Repository) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(&repository.root);
    Ok(shell::output(&mut git)?.split_terminator('\0').map(str::to_owned).collect())
}

fn inspect(path: &Path, bytes: &[u8]) -> Vec<Finding> {
    let mut findings = files::size_and_kind(bytes);
    let Ok(text) = str::from_utf8(bytes) else { return findings };
    findings.extend(files::absolute_paths(text));
    findings.extend(files::conflicts(text));
    if files::is_code(path) {
        findings.extend(files::leftovers(text));
    }
    if path.file_name().is_some_and(|name| name == "Cargo.toml") {
        findings.extend(edges::check(text));
    }
    if is_rust(path) {
        let source = Source::parse(text);
        findings.extend(rust::module_file(path));
        findings.extend(rust::long_lines(text));
        findings.extend(rust::ignored_tests(&source));
        findings.extend(rust::undocumented_limits(text));
        findings.extend(rust::sql(path, &source));
        findings.extend(rust::engine_names(path, &source));
    }
    findings
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}
