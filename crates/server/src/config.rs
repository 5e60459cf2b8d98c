//! Configuration in two stages: what was written, and what it means.
//!
//! [`Written`] is where every option is declared and documented; [`Settings`] is what the rest of the binary
//! gets to see. Nothing else reads a flag, a variable or the file.

pub(crate) mod audit;
mod exchange;
pub(crate) mod flows;
mod limits;
mod meaning;
mod server;
mod written;

pub use meaning::{Certificate, LogFormat, PublicHost, Settings, StoreAddress};
pub use written::Written;
