//! What all operations that take tags share.

use carillon_model::ResourceArn;
use carillon_model::arn::Resource;
use carillon_store::{self as store, Tx};

use crate::call::Call;
use crate::error::{Error, Result};
use crate::shapes::Tag;

/// Refuses tags that share a key, or take one of AWS's own.
pub(crate) fn check(tags: Option<&[Tag]>) -> Result<()> {
    let tags = tags.unwrap_or_default();
    for (at, tag) in tags.iter().enumerate() {
        if tag.key.as_str().starts_with("aws:") {
            return Err(Error::bad_request("Tags: keys that begin with aws: are reserved"));
        }
        if tags[..at].iter().any(|other| other.key == tag.key) {
            return Err(Error::bad_request("Tags: a key may be given only once"));
        }
    }
    Ok(())
}

/// Sets the tags of a new resource.
pub(crate) fn set(tx: &mut Tx, resource: &str, tags: Option<&[Tag]>) -> Result<()> {
    for tag in tags.unwrap_or_default() {
        store::tag::set(tx, resource, &tag.key, &tag.value)?;
    }
    Ok(())
}

/// Refuses the ARN of a resource that does not exist, and otherwise keeps others from its tags. All but channels have
/// their lane for that.
pub(crate) fn enter(tx: &mut Tx, call: &Call, arn: &ResourceArn) -> Result<()> {
    must_exist(tx, call, arn)?;
    match arn.resource() {
        Resource::Channel(arn) => Ok(store::claim::hold_by_arn(tx, &arn)?),
        _ => Ok(()),
    }
}

/// Refuses the ARN of a resource that does not exist.
pub(crate) fn must_exist(tx: &mut Tx, call: &Call, arn: &ResourceArn) -> Result<()> {
    let exists = call.surroundings.home.owns(arn.as_str())
        && match arn.resource() {
            Resource::AppInstance(arn) => match arn.key() {
                Some(key) => store::app_instance::exists(tx, key)?,
                None => false,
            },
            Resource::Identity(arn) => store::identity::find(tx, &arn)?.is_some(),
            Resource::Channel(arn) => store::channel::exists(tx, &arn)?,
            Resource::ChannelFlow(arn) => store::channel_flow::find(tx, &arn)?.is_some(),
        };
    if exists { Ok(()) } else { Err(Error::forbidden("The resource does not exist")) }
}
