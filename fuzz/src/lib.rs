//! Everything that takes bytes from outside, each as a plain function of bytes: a target. Whatever the bytes are, it
//! returns; what must hold of its answer it asserts.
//!
//! [`hunt`] throws altered seeds at a target on any toolchain; `cargo xtask fuzz` starts it for as long as one likes,
//! and the tests here for a moment. `libfuzzer/` does the same by coverage, for who has a nightly toolchain and
//! cargo-fuzz. To add a target: a function in `targets/`, a line in [`TARGETS`], and a seed or two in `seeds/`.

pub mod hunt;
mod mutate;
mod outcome;
mod seeds;
pub mod targets;

pub use seeds::seeds;
pub use targets::{TARGETS, Target};
