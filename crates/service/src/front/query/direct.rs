//! IAM without a socket: for whoever runs this process and may read its store, as root.
//!
//! It is the same table of actions; only signature and XML fall away.

use std::sync::Arc;

use serde_json::Value;

use super::Protocol;
use super::call::QueryCall;
use super::form::Form;
use super::xml::Element;
use crate::access::{Caller, Surrounding};
use crate::front::service::Service;

/// Why an action was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    /// The code that clients of IAM act on, as `NoSuchEntity`.
    pub code: &'static str,
    /// What a person reads.
    pub message: String,
}

impl Service {
    /// Does an action of IAM as root, and says so in the audit log. Its answer is JSON: texts, objects, and lists.
    pub async fn manage(self: &Arc<Self>, parameters: Vec<(String, String)>) -> Result<Value, Declined> {
        let request_id = self.new_id();
        let draft = self.draft_of_root(&request_id);
        let call = QueryCall::new(self, Some(Caller::root()), Surrounding::default(), &request_id);
        let call = call.noting(draft.notes());
        match self.act(Protocol::Iam, call, Form::of(parameters), draft).await {
            Ok(elements) => Ok(Element::of("", elements).into_json()),
            Err(fault) => {
                if let Some(source) = &fault.source {
                    tracing::error!(code = fault.code, %source, "{}", fault.message);
                }
                Err(Declined { code: fault.code, message: fault.message.into_owned() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_become_lists_objects_and_texts() {
        let user = |name| Element::of("member", [Element::text("UserName", name)]);
        let root = Element::of(
            "",
            [
                Element::text("IsTruncated", false),
                Element::of("Users", [user("ana"), user("bob")]),
                Element::of("Tags", []),
                Element::text("PolicyDocument", "%7B%22a%22%3A%201%7D"),
            ],
        );
        let expected = json!({
            "IsTruncated": "false",
            "Users": [{ "UserName": "ana" }, { "UserName": "bob" }],
            "Tags": [],
            "PolicyDocument": "{\"a\": 1}",
        });
        assert_eq!(root.into_json(), expected);
    }
}
