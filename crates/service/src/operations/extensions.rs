//! What the original lacks: operations of our own, under `/_carillon/v1/`, that are signed, decided and answered as all
//! others are. `spec/extensions.json` describes them in the form of `spec/api.json`.

pub mod list_channel_read_markers;
pub mod list_unread_counts;
pub mod search_channel_messages;

use crate::operation::Visitor;

/// Shows all of them.
pub(super) fn visit(visitor: &mut impl Visitor) {
    visitor.read::<list_channel_read_markers::ListChannelReadMarkers>();
    visitor.read::<list_unread_counts::ListUnreadCounts>();
    visitor.read::<search_channel_messages::SearchChannelMessages>();
}
