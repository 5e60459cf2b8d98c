//! The nouns of the service: names, times, texts, and what channels, members and messages are.
//!
//! Everything here is plain data. The crate knows no SQL, no HTTP and no clock.
//! Constraints belong to types: a value of [`text::Metadata`] exists only if it keeps the limits of
//! `spec/api.json`, so it is checked once, where a request is read, and never again.

pub mod arn;
pub mod bot;
pub mod channel;
pub mod channel_flow;
pub mod endpoint;
pub mod event;
pub mod filter;
pub mod identity;
pub mod json;
pub mod key;
pub mod message;
pub mod session;
pub mod shape;
pub mod text;
pub mod timestamp;

pub use arn::{AppInstanceArn, ChannelArn, ChannelFlowArn, IdentityArn, ResourceArn};
pub use key::{Key, MessageKey};
pub use timestamp::Timestamp;
