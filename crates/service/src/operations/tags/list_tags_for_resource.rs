//! `ListTagsForResource`: all tags of a resource, in the order of their keys. Their number has a quota.

use crate::prelude::*;

/// The request.
#[operation(GET "/tags" => 200, Listed)]
#[errors(BadRequest)]
pub struct ListTagsForResource {
    /// What is tagged.
    #[member("ResourceARN")]
    #[query("arn")]
    pub resource_arn: ResourceArn,
}

/// The answer.
#[shape]
pub struct Listed {
    /// The tags.
    pub tags: Vec<Tag>,
}

impl Read for ListTagsForResource {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        crate::tags::must_exist(tx, call, &self.resource_arn)?;
        let tags = store::tag::list(tx, self.resource_arn.as_str())?;
        Ok(Listed { tags: tags.into_iter().map(|(key, value)| Tag { key, value }).collect() })
    }
}
