//! What the policies of a caller say, and within them those that narrow its session.

use carillon_auth::policy::{Decision, Policy, Request, decide};

use crate::caller::Caller;
use crate::document::Held;

/// What policies say of one ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// One allows it, and none denies.
    Allowed,
    /// None of these speaks of it.
    NotAllowed(Layer),
    /// One of these denies it.
    Denied(Layer),
}

/// Whose policies they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Those of the user or the role.
    Identity,
    /// Those that narrow the session.
    Session,
}

impl Layer {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Identity => "identity-based",
            Self::Session => "session",
        }
    }

    pub(crate) fn article_and_words(self) -> &'static str {
        match self {
            Self::Identity => "an identity-based",
            Self::Session => "a session",
        }
    }
}

/// What the policies of a caller that is not root say, within those of its session.
pub(crate) fn verdict(caller: &Caller, request: &Request<'_>) -> Verdict {
    verdict_told(caller, request, &mut |_, _, _| {})
}

/// The same, where somebody is told of each decision on the way: whose policies, which, and what they decide together;
/// nothing is decided where one cannot be read.
pub(crate) fn verdict_told(
    caller: &Caller,
    request: &Request<'_>,
    tell: &mut impl FnMut(Layer, &[Held], Option<&Decision<'_>>),
) -> Verdict {
    let own = verdict_of(Layer::Identity, caller.documents(), request, tell);
    let session = caller.session_documents();
    if session.is_empty() || matches!(own, Verdict::Denied(_)) {
        return own;
    }
    match (own, verdict_of(Layer::Session, session, request, tell)) {
        (_, denied @ Verdict::Denied(_)) => denied,
        (Verdict::Allowed, narrowed) => narrowed,
        (own, _) => own,
    }
}

/// What policies of one layer say. One that cannot be read denies everything.
fn verdict_of(
    layer: Layer,
    documents: &[Held],
    request: &Request<'_>,
    tell: &mut impl FnMut(Layer, &[Held], Option<&Decision<'_>>),
) -> Verdict {
    if documents.iter().any(|held| held.document.policy().is_none()) {
        tell(layer, documents, None);
        return Verdict::Denied(layer);
    }
    let decision = decide(compiled(documents), request);
    tell(layer, documents, Some(&decision));
    match decision {
        Decision::Allow(_) => Verdict::Allowed,
        Decision::Implicit => Verdict::NotAllowed(layer),
        Decision::ExplicitDeny(_) => Verdict::Denied(layer),
    }
}

/// Whether the policies that narrow a session let it do something that its own policies need not allow: because the
/// one who is acted on trusts it by name.
pub(crate) fn verdict_of_trusted(caller: &Caller, request: &Request<'_>) -> Verdict {
    let session = caller.session_documents();
    match verdict(caller, request) {
        Verdict::NotAllowed(_) if session.is_empty() => Verdict::Allowed,
        Verdict::NotAllowed(_) => verdict_of(Layer::Session, session, request, &mut |_, _, _| {}),
        verdict => verdict,
    }
}

fn compiled(documents: &[Held]) -> impl Iterator<Item = &Policy> {
    documents.iter().filter_map(|held| held.document.policy())
}
