//! The operations that both interfaces offer, on the same paths: tags of resources of either.

pub mod list_tags_for_resource;
pub mod tag_resource;
pub mod untag_resource;
