//! `cargo xtask dist`: the packages that are handed out, all from one build.

use std::process::Command;

use crate::repository::Repository;
use crate::shell::{self, Failure, Result};

/// What is packed, optimised as far as it goes.
const PROFILE: &str = "dist";

/// What tells the linker in which order functions are to lie: only this one knows it.
const IS_ORDERED: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

/// Builds with the profile `dist`, and packs the binary in every form into `target/packages`.
pub(crate) fn run(repository: &Repository, _: &[String]) -> Result<()> {
    build(repository)?;
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

/// Builds, finds out which functions a server runs, and links anew with those together.
fn build(repository: &Repository) -> Result<()> {
    shell::run(&mut repository.cargo(&["build", "--profile", PROFILE, "--package", "carillon"]))?;
    if !IS_ORDERED || Command::new("valgrind").arg("--version").output().is_err() {
        println!(
            "functions stay in the order of the compiler, which costs memory: it takes Linux on x86-64, and valgrind"
        );
        return Ok(());
    }
    let folder = repository.root.join("target").join(PROFILE);
    let order = folder.join("order");
    let script = repository.root.join("deploy").join("order.py");
    shell::run(Command::new("python3").arg(script).arg(folder.join("carillon")).arg(&order))?;
    let words = ["rustc", "--profile", PROFILE, "--package", "carillon", "--bin", "carillon", "--"];
    let linked =
        [format!("--symbol-ordering-file={}", order.display()), "--no-warn-symbol-ordering".to_owned()];
    let linked = linked.iter().flat_map(|word| ["-C".to_owned(), format!("link-arg=-Wl,{word}")]);
    shell::run(repository.cargo(&words).args(linked))
}
