//! `carillon`: a self-hosted messaging service that speaks the wire protocol of Amazon Chime SDK Messaging and
//! Identity.
//!
//! The binary is what stands around the service: command line, configuration, sockets, clock and wiring. It
//! knows no operation and no SQL. To add a command: a file under `commands/` and a line in `cli.rs`.

mod access;
mod answer;
mod audit;
mod bench;
mod cli;
mod clock;
mod commands;
mod config;
mod credentials;
mod data_dir;
mod demo;
mod error;
mod exchange;
mod flows;
mod http;
mod jobs;
mod key_sets;
mod log;
mod master_key;
mod metrics;
mod private_file;
#[cfg(test)]
mod random_sessions;
mod request;
mod stop;
mod tls;
mod wire;

use std::process::ExitCode;

/// A message costs many small allocations on several threads: with this allocator resident memory stays level
/// where the system's grows with fragmentation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Once, here: rustls panics at the first handshake where it finds none, or has to choose.
    let installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    debug_assert!(installed.is_ok(), "nothing else installs a provider");
    cli::run().into()
}
