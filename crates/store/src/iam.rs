//! Access control: users and roles, their keys and policies, and the issuers whose tokens are taken.
//!
//! Nothing here judges a policy or opens a secret; documents and secrets are kept as they are given. Every change
//! begins with [`claim`], which lets one change happen at a time and tells all nodes that they must read anew.

pub mod access_key;
pub mod inline_policy;
pub mod oidc_provider;
pub mod policy;
pub mod principal;

use crate::{Result, Tx, setting};

pub use access_key::AccessKey;
pub use inline_policy::InlinePolicy;
pub use oidc_provider::OidcProvider;
pub use policy::{Policy, Version};
pub use principal::{Kind, Principal, Trusting};

/// The setting that changes with every change.
const VERSION: &str = "iam version";

/// A tag: key and value.
pub type Tag = (String, String);

/// Begins a change, under a new version. The row is held until the commit, so changes follow one another.
pub fn claim(tx: &mut Tx, version: &str) -> Result<()> {
    setting::set(tx, VERSION, version)
}

/// The version of what is stored; nothing before the first change.
pub fn find_version(tx: &mut Tx) -> Result<Option<String>> {
    setting::find(tx, VERSION)
}

/// Which rows of a list: those below this path whose folded names follow `after`, up to a limit.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The start of their paths; `/` for all.
    pub path: &'a str,
    /// The folded name that they follow; empty for all.
    pub after: &'a str,
    /// How many.
    pub limit: i64,
}

/// Names are compared without regard to case.
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}
