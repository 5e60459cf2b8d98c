//! `carillon erase`: what is one person's goes, beside a running server or without one, and a report says what went.

use std::io::Write as _;

use clap::Args;

use carillon_server::config::{Settings, Written};
use carillon_server::error::{ExitStatus, Result};
use carillon_server::{erasing, log};

/// The options of `carillon erase`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Whom.
    #[arg(long, value_name = "ARN", required_unless_present = "free_room", conflicts_with = "free_room")]
    user: Option<String>,
    /// Keep what they said, under another name.
    #[arg(long, requires = "user")]
    keep_messages: bool,
    /// Only take what was erased before out of the free room of the store.
    #[arg(long)]
    free_room: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Where the store is: the options of `serve`.
    #[command(flatten)]
    written: Written,
}

/// Erases, and says what.
pub(crate) fn run(options: Options) -> Result<ExitStatus> {
    let Options { user, keep_messages, json, written, .. } = options;
    let settings = Settings::read_beside(written)?;
    log::start(&settings)?;
    let report = erasing::run(&settings, &erasing::Erase { user, keep_messages })?;
    let text = if json { report.to_json().to_string() } else { report.lines().join("\n") };
    // Where stdout is closed, the exit code still says it.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
    Ok(ExitStatus::Success)
}
