//! Yes, no, or unknown; and what becomes of it in a statement.

/// Whether a value matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Yes,
    No,
    /// A variable had no value, or the value is not of the kind that is compared.
    Unknown,
}

/// What a statement that matches does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// Whether a list names what is meant, or what is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sense {
    Listed,
    Others,
}

impl Verdict {
    pub(super) fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    /// Yes if one says yes; otherwise unknown if one does.
    pub(super) fn any(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let mut found = Self::No;
        for verdict in verdicts {
            match verdict {
                Self::Yes => return Self::Yes,
                Self::Unknown => found = Self::Unknown,
                Self::No => {}
            }
        }
        found
    }

    /// What a statement makes of it. The unknown matches nothing; that it is not a match counts only against
    /// the caller.
    pub(super) fn settle(self, sense: Sense, effect: Effect) -> bool {
        match (sense, self) {
            (Sense::Listed, verdict) => verdict == Self::Yes,
            (Sense::Others, Self::Unknown) => effect == Effect::Deny,
            (Sense::Others, verdict) => verdict == Self::No,
        }
    }
}
