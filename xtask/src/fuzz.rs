//! `cargo xtask fuzz [--seconds N] [--seed N] [TARGET] …`: the hunt of `fuzz/`, with the checks of a debug build.

use crate::repository::Repository;
use crate::shell::{self, Result};

pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Result<()> {
    shell::run(repository.cargo(&["run", "--quiet", "--package", "carillon-fuzz", "--"]).args(arguments))
}
