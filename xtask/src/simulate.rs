//! `cargo xtask simulate`: whole histories of three nodes, each of which follows from a number. What it takes is what
//! the simulation takes: `--seeds N` and `--seed S` say which, `--faults` plants each fault until it is found.

use std::process::Command;

use crate::repository::Repository;
use crate::shell::{self, Result};

pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Result<()> {
    shell::run(&mut repository.cargo(&["build", "--release", "--package", "carillon-simulation"]))?;
    let program = repository.root.join("target/release/carillon-simulation");
    shell::run(Command::new(program).args(arguments))
}
