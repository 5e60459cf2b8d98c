//! `carillon export`: everything that the store holds, in an archive that either engine reads.

use std::path::PathBuf;

use clap::Args;

use carillon_server::config::{Settings, Written};
use carillon_server::error::{ExitStatus, Result};
use carillon_server::{log, moving};

/// The options of `carillon export`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where to write the archive (.jsonl.zst), or the JSON of one user, or - for the standard output.
    file: PathBuf,
    /// Only what is of this app instance.
    #[arg(long, value_name = "ARN")]
    app_instance: Option<String>,
    /// Only what is this user's, as JSON that a person can read.
    #[arg(long, value_name = "ARN", conflicts_with_all = ["app_instance", "with_keys"])]
    user: Option<String>,
    /// With the secrets of access keys, and the master key that opens them.
    #[arg(long)]
    with_keys: bool,
    /// Where the store is: the options of `serve`.
    #[command(flatten)]
    written: Written,
}

/// Exports.
pub(crate) fn run(options: Options) -> Result<ExitStatus> {
    let Options { file, app_instance, user, with_keys, written } = options;
    let settings = Settings::read_beside(written)?;
    log::start(&settings)?;
    if let Some(user) = user {
        moving::export_person(&settings, &moving::Person { file, user })?;
        return Ok(ExitStatus::Success);
    }
    moving::export(&settings, &moving::Export { file, app_instance, with_keys })?;
    Ok(ExitStatus::Success)
}
