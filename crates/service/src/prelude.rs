//! What the file of an operation needs.

pub use crate::call::rule::{Grant, Rule};
pub use crate::call::{Call, View};
pub use crate::error::{Error, Result};
pub use crate::operation::{Operation, Read, Write};
pub use crate::page::Page;
pub use crate::shapes::*;
pub use carillon_macros::{operation, shape};
pub use carillon_model::text::*;
pub use carillon_model::{
    AppInstanceArn, ChannelArn, ChannelFlowArn, IdentityArn, Key, MessageKey, ResourceArn, Timestamp,
};
pub use carillon_store::claim::Claim;
pub use carillon_store::{self as store, Lane, Look, Tx};
