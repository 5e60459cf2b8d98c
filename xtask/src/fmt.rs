//! `cargo xtask fmt [--check]`: the Rust code in its one form.

use crate::repository::Repository;
use crate::shell::{self, Failure, Result};

pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Result<()> {
    match arguments {
        [] => shell::run(&mut repository.cargo(&["fmt", "--all"])),
        [flag] if flag == "--check" => check(repository),
        _ => Err(Failure::new("`fmt` takes no argument but --check")),
    }
}

pub(crate) fn check(repository: &Repository) -> Result<()> {
    shell::run(&mut repository.cargo(&["fmt", "--all", "--check"]))
        .map_err(|failure| failure.hint("`cargo xtask fmt` puts it in order"))
}
