//! What the server does, without sockets: 81 operations, each a synchronous function from a transaction, a call
//! and a request to a response, and the dispatch that stands around them.
//!
//! The crate opens no socket, reads no clock and names no engine. To add an operation: a file under
//! `operations/` with its declaration and its tests, and a line in `operations.rs`; the conformance test
//! compares the declaration with `spec/api.json`.

pub mod call;
pub mod chat;
pub mod clock;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod constraints;
#[cfg(test)]
mod destruction;
pub mod error;
pub mod front;
pub mod functions;
pub mod jobs;
mod json_bounds;
pub mod once;
pub mod operation;
pub mod operations;
pub mod page;
pub mod patience;
pub mod prelude;
pub mod processors;
pub mod quotas;
#[cfg(test)]
mod role_matrix;
pub mod search;
pub mod shapes;
mod tags;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod two_nodes;

pub use carillon_access::{Resealed, RootCredentials};
pub use clock::Clock;
pub use front::query::Declined;
pub use front::service::{Service, Settings};
