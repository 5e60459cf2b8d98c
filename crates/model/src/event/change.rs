//! What an event changes about who is told of later ones.

use serde::{Deserialize, Serialize};

use crate::channel::Membership;
use crate::key::Key;
use crate::text::ChannelMembershipType;

/// What an event changes about who is told of later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// From here on this user is told.
    Joined {
        /// Who.
        member: Key,
        /// Where.
        sub_channel: Key,
        /// As a hidden member.
        hidden: bool,
    },
    /// From here on this user is not told.
    Left {
        /// Who.
        member: Key,
        /// Where.
        sub_channel: Key,
        /// As a hidden member.
        #[serde(default)]
        hidden: bool,
    },
    /// From here on nobody is told: the place is no more.
    Ended {
        /// Where.
        sub_channel: Key,
    },
    /// From here on this user is told nothing anywhere: they are no more, and their sessions end.
    Gone {
        /// Who.
        user: Key,
    },
}

impl Change {
    /// Someone belongs to where their membership is.
    pub(super) fn joined(membership: &Membership) -> Self {
        Self::Joined {
            member: membership.member.key,
            sub_channel: membership.sub_channel,
            hidden: membership.kind == ChannelMembershipType::Hidden,
        }
    }

    /// Someone does not belong to a sub-channel any more, where they had this membership.
    pub(super) fn left(membership: &Membership, sub_channel: Key) -> Self {
        let hidden = membership.kind == ChannelMembershipType::Hidden;
        Self::Left { member: membership.member.key, sub_channel, hidden }
    }
}
