//! Requests that were accepted: whoever hangs up takes the connection with them, and not the request. What it changes
//! would stand all the same, and nobody would have written its line.
//!
//! Nearly nobody hangs up, so a request is answered where it came, and goes on in a task of its own only where its
//! connection is gone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use carillon_store as store;
use tokio::runtime::Handle;
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
        let answering = traces::carried(async move {
            let answer = request.await;
            drop(place);
            answer
        });
        Whole(Some(Box::pin(answering))).await
    }

    /// Waits until all of them are answered. From then on there is no place for others.
    pub(super) async fn drain(&self) {
        if let Ok(all) = self.0.acquire_many(IN_FLIGHT_MAX).await {
            all.forget();
        }
    }
}

/// Does what it began to the end, also where it is dropped.
struct Whole<F: Future<Output: Send> + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future<Output: Send> + Send + 'static> Future for Whole<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out while it works: what panics is not to be gone on with.
        let mut work = self.0.take().expect("nobody polls what is ready, or has panicked");
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Whole<F> {
    fn drop(&mut self) {
        // Where there is no runtime any more, the process ends.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
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
