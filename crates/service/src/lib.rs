//! What the server does, without sockets: 81 operations, each a synchronous function from a transaction, a call
//! and a request to a response, and the dispatch that stands around them.
//!
//! The crate opens no socket, reads no clock and names no engine. To add an operation: a file under
//! `operations/` with its declaration and its tests, and a line in `operations.rs`; the conformance test
//! compares the declaration with `spec/api.json`.

mod access;
pub mod audit;
pub mod call;
pub mod chat;
pub mod clock;
#[cfg(test)]
mod conformance;
pub mod connect;
#[cfg(test)]
mod constraints;
mod cors;
#[cfg(test)]
mod destruction;
pub mod dispatch;
pub mod error;
pub mod exchange;
pub mod functions;
pub mod invocation;
pub mod jobs;
mod json_bounds;
mod limiter;
pub mod once;
pub mod operation;
pub mod operations;
pub mod page;
pub mod patience;
pub mod prefetch;
pub mod prelude;
pub mod processors;
mod query;
pub mod quotas;
pub mod rates;
pub mod resume;
pub mod retry;
#[cfg(test)]
mod role_matrix;
pub mod route;
mod router;
pub mod service;
pub mod shapes;
mod tags;
#[cfg(test)]
mod testing;
pub mod web_identity;

pub use access::{Resealed, RootCredentials};
pub use clock::Clock;
pub use query::Declined;
pub use service::{Service, Settings};
