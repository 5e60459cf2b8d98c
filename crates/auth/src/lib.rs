//! Who signed a request: verification of AWS Signature Version 4, and signing for tests and load.
//!
//! Everything here is a pure function of bytes and time. The crate deliberately knows no socket, no clock
//! (the caller passes `now`), no HTTP framework and no store: where a secret comes from is behind
//! [`Credentials`].

mod sigv4;

pub use sigv4::*;
