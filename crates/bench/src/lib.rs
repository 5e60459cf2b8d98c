//! Measuring: the server as a child process under load, beside two ceilings that are measured in the same run.
//!
//! The `store` ceiling is the operation's own function in the same store, without HTTP; the `http` ceiling is
//! the same listener in front of a handler that does nothing. Both run in a child too, so that the processor
//! is shared alike. Nothing leaves this machine: all addresses are of the loopback.

mod broadcast;
mod child;
mod client;
mod common;
mod crowd;
mod fan_out;
mod load;
mod members;
mod pace;
pub mod part;
mod processor;
#[cfg(test)]
mod random_sessions;
mod report;
mod returning;
mod scene;
pub mod sends;
mod socket;
pub mod sockets;
mod stage;
mod starting;
mod vitals;
mod workload;
