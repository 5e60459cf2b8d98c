//! `cargo xtask dist`: the packages that are handed out, all from one build.

use std::process::Command;

use crate::repository::Repository;
use crate::shell::{self, Failure, Result};

/// What is packed, optimised as far as it goes.
const PROFILE: &str = "dist";

/// Builds with the profile `dist`, and packs the binary in every form into `target/packages`.
pub(crate) fn run(repository: &Repository, _: &[String]) -> Result<()> {
    shell::run(&mut repository.cargo(&["build", "--profile", PROFILE, "--package", "carillon"]))?;
    let target = repository.root.join("target");
    let packing = Command::new("python3")
        .arg(repository.root.join("deploy").join("packages.py"))
        .args([target.join(PROFILE).join("carillon"), target.join("packages")])
        .status()
        .map_err(Failure::while_doing("start python3"))?;
    if packing.success() {
        return Ok(());
    }
    let hint = "it needs python3, and of Debian: apt-get install -y dpkg binutils";
    Err(Failure::new("the packages were not made").hint(hint))
}
