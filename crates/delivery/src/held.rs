//! What is held while events are on their way: until all of it is told, nobody says that it was.

use std::sync::Arc;

use tokio::time::Instant;

/// Held until what it stands for was told.
pub(crate) type Guard = Arc<dyn Held>;

/// What events stand for that are on their way.
pub(crate) trait Held: Send + Sync {
    /// When they were committed, where that was here: clocks of two nodes cannot be compared so finely.
    fn committed_at(&self) -> Option<Instant> {
        None
    }
}
