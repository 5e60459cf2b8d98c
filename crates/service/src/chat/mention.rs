//! Whom a message mentions: its attribute `CHIME.mentions` lists their ARNs.

use carillon_model::IdentityArn;
use carillon_model::message::Attributes;

/// The attribute.
const MENTIONS: &str = "CHIME.mentions";

/// Whether a message with these attributes mentions this user or bot.
pub(crate) fn names(attributes: Option<&Attributes>, arn: &IdentityArn) -> bool {
    let named = attributes.into_iter().flatten().filter(|(name, _)| name.as_str() == MENTIONS);
    named.flat_map(|(_, values)| values).any(|value| value.as_str() == arn.as_str())
}
