//! Policy documents as they were stored, compiled.

use std::sync::Arc;

use carillon_auth::policy::Policy;

use crate::keys::is_known;

/// What keys of conditions have that read tags of what is acted on, whatever stands before it.
const RESOURCE_TAG: &str = ":resourcetag/";

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
        let is_tag = |key: &str| key.to_ascii_lowercase().contains(RESOURCE_TAG);
        let reads_resource_tags = policy.iter().flat_map(Policy::keys).any(is_tag);
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

#[cfg(test)]
mod tests {
    use super::Document;

    /// JSON may spell a letter in more than one way; some libraries never write a plain slash.
    #[test]
    fn a_document_reads_tags_however_its_key_is_spelt() {
        for key in ["aws:ResourceTag/a", r"aws:ResourceTag\/a", r"aws\u003aresourcetag/a"] {
            let text = format!(
                r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Deny", "Action": "*", "Resource": "*",
                   "Condition": {{"StringEquals": {{"{key}": "b"}}}}}}}}"#
            );
            assert!(Document::compile(&text).reads_resource_tags(), "{key}");
        }
        let variable = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*",
            "Condition": {"StringEquals": {"aws:username": "${aws:ResourceTag\/owner}"}}}}"#;
        assert!(Document::compile(variable).reads_resource_tags());
        assert!(!Document::compile(r#"{"Statement": []}"#).reads_resource_tags());
    }
}
