//! `cargo xtask soak --minutes N [--setting sqlite|postgres|cluster]`: a mixed day under faults, in each setting or in
//! one, by `tests/load/soak.py`, on the release build, or on the binary that `CARILLON_BIN` names.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::repository::Repository;
use crate::setup;
use crate::shell::{self, Result};
use crate::test::{path_with, psql};

const SETTINGS: [&str; 3] = ["sqlite", "postgres", "cluster"];
const SETTING: &str = "--setting";

pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Result<()> {
    let tools = setup::install(repository)?;
    let binary = if let Some(given) = env::var_os("CARILLON_BIN") {
        PathBuf::from(given)
    } else {
        shell::run(&mut repository.cargo(&["build", "--release", "--package", "carillon"]))?;
        repository.root.join("target/release/carillon")
    };
    let one = |setting: Option<&str>| {
        let mut command = Command::new(tools.bin.join("python"));
        command.arg("load/soak.py").args(arguments).current_dir(repository.tests());
        command.args(setting.iter().flat_map(|setting| [SETTING, setting]));
        command.env("PATH", path_with([&tools.bin, &tools.prometheus])?);
        shell::run(command.env("CARILLON_BIN", &binary).env("CARILLON_TEST_PSQL", psql(&tools)))
    };
    if arguments.iter().any(|word| word.starts_with(SETTING)) {
        return one(None);
    }
    // All of them, so that one run tells everything that is wrong.
    SETTINGS.map(|setting| one(Some(setting))).into_iter().collect()
}
