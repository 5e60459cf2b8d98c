//! Whose preferences may be read and written: one's own, in a channel that is not elastic, whatever one's role.

use carillon_model::{ChannelArn, IdentityArn};
use carillon_store::Tx;

use crate::call::rule::{Grant, Rule};
use crate::call::{Call, View};
use crate::error::{Error, Result};

const OWN: Rule = Rule(&[Grant::AnyMember]);
const ANOTHERS: Rule = Rule(&[]);

/// The channel, for a member who asks about themselves.
pub(super) fn view_own(tx: &mut Tx, call: &Call, arn: &ChannelArn, member: &IdentityArn) -> Result<View> {
    let rule = if call.bearer_arn()? == member { OWN } else { ANOTHERS };
    let view = call.view_channel(tx, arn, rule)?;
    if view.channel.elastic.is_some() {
        return Err(Error::bad_request("ChannelArn: the members of an elastic channel have no preferences"));
    }
    Ok(view)
}
