//! `cargo xtask console`: builds the console into `console/dist`, which the server's binary has in it. With `--check`,
//! and in every `cargo xtask test`, what would be built is compared with what is there instead, byte for byte: so the
//! tree builds without Node.js, and what it builds is what its source says (decision 100).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::repository::Repository;
use crate::setup;
use crate::shell::{self, Failure, Result};

const HINT: &str = "run `cargo xtask console`, and commit console/dist";

pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Result<()> {
    setup::install_node(&repository.console())?;
    match arguments {
        [] => build(repository, &dist(repository)),
        [flag] if flag == "--check" => check(repository),
        _ => Err(Failure::new("`console` takes --check, or nothing")),
    }
}

/// Fails where the built files are not those of the source. Its packages must be installed.
pub(crate) fn check(repository: &Repository) -> Result<()> {
    let (fresh, kept) = (repository.root.join("target/console"), dist(repository));
    build(repository, &fresh)?;
    let differing = differing(&read(&fresh)?, &read(&kept)?);
    if differing.is_empty() {
        return Ok(());
    }
    let names = differing.join(", ");
    Err(Failure::new(format!("console/dist is not what its source builds: {names}")).hint(HINT))
}

fn build(repository: &Repository, into: &Path) -> Result<()> {
    let program = |name: &str| {
        let mut command = Command::new(repository.console().join("node_modules/.bin").join(name));
        command.current_dir(repository.console());
        command
    };
    shell::run(program("tsc").arg("--noEmit"))?;
    shell::run(program("vite").args(["build", "--logLevel", "warn", "--emptyOutDir", "--outDir"]).arg(into))
}

fn dist(repository: &Repository) -> PathBuf {
    repository.console().join("dist")
}

/// The files of a folder that has no folders, by their names.
fn read(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let listed = fs::read_dir(folder).map_err(Failure::while_doing(format!("list {}", folder.display())))?;
    let mut files = Vec::new();
    for entry in listed.flatten() {
        let path = entry.path();
        let bytes = fs::read(&path).map_err(Failure::while_doing(format!("read {}", path.display())))?;
        files.push((entry.file_name().to_string_lossy().into_owned(), bytes));
    }
    files.sort();
    Ok(files)
}

/// The names of what only one side has, or both have differently.
fn differing(fresh: &[(String, Vec<u8>)], kept: &[(String, Vec<u8>)]) -> Vec<String> {
    let only = |these: &[(String, Vec<u8>)], those: &[(String, Vec<u8>)]| {
        let names = these.iter().filter(|file| !those.contains(file)).map(|(name, _)| name.clone());
        names.collect::<Vec<_>>()
    };
    let mut names = only(fresh, kept);
    names.extend(only(kept, fresh));
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let file = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
        let kept = [file("a", "1"), file("b", "2"), file("c", "3")];
        assert!(differing(&kept, &kept).is_empty());
        let fresh = [file("a", "1"), file("b", "other"), file("d", "4")];
        assert_eq!(differing(&fresh, &kept), ["b", "c", "d"]);
    }
}
