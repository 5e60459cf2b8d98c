//! stub
use crate::error::{ExitStatus, Result};
use clap::Args;
/// x
#[derive(Debug, Args)]
pub(crate) struct Options {}
/// x
#[derive(Debug, Args)]
pub(crate) struct PartOptions {}
pub(crate) fn run(_: &Options) -> Result<ExitStatus> {
    Ok(ExitStatus::Success)
}
pub(crate) fn run_part(_: &PartOptions) -> Result<ExitStatus> {
    Ok(ExitStatus::Success)
}
