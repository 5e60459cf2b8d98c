//! Logs: to stderr, for people or for machines. What is logged, and where, is for everyone else to decide.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::Subscriber;

use crate::config::{LogFormat, Settings};
use crate::error::{Error, Result};

/// Begins to log.
pub fn start(settings: &Settings) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| Error::usage(format!("log is {}, which is not a filter: {error}", settings.log)))?;
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = Subscriber::builder().with_env_filter(filter).with_writer(stderr).with_ansi(colour);
    let started = match settings.log_format {
        LogFormat::Text => tracing::subscriber::set_global_default(builder.finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(builder.json().finish()),
    };
    started.map_err(|error| Error::failure(format!("logs cannot be written: {error}")))
}
