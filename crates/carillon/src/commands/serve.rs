//! `carillon serve`: the server, and nothing but the server.

use carillon_server::config::{Settings, Written};
use carillon_server::error::{ExitStatus, Result};
use carillon_server::{log, wire};

/// Runs the server until a signal ends it.
pub(crate) fn run(written: Written) -> Result<ExitStatus> {
    let settings = Settings::read(written)?;
    log::start(&settings)?;
    wire::run(&settings, async |_| Ok(()))?;
    Ok(ExitStatus::Success)
}
