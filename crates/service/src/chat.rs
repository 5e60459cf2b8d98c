//! What happens in a chat: to channels, to people, to members, to messages. Each is a noun with verbs, functions of a
//! transaction, which operations and jobs call alike.
//!
//! A verb claims nothing: whoever calls it holds the claim of the channel that it is about. It knows no request and no
//! rule of who may do what.

pub mod balancing;
pub mod bots;
pub(crate) mod channel;
pub(crate) mod content;
pub mod flow;
pub(crate) mod mention;
pub(crate) mod message;
pub mod operator;
pub(crate) mod person;
pub(crate) mod placement;
pub(crate) mod push;
pub(crate) mod receipts;
pub mod retention;
pub(crate) mod seen;
pub(crate) mod traces;
