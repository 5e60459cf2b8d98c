//! Who may do what: the vocabulary of the rules that a chat adds to the account's policies.

use super::View;

/// A rule: whoever has one of these grants is admitted.
#[derive(Debug, Clone, Copy)]
pub struct Rule(pub &'static [Grant]);

/// One reason to be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Administers the app instance.
    Admin,
    /// Moderates the channel.
    Moderator,
    /// Belongs to the channel, and is not hidden.
    Member,
    /// Belongs to the channel, is not hidden, and the channel is `UNRESTRICTED`.
    MemberIfUnrestricted,
    /// Belongs to the channel, hidden or not.
    AnyMember,
    /// Does not belong to the channel, and the channel is `PUBLIC`.
    OutsiderIfPublic,
    /// Does not belong to the channel, and it is `PUBLIC` and `UNRESTRICTED`.
    OutsiderIfOpen,
    /// Is a user or a bot of the same app instance.
    Anyone,
}

impl Rule {
    /// Whether the rule admits whoever stands so.
    pub fn admits(self, view: &View) -> bool {
        self.0.iter().any(|grant| grant.holds(view))
    }
}

impl Grant {
    fn holds(self, view: &View) -> bool {
        match self {
            Self::Admin => view.is_admin,
            Self::Moderator => view.is_moderator,
            Self::Member => view.is_member(),
            Self::MemberIfUnrestricted => view.is_member() && view.channel.is_unrestricted(),
            Self::AnyMember => !view.memberships.is_empty(),
            Self::OutsiderIfPublic => view.memberships.is_empty() && view.channel.is_public(),
            Self::OutsiderIfOpen => {
                view.memberships.is_empty() && view.channel.is_public() && view.channel.is_unrestricted()
            }
            Self::Anyone => true,
        }
    }
}
