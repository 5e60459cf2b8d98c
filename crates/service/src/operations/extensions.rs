//! What the original lacks: operations of our own, under `/_carillon/v1/`, that are signed, decided and answered as all
//! others are. `spec/extensions.json` describes them in the form of `spec/api.json`.

pub mod list_channel_read_markers;

use crate::operation::Visitor;

/// Shows all of them.
pub(super) fn visit(visitor: &mut impl Visitor) {
    visitor.read::<list_channel_read_markers::ListChannelReadMarkers>();
}
