//! One statement: what it is about, and whether it allows or denies.

use std::fmt;

use super::condition::Condition;
use super::pattern::{Manner, Pattern, Reach};
use super::verdict::{Effect, Sense, Verdict};
use super::{Context, Request};

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) patterns: Vec<Pattern>,
    pub(super) sense: Sense,
}

/// Why a statement does not speak of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch<'p> {
    /// It is about other actions.
    Action,
    /// It is about other resources.
    Resource,
    /// A condition does not hold.
    Condition {
        /// The key that it reads.
        key: &'p str,
        /// Whether the request has a value for the key.
        is_given: bool,
    },
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action => f.write_str("the action does not match"),
            Self::Resource => f.write_str("the resource does not match"),
            Self::Condition { key, is_given: true } => write!(f, "the condition on {key} does not match"),
            Self::Condition { key, is_given: false } => {
                write!(f, "the condition on {key} does not match: the request has no value for it")
            }
        }
    }
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

    fn tells_apart(&self, prefix: &str, context: &Context<'_>) -> bool {
        let reaches = || self.patterns.iter().map(|pattern| pattern.reach(prefix, context));
        reaches().all(|reach| reach != Reach::All) && reaches().any(|reach| reach == Reach::Some)
    }
}

impl Statement {
    /// The condition keys that it reads, in its conditions and by variables.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let resources = self.resources.iter().flat_map(|scope| &scope.patterns);
        resources.flat_map(Pattern::keys).chain(self.conditions.iter().flat_map(Condition::keys))
    }

    /// Whether it may speak of one resource that begins with this, and not of another, by what they are called.
    pub(super) fn tells_apart(&self, action: &str, prefix: &str, context: &Context<'_>) -> bool {
        self.actions.holds(action, Manner::AnyCase, context, self.effect)
            && self.resources.as_ref().is_some_and(|resources| resources.tells_apart(prefix, context))
    }

    pub(super) fn matches(&self, request: &Request<'_>) -> bool {
        self.mismatch(request).is_none()
    }

    /// Why it does not speak of a request, unless it does.
    pub(super) fn mismatch(&self, request: &Request<'_>) -> Option<Mismatch<'_>> {
        let Request { action, resource, context } = request;
        if !self.actions.holds(action, Manner::AnyCase, context, self.effect) {
            return Some(Mismatch::Action);
        }
        let of = |resources: &Scope| resources.holds(resource, Manner::Exact, context, self.effect);
        if !self.resources.as_ref().is_none_or(of) {
            return Some(Mismatch::Resource);
        }
        let failed = self.conditions.iter().find(|condition| !condition.holds(context, self.effect))?;
        let key = failed.key();
        Some(Mismatch::Condition { key, is_given: context.get(key).is_some() })
    }
}
