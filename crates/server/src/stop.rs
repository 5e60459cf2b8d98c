//! When to stop: the two signals by which operators and terminals say so.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Result};

/// Hears the signals from the moment it is made, so that one that comes during the start is not lost.
pub struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    /// Begins to listen.
    pub fn listen() -> Result<Self> {
        let hear = |kind| {
            signal(kind).map_err(|error| Error::failure(format!("signals cannot be received: {error}")))
        };
        Ok(Self { terminate: hear(SignalKind::terminate())?, interrupt: hear(SignalKind::interrupt())? })
    }

    /// Waits for one, and says which.
    pub async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
