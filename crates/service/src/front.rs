//! What stands before the operations: who asks and whether they may ask at all, which operation is meant, what it
//! costs, what is noted of it, and how its answer is written. Also the two other doors: the Query protocol of IAM and
//! STS, and the admission to sockets.
//!
//! Everything below is called from here and imports nothing of it.

pub mod audit;
pub mod connect;
pub(crate) mod cors;
pub mod dispatch;
pub mod exchange;
pub mod invocation;
pub(crate) mod limiter;
pub mod prefetch;
pub(crate) mod query;
pub mod rates;
pub mod resume;
pub mod retry;
pub mod route;
pub(crate) mod router;
pub mod service;
pub mod web_identity;
