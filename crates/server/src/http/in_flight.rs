//! Requests that were accepted, each in a task of its own: whoever hangs up takes the connection with them, and not the
//! request. What it changes would stand all the same, and nobody would have written its line.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;

use carillon_store as store;
use tokio::sync::Semaphore;

use crate::traces;

/// The most requests that are being answered: as many as a store can have waiting for it before it refuses. Others wait
/// for a place, and those who hang up meanwhile are gone.
const IN_FLIGHT_MAX: u32 = 8_192;

pub(super) struct InFlight(Arc<Semaphore>);

impl InFlight {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(IN_FLIGHT_MAX as usize)))
    }

    /// Does what a request asks for, also when this future is dropped once it was polled. While it waits for its place,
    /// its time in the store goes by.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        request: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let request = store::as_one_request(request);
        let place = self.0.clone().acquire_owned().await.expect("it is never closed");
        let task = tokio::spawn(traces::carried(async move {
            let answer = request.await;
            drop(place);
            answer
        }));
        match task.await {
            Ok(answer) => answer,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            // The runtime ends, and the connection with it.
            Err(_) => pending().await,
        }
    }

    /// Waits until all of them are answered. From then on there is no place for others.
    pub(super) async fn drain(&self) {
        if let Ok(all) = self.0.acquire_many(IN_FLIGHT_MAX).await {
            all.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_request_outlives_whoever_asked() {
        let in_flight = InFlight::new();
        let (go_on, waiting) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut asking = Box::pin(in_flight.run(async move {
            waiting.await.unwrap();
            tell.send("done").unwrap();
        }));
        assert!(futures_util::poll!(&mut asking).is_pending());
        drop(asking);
        let mut draining = Box::pin(in_flight.drain());
        assert!(futures_util::poll!(&mut draining).is_pending());
        go_on.send(()).unwrap();
        draining.await;
        assert_eq!(told.await.unwrap(), "done");
    }
}
