//! Why a document is not a policy.

use std::fmt;

/// Where a document is wrong, and what is wrong there. `Display` says both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The way to the element, outermost first: `Statement[0]`, `Condition`, `StringEqual`.
    path: Vec<String>,
    problem: String,
}

impl Malformed {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { path: Vec::new(), problem: problem.into() }
    }

    /// The same fault, seen from one element further out.
    pub(super) fn within(mut self, element: impl Into<String>) -> Self {
        self.path.insert(0, element.into());
        self
    }

    /// The element that is wrong, as `Statement[0].Condition.StringEqual`; empty for the document as a whole.
    pub fn place(&self) -> String {
        self.path.join(".")
    }

    /// What is wrong with it, as a sentence without its subject.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return write!(f, "The policy {}.", self.problem);
        }
        write!(f, "The policy is malformed at {}: {}.", self.place(), self.problem)
    }
}

impl std::error::Error for Malformed {}
