//! One statement: what it is about, and whether it allows or denies.

use super::condition::Condition;
use super::pattern::{Manner, Pattern};
use super::verdict::{Sense, Verdict};
use super::{Context, Request};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) patterns: Vec<Pattern>,
    pub(super) sense: Sense,
}

#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) sid: Option<String>,
    pub(super) effect: Effect,
    pub(super) actions: Scope,
    /// A trust policy has none: it is about the role that it belongs to.
    pub(super) resources: Option<Scope>,
    pub(super) conditions: Vec<Condition>,
}

impl Scope {
    fn holds(&self, text: &str, manner: Manner, context: &Context<'_>, effect: Effect) -> bool {
        let verdicts = self.patterns.iter().map(|pattern| pattern.matches(text, manner, context));
        Verdict::any(verdicts).settle(self.sense, effect)
    }
}

impl Statement {
    /// The condition keys that it reads, in its conditions and by variables.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let resources = self.resources.iter().flat_map(|scope| &scope.patterns);
        resources.flat_map(Pattern::keys).chain(self.conditions.iter().flat_map(Condition::keys))
    }

    pub(super) fn matches(&self, request: &Request<'_>) -> bool {
        let Request { action, resource, context } = request;
        self.actions.holds(action, Manner::AnyCase, context, self.effect)
            && self
                .resources
                .as_ref()
                .is_none_or(|resources| resources.holds(resource, Manner::Exact, context, self.effect))
            && self.conditions.iter().all(|condition| condition.holds(context, self.effect))
    }
}
