//! `carillon import`: an archive that `carillon export` made, or an application of a service, into a store that no
//! server serves.

use std::path::PathBuf;

use clap::Args;

use carillon_server::config::{Settings, Written};
use carillon_server::error::{Error, ExitStatus, Result};
use carillon_server::{log, moving};

/// The options of `carillon import`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The archive, or - for the standard input.
    #[arg(required_unless_present = "from_service", conflicts_with = "from_service")]
    file: Option<PathBuf>,
    /// Read an app instance from the original service, or from another carillon, with the usual credentials of AWS.
    #[arg(long, requires = "app_instance_arn")]
    from_service: bool,
    /// Which app instance.
    #[arg(long, value_name = "ARN", requires = "from_service")]
    app_instance_arn: Option<String>,
    /// Where the service is [default: where AWS has it].
    #[arg(long, value_name = "URL", requires = "from_service")]
    endpoint_url: Option<String>,
    /// An administrator, as whom channels are read [default: the first one].
    #[arg(long, value_name = "ARN", requires = "from_service")]
    bearer: Option<String>,
    /// Only count.
    #[arg(long, requires = "from_service")]
    dry_run: bool,
    /// Where the store is: the options of `serve`.
    #[command(flatten)]
    written: Written,
}

/// Imports.
pub(crate) fn run(options: Options) -> Result<ExitStatus> {
    let settings = Settings::read_beside(options.written)?;
    log::start(&settings)?;
    let Options { file, app_instance_arn, endpoint_url, bearer, dry_run, .. } = options;
    match (file, app_instance_arn) {
        (Some(file), None) => moving::import(&settings, &file)?,
        (None, Some(app_instance)) => {
            moving::from_service(
                &settings,
                &moving::FromService { app_instance, endpoint_url, bearer, dry_run },
            )?;
        }
        _ => return Err(Error::usage("an archive is imported, or an app instance of a service")),
    }
    Ok(ExitStatus::Success)
}
