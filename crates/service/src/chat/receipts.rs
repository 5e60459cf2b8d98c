//! Whether the members of a channel learn how far the others have read it. A read marker is its reader's alone, unless
//! a tag of the channel, or of its app instance, says that it is shared.

use carillon_model::ChannelArn;
use carillon_store::{self as store, Tx};

use crate::error::Result;

/// The tag that decides: of the channel, and where it has none, of its app instance.
pub(crate) const TAG: &str = "carillon:read-receipts";
/// Its one value that shares them.
pub(crate) const ON: &str = "on";

/// Whether read markers of this channel are shared with its members.
pub(crate) fn are_shared(tx: &mut Tx, channel: &ChannelArn) -> Result<bool> {
    let value = store::tag::find_nearest(tx, channel.as_str(), channel.app_instance().as_str(), TAG)?;
    Ok(value.is_some_and(|value| value.as_str() == ON))
}
