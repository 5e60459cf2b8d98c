//! Roles that are built in: whoever wires the server says which there are, and nobody can change them.

use carillon_model::Timestamp;
use carillon_store::iam::{Kind, Principal};

use crate::document::Held;
use crate::snapshot::Actor;

/// A role that nobody has made.
#[derive(Debug, Clone)]
pub struct BuiltIn {
    /// Its id. Ids of other roles have no small letters.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its policy.
    pub policy: String,
}

impl BuiltIn {
    pub(crate) fn compile(&self) -> Actor {
        Actor {
            principal: Principal {
                id: self.id.to_owned(),
                kind: Kind::Role,
                name: self.name.to_owned(),
                path: "/".to_owned(),
                tags: Vec::new(),
                created_at: Timestamp::from_ms(0),
                trusting: None,
            },
            arn: format!("arn:aws:iam::aws:role/{}", self.name),
            documents: vec![Held::alone(self.name, &self.policy)],
            trust: None,
        }
    }
}
