//! Who may do what: the vocabulary of the rules that a chat adds to the account's policies.

use std::fmt;

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
        self.admitting(view).is_some()
    }

    /// The first grant of whoever stands so.
    pub fn admitting(self, view: &View) -> Option<Grant> {
        self.0.iter().copied().find(|grant| grant.holds(view))
    }
}

/// Whom it is for.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((last, before)) = self.0.split_last() else {
            return f.write_str("whom it is about, and nobody else");
        };
        for (at, grant) in before.iter().enumerate() {
            if 0 < at {
                f.write_str(", ")?;
            }
            write!(f, "{grant}")?;
        }
        if !before.is_empty() {
            f.write_str(" and ")?;
        }
        write!(f, "{last}")
    }
}

/// Those who have it.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "administrators of the app instance",
            Self::Moderator => "moderators of the channel",
            Self::Member => "members of the channel that are not hidden",
            Self::MemberIfUnrestricted => "members of a channel that is UNRESTRICTED",
            Self::AnyMember => "members of the channel",
            Self::OutsiderIfPublic => "others where the channel is PUBLIC",
            Self::OutsiderIfOpen => "others where the channel is PUBLIC and UNRESTRICTED",
            Self::Anyone => "everyone of the app instance",
        })
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
