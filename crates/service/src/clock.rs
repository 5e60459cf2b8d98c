//! Time, as it is given to the service.

use std::time::Duration;

use carillon_model::Timestamp;

/// A clock. The service's time may be moved by tests; real time judges signatures and nothing else.
pub trait Clock: Send + Sync {
    /// The service's time.
    fn now(&self) -> Timestamp;
    /// Real time.
    fn real(&self) -> Timestamp;
    /// The time since some instant; it never runs backwards, whatever is done to the other two.
    fn steady(&self) -> Duration;
}
