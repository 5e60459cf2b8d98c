//! Configuration in two stages: what was written, and what it means.
//!
//! [`Written`] is where every option is declared and documented; [`Settings`] is what the rest of the binary
//! gets to see. Nothing else reads a flag, a variable or the file.

pub(crate) mod audit;
pub mod bots;
mod bus;
mod events;
mod exchange;
pub mod flows;
mod limits;
mod meaning;
pub(crate) mod push;
mod search;
mod server;
mod store;
pub mod streams;
mod tls;
mod written;

pub use bus::BusAddress;
pub use meaning::{Certificate, LogFormat, PublicHost, Settings};
pub use store::StoreAddress;
pub use tls::AcmeSettings;
pub(crate) use tls::Proof;
pub use written::Written;
