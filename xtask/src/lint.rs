//! `cargo xtask lint`: clippy over every target of the workspace.

use crate::repository::Repository;
use crate::shell::{self, Result};

pub(crate) fn run(repository: &Repository, _: &[String]) -> Result<()> {
    shell::run(&mut repository.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}
