//! `carillon`: a self-hosted messaging service that speaks the wire protocol of Amazon Chime SDK Messaging and
//! Identity.
//!
//! The binary is the command line and nothing else: the server is a library, and so is the load generator. To add a
//! command: a file under `commands/` and a line in `cli.rs`.

mod archive;
mod cli;
mod commands;
mod demo;
mod way;

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
