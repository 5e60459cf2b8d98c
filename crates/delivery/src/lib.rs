//! From a commit to a screen: the bus that tells sessions what happened, and the sessions.
//!
//! Live delivery is whole and in order, or the session is closed with a code on which clients reconnect; it is
//! never silently gapped. The crate knows no operation and no policy: an event says itself who is told.

mod hub;
mod places;
mod session;

pub use hub::Hub;
pub use places::{Close, Entrance};
pub use session::{Expiry, Opening, Shown, refuse};
