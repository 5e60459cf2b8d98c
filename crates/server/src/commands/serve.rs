//! `carillon serve`: the server, and nothing but the server.

use crate::config::{Settings, Written};
use crate::error::{ExitStatus, Result};
use crate::{log, wire};

/// Runs the server until a signal ends it.
pub(crate) fn run(written: Written) -> Result<ExitStatus> {
    let settings = Settings::read(written)?;
    log::start(&settings)?;
    wire::run(&settings, async |_| Ok(()))?;
    Ok(ExitStatus::Success)
}
