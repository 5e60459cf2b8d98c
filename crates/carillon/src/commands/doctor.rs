//! `carillon doctor`: looks for what goes wrong in practice. The checks are the server's (`carillon_server::doctor`);
//! what they find is a line each here, with its remedy.

use std::io::Write as _;

use clap::Args;

use carillon_server::config::{Settings, Written};
use carillon_server::doctor::{self, Severity};
use carillon_server::error::{ExitStatus, Result};
use carillon_server::log;

/// The options of `carillon doctor`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print one object of JSON a line: check, severity, finding, remedy.
    #[arg(long)]
    json: bool,
    /// What is looked at: the options of `serve`.
    #[command(flatten)]
    written: Written,
}

/// Prints what is found; anything serious is a failure.
pub(crate) fn run(options: Options) -> Result<ExitStatus> {
    let Options { json, written } = options;
    let mut settings = Settings::read(written)?;
    // What a server says of its start is nothing for a command that ends at once.
    if settings.log == "info" {
        "off".clone_into(&mut settings.log);
    }
    log::start(&settings)?;
    let mut stdout = std::io::stdout().lock();
    let mut status = ExitStatus::Success;
    doctor::examine(&settings, |found| {
        if found.severity == Severity::Serious {
            status = ExitStatus::Failure;
        }
        // Where stdout is closed, the exit code still says it.
        let _ = if json {
            writeln!(stdout, "{}", serde_json::to_string(&found).unwrap_or_default())
        } else {
            writeln!(stdout, "{found}")
        };
    })?;
    Ok(status)
}
