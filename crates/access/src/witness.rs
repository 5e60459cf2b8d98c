//! What the gate looks at, kept for whoever asks why: it watches the decisions that count, and makes none.

use std::sync::{Mutex, PoisonError};

use carillon_auth::policy::{DecidedBy, Decision, Request};

use crate::caller::Caller;
use crate::document::Held;
use crate::verdict::{Layer, Verdict, verdict_told};

/// How one statement stood to one thing that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The action.
    pub action: String,
    /// The ARN, or `*`.
    pub resource: String,
    /// The name of the policy.
    pub policy: String,
    /// The statement's `Sid`, unless it has none.
    pub sid: Option<String>,
    /// Whether it allows what it speaks of; otherwise it denies it.
    pub allows: bool,
    /// Why it does not speak of this, unless it does.
    pub mismatch: Option<String>,
    /// Whether it decided what was asked.
    pub decides: bool,
}

/// Keeps what a gate looked at.
#[derive(Debug, Default)]
pub struct Witness(Mutex<Vec<Seen>>);

impl Witness {
    /// All that was looked at, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what it saw: the gate is passed anew, because its transaction runs again.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What policies say of one ask, watched.
    pub(crate) fn watch(&self, caller: &Caller, request: &Request<'_>) -> Verdict {
        let mut seen = Vec::new();
        let verdict = verdict_told(caller, request, &mut |layer, documents, decision| {
            for (policy, held) in documents.iter().enumerate() {
                let chosen = (policy, decision);
                seen.extend(read(held, request, chosen).into_iter().map(|one| (layer, one)));
            }
        });
        let decided = |layer: Layer, one: &Seen| match verdict {
            Verdict::Allowed => one.allows,
            Verdict::Denied(denying) => !one.allows && layer == denying,
            Verdict::NotAllowed(_) => false,
        };
        let seen =
            seen.into_iter().map(|(layer, one)| Seen { decides: one.decides && decided(layer, &one), ..one });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(seen);
        verdict
    }
}

/// How the statements of one document stand to a request; of one that cannot be read, which denies everything, one
/// stands for all.
fn read(held: &Held, request: &Request<'_>, (at, decision): (usize, Option<&Decision<'_>>)) -> Vec<Seen> {
    let chosen = match decision {
        Some(Decision::Allow(by) | Decision::ExplicitDeny(by)) => Some(*by),
        Some(Decision::Implicit) | None => None,
    };
    let seen = |sid: Option<&str>, allows, mismatch, decides| Seen {
        action: request.action.to_owned(),
        resource: request.resource.to_owned(),
        policy: held.name.clone(),
        sid: sid.map(str::to_owned),
        allows,
        mismatch,
        decides,
    };
    let Some(policy) = held.document.policy() else {
        return vec![seen(None, false, None, decision.is_none())];
    };
    let is_chosen =
        |statement| chosen.is_some_and(|by: DecidedBy<'_>| (by.policy, by.statement) == (at, statement));
    let readings = policy.readings(request).enumerate();
    let read = readings.map(|(statement, reading)| {
        let mismatch = reading.mismatch.map(|mismatch| mismatch.to_string());
        seen(reading.sid, reading.allows, mismatch, is_chosen(statement))
    });
    read.collect()
}
