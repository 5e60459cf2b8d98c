//! Deny before allow before nothing.

use super::verdict::Effect;
use super::{Policy, Request};

/// What policies say to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'p> {
    /// A statement denies; nothing lifts that.
    ExplicitDeny(DecidedBy<'p>),
    /// A statement allows, and none denies.
    Allow(DecidedBy<'p>),
    /// No statement speaks of it, so it is refused.
    Implicit,
}

/// The statement that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecidedBy<'p> {
    /// The place of its policy among those that were given.
    pub policy: usize,
    /// Its place in that policy.
    pub statement: usize,
    /// Its `Sid`, unless it has none.
    pub sid: Option<&'p str>,
}

impl Decision<'_> {
    /// Whether the request may be done.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// What these policies say together.
pub fn decide<'p>(policies: impl IntoIterator<Item = &'p Policy>, request: &Request<'_>) -> Decision<'p> {
    let mut decision = Decision::Implicit;
    for (policy_at, policy) in policies.into_iter().enumerate() {
        for (at, statement) in policy.statements().iter().enumerate() {
            let wanted = statement.effect == Effect::Deny || decision == Decision::Implicit;
            if !wanted || !statement.matches(request) {
                continue;
            }
            let by = DecidedBy { policy: policy_at, statement: at, sid: statement.sid.as_deref() };
            match statement.effect {
                Effect::Deny => return Decision::ExplicitDeny(by),
                Effect::Allow => decision = Decision::Allow(by),
            }
        }
    }
    decision
}
