//! Deny before allow before nothing.

use super::statement::Effect;
use super::{Policy, Request};

/// What policies say to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'p> {
    /// A statement denies; nothing lifts that.
    ExplicitDeny(Gate<'p>),
    /// A statement allows, and none denies.
    Allow(Gate<'p>),
    /// No statement speaks of it, so it is refused.
    Implicit,
}

/// The statement that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate<'p> {
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

    /// What remains of it within another: a role's policies within the policies of its session. Both must
    /// allow, either may deny.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        match (self, other) {
            (Self::ExplicitDeny(_), _) | (Self::Allow(_), Self::Allow(_)) => self,
            (_, Self::ExplicitDeny(_)) => other,
            _ => Self::Implicit,
        }
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
            let gate = Gate { policy: policy_at, statement: at, sid: statement.sid.as_deref() };
            match statement.effect {
                Effect::Deny => return Decision::ExplicitDeny(gate),
                Effect::Allow => decision = Decision::Allow(gate),
            }
        }
    }
    decision
}

/// The request that was refused, with the decision that refused it.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'r, 'p> {
    /// The request: its action and resource name the gate for the client.
    pub request: Request<'r>,
    /// Never an allowance.
    pub decision: Decision<'p>,
}

/// Demands that every request is allowed, as an operation on a channel needs both the bearer's ARN and the
/// channel's.
pub fn require_all<'r, 'p>(
    requests: impl IntoIterator<Item = Request<'r>>,
    decide: impl Fn(&Request<'r>) -> Decision<'p>,
) -> Result<(), Refused<'r, 'p>> {
    for request in requests {
        let decision = decide(&request);
        if !decision.is_allowed() {
            return Err(Refused { request, decision });
        }
    }
    Ok(())
}

/// Demands that one request is allowed and none denied: for what older policies name differently. With no
/// request at all there is nothing to allow, and nothing is refused either.
pub fn require_any<'r, 'p>(
    requests: impl IntoIterator<Item = Request<'r>>,
    decide: impl Fn(&Request<'r>) -> Decision<'p>,
) -> Result<(), Refused<'r, 'p>> {
    let mut allowed = false;
    let mut first_refused = None;
    for request in requests {
        let decision = decide(&request);
        match decision {
            Decision::ExplicitDeny(_) => return Err(Refused { request, decision }),
            Decision::Allow(_) => allowed = true,
            Decision::Implicit => first_refused = first_refused.or(Some(Refused { request, decision })),
        }
    }
    match first_refused {
        Some(refused) if !allowed => Err(refused),
        _ => Ok(()),
    }
}
