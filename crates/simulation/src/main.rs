//! Whole histories of three nodes on one thread, each of which follows from a number: real dispatch, store, delivery,
//! flows and jobs, over a clock, a network, a bus and a disk that are played. `docs/guide/testing.md` says how to use
//! it.

mod chance;
mod check;
mod clients;
mod ending;
mod fault;
mod ground;
mod history;
mod node;
mod request;
mod rooms;
mod run;
mod scene;
mod socket;
mod troubles;
mod world;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    run::Arguments::parse().run()
}
