//! The operations, by what they concern. A new one is a file below, and two lines in the module of its interface.

pub mod extensions;
pub mod identity;
pub mod messaging;
pub mod tags;

use crate::operation::Visitor;

/// Shows all operations.
pub fn visit(visitor: &mut impl Visitor) {
    identity::visit(visitor);
    tags::visit(visitor);
    messaging::visit(visitor);
    extensions::visit(visitor);
}
