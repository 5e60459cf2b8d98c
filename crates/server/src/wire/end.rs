//! Taking the server apart again, from the outside in.

use std::time::Duration;

use super::Running;
use crate::error::{Error, Result};

/// How long requests in flight, and sockets, may take to end. With the store's time it stays within the ten
/// seconds after which supervisors kill.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests may take to end whose clients have hung up, once the listeners are closed.
const REQUESTS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long saying the last to other nodes may take.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the store may take to write what is queued.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);

impl Running {
    /// Runs until a signal says to stop, or the store cannot go on or is another server's, then takes the server
    /// apart.
    pub(crate) async fn run(mut self) -> Result<()> {
        let mut ended = self.ended().await;
        self.front.stop();
        if ended.is_ok() {
            ended = self.drain().await;
        }
        self.take_apart().await;
        ended
    }

    /// Waits for a reason to stop.
    async fn ended(&mut self) -> Result<()> {
        tokio::select! {
            signal = self.stop.received() => {
                tracing::info!(signal, "stopping");
                Ok(())
            }
            error = self.tenure.lost() => {
                tracing::error!(%error, "stopping");
                Err(error)
            }
            error = self.service.store().outgrown() => {
                tracing::error!(%error, "stopping");
                let hint = "Start the carillon that brought the store there in the place of this one.";
                Err(Error::failure(error.to_string()).hint(hint))
            }
            () = self.service.store().given_up() => {
                tracing::error!("stopping: a worker of the store panicked");
                let hint = "The log says where; start the server again.";
                Err(Error::failure("a worker of the store panicked").hint(hint))
            }
        }
    }

    /// Sends the sockets away, one after the other, while calls are served as before. Whatever ends a server that runs
    /// ends that, a second signal too.
    async fn drain(&mut self) -> Result<()> {
        if self.drain.is_zero() {
            return Ok(());
        }
        tracing::info!(seconds = self.drain.as_secs(), open = self.hub.sockets(), "draining");
        let hub = self.hub.clone();
        tokio::select! {
            () = hub.drain(self.drain) => Ok(()),
            ended = self.ended() => ended,
        }
    }

    async fn take_apart(self) {
        let listeners = self.listening.into_iter().map(|listening| listening.stop(DRAIN_TIMEOUT));
        // Sockets and requests at once: neither has to wait for the other.
        let working = tokio::time::timeout(DRAIN_TIMEOUT, self.rooms.close());
        let front = self.front.clone();
        let answering = async {
            futures_util::future::join_all(listeners).await;
            tokio::time::timeout(REQUESTS_TIMEOUT, front.drain()).await
        };
        let (answered, (), closed) = tokio::join!(answering, self.hub.shutdown(), working);
        drop(front);
        if answered.is_err() {
            tracing::warn!("a request did not end in time");
        }
        if closed.is_err() {
            tracing::warn!("a job did not end in time");
        }
        if tokio::time::timeout(END_TIMEOUT, self.hub.end()).await.is_err() {
            tracing::warn!("the other nodes were not told the last; they look for it");
        }
        self.tenure.end().await;
        // Dropping the store waits for what its lanes still have to write; without a service nobody sends records.
        let dropping = tokio::task::spawn_blocking(move || {
            drop((self.front, self.service));
            self.audit.join();
        });
        if tokio::time::timeout(STORE_TIMEOUT, dropping).await.is_err() {
            tracing::warn!("the store did not end in time");
        }
        tracing::info!("stopped");
    }
}
