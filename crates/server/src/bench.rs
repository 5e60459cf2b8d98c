//! Measuring: the server as a child process under load, beside two ceilings that are measured in the same run.
//!
//! The `store` ceiling is the operation's own function in the same store, without HTTP; the `http` ceiling is
//! the same listener in front of a handler that does nothing. Both run in a child too, so that the processor
//! is shared alike. Nothing leaves this machine: all addresses are of the loopback.

pub(crate) mod broadcast;
pub(crate) mod child;
pub(crate) mod client;
pub(crate) mod crowd;
pub(crate) mod fan_out;
pub(crate) mod load;
pub(crate) mod members;
pub(crate) mod pace;
pub(crate) mod part;
pub(crate) mod processor;
pub(crate) mod report;
pub(crate) mod scene;
pub(crate) mod socket;
pub(crate) mod stage;
pub(crate) mod vitals;
