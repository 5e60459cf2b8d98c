//! `UntagResource`: takes tags away; a key that is not there is passed over.

use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(POST "/tags?operation=untag-resource" => 204, NoContent)]
#[errors(BadRequest)]
pub struct UntagResource {
    /// What is tagged.
    #[member("ResourceARN")]
    pub resource_arn: ResourceArn,
    /// The keys.
    #[length(1, 50)]
    pub tag_keys: Vec<TagKey>,
}

impl Write for UntagResource {
    fn lane(&self) -> Lane {
        Lane::of(&self.resource_arn)
    }

    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        crate::tags::enter(tx, call, &self.resource_arn)?;
        for key in &self.tag_keys {
            store::tag::delete(tx, self.resource_arn.as_str(), key)?;
        }
        Ok(NoContent {})
    }
}
