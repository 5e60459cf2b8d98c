//! Who signed a request, and what a policy lets them do.
//!
//! Verification of AWS Signature Version 4, with signing for tests and load, and [`policy`], the evaluation of
//! IAM policies. Everything here is a pure function of bytes and time. The crate deliberately knows no socket,
//! no clock (the caller passes `now`), no HTTP framework and no store: where a secret comes from is behind
//! [`Credentials`], and policies are given as text.

pub mod policy;
mod sigv4;

pub use sigv4::*;
