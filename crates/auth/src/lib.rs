//! Who signed a request, what a policy lets them do, and what nobody else may read.
//!
//! Verification of AWS Signature Version 4, with signing for tests and load, [`policy`], the evaluation of IAM
//! policies, [`jwt`], the tokens of identity providers, and [`seal`], the sealing of secrets and tokens. Everything
//! here is a pure function of bytes and time. The crate deliberately knows no socket, no clock (the caller passes
//! `now`), no HTTP framework and no store: where a secret comes from is behind [`Credentials`], and policies are
//! given as text.

pub mod jwt;
pub mod policy;
pub mod seal;
mod sigv4;

pub use seal::{KeyRing, Sealer};
pub use sigv4::*;
