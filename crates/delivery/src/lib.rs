//! From a commit to a screen: the bus that tells sessions what happened, and the sessions.
//!
//! Live delivery is whole and in order, or the session is closed with a code on which clients reconnect; it is
//! never silently gapped. The crate knows no operation and no policy: an event says itself who is told.

mod beats;
mod bus;
mod floors;
mod frames;
mod held;
mod hub;
mod journal;
mod ledger;
mod news;
mod node;
mod places;
mod session;
mod socket;
#[doc(hidden)]
pub mod testing;
mod user;
mod web_socket;

pub use bus::{Bus, BusError, Carrier, Hearer, NatsSettings};
pub use hub::Hub;
pub use socket::{Expiry, Opening, Serving, refuse};
pub use web_socket::{Stream, WebSocket};
