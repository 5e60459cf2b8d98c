//! What stands before the operations: who asks and whether they may ask at all, which operation is meant, what it
//! costs, what is noted of it, and how its answer is written. Also the other doors: the Query protocol of IAM and STS,
//! the admission to sockets, and the rounds of jobs.
//!
//! Everything below is called from here and imports nothing of it.

mod actions;
pub mod audit;
pub mod bots;
pub mod connect;
pub(crate) mod cors;
pub mod dispatch;
pub mod erasure;
pub mod exchange;
pub mod invocation;
pub(crate) mod limiter;
pub mod limits;
mod onlooker;
mod opening;
pub mod own;
pub mod prefetch;
pub mod push;
pub(crate) mod query;
pub mod rates;
mod ready;
pub mod receipts;
mod recording;
pub mod reports;
pub mod request;
pub mod resume;
pub mod retry;
pub mod roles;
pub mod rounds;
pub mod route;
pub(crate) mod router;
pub mod service;
pub mod shards;
pub mod why;
