//! The operations that both interfaces offer, on the same paths: tags of resources of either.

pub mod list_tags_for_resource;
pub mod tag_resource;
pub mod untag_resource;

use crate::operation::Visitor;

/// Shows all of them.
pub(super) fn visit(visitor: &mut impl Visitor) {
    visitor.read::<list_tags_for_resource::ListTagsForResource>();
    visitor.write::<tag_resource::TagResource>();
    visitor.write::<untag_resource::UntagResource>();
}
