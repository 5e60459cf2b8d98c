//! What IAM policies allow: documents compiled once, then asked many times.
//!
//! ```
//! use carillon_auth::policy::{Context, Entry, Policy, Request, Value, decide};
//!
//! let policy = Policy::parse(r#"{"Version": "2012-10-17", "Statement": {"Sid": "Own", "Effect": "Allow",
//!     "Action": "chime:Connect", "Resource": "arn:aws:chime:::app-instance/a/user/${aws:PrincipalTag/id}"}}"#)?;
//! let session = [Entry::tag("aws:PrincipalTag/", "id", "ana")];
//! let request = [Entry::new("aws:SecureTransport", Value::Bool(true))];
//! let session = Context::new(&session);
//! let context = Context::new(&request).over(&session);
//! let of = |resource| decide([&policy], &Request { action: "chime:Connect", resource, context: &context });
//! assert!(of("arn:aws:chime:::app-instance/a/user/ana").is_allowed());
//! assert!(!of("arn:aws:chime:::app-instance/a/user/bob").is_allowed());
//! # Ok::<(), carillon_auth::policy::Malformed>(())
//! ```
//!
//! A document goes `json` → `document` → statements of patterns and conditions; all that can be wrong with
//! it is found there, so a decision cannot fail. A decision goes `decision` → `statement` → `pattern` and
//! `condition`, and reads the request's [`Context`]. Cost is bounded by document and request: nothing backtracks
//! but to the last `*`.
//!
//! Where a value cannot be known (a variable without value, text where a number is compared), a test holds for
//! nothing; and its negation (`NotResource`, `StringNotEquals`, …) holds only in a statement that denies.
//! Nothing is allowed because something was missing.
//!
//! Nothing here knows which resources an operation is checked on, where policies are kept, or who the caller is.
//! To add a condition operator: a row in `operator`, and what it compares in `operands`.

mod condition;
mod context;
mod decision;
mod document;
mod json;
mod limits;
mod malformed;
mod operands;
mod operator;
mod pattern;
mod statement;
mod trust;
mod verdict;

#[cfg(test)]
mod tests;

pub use context::{Context, Entry, Request, Value};
pub use decision::{DecidedBy, Decision, decide};
pub use document::{Policy, Reading};
pub use limits::*;
pub use malformed::Malformed;
pub use statement::Mismatch;
pub use trust::{Caller, Trust, TrustPolicy};
