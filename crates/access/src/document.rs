//! Policy documents as they were stored, compiled.

use std::sync::Arc;

use carillon_auth::policy::Policy;

use crate::keys::is_known;

/// A document. One that cannot be compiled denies everything, whatever stands beside it: it was legal when it was
/// stored, so another version of this server knows more of it, and what it denies must not be allowed.
pub(crate) struct Document {
    policy: Option<Policy>,
    reads_resource_tags: bool,
}

impl Document {
    /// Compiles a document that was checked when it was given.
    pub(super) fn compile(text: &str) -> Self {
        let policy = Policy::parse(text);
        if let Err(reason) = &policy {
            tracing::error!(%reason, "a stored policy cannot be read; whoever has it may do nothing");
        }
        let reads_resource_tags = text.to_ascii_lowercase().contains(":resourcetag/");
        Self { policy: policy.ok(), reads_resource_tags }
    }

    /// Says in the log which keys a stored document reads that no request brings.
    pub(super) fn name_unknown_keys(&self, principal: &str) {
        let keys = self.policy.iter().flat_map(Policy::keys);
        for key in keys.filter(|key| !is_known(key)) {
            warn_of_key(principal, key);
        }
    }

    /// The policy, unless it cannot be read.
    pub(super) fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// Whether its decisions may depend on the tags of what is acted on.
    pub(super) fn reads_resource_tags(&self) -> bool {
        self.reads_resource_tags
    }
}

/// A document as somebody holds it: several may hold one, each under a name of their own.
#[derive(Clone)]
pub(crate) struct Held {
    /// The name of the policy.
    pub(crate) name: String,
    /// What it says.
    pub(crate) document: Arc<Document>,
}

impl Held {
    /// One that nobody else holds.
    pub(crate) fn alone(name: impl Into<String>, text: &str) -> Self {
        Self { name: name.into(), document: Arc::new(Document::compile(text)) }
    }
}

/// Says in the log that a stored policy reads a key that no request brings.
pub(super) fn warn_of_key(principal: &str, key: &str) {
    tracing::warn!(principal, key, "a stored policy reads a condition key that no request here brings");
}
