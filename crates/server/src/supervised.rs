//! Tasks that live as long as the server, and what becomes of a panic in them: it ends what was being done, not the
//! task, which would leave its work undone for good without a word.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use carillon_service::error::{Error, ErrorCode};
use futures_util::FutureExt as _;

/// Panics that tasks of this process outlived.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many panics tasks of this process outlived.
pub(crate) fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Whether what a round failed of is news. That the store is away it has said itself, once.
pub(crate) fn is_news(error: &Error) -> bool {
    error.code != ErrorCode::ServiceUnavailable
}

/// Does one round of a task's work; nothing where it panicked, which is said and counted, and the next round begins as
/// if this one had failed.
pub(crate) async fn round<T>(task: &str, work: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    if done.is_err() {
        PANICS.fetch_add(1, Ordering::Relaxed);
        tracing::error!(task, "a task panicked; it goes on with its next round");
    }
    done.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_outlives_a_panic_of_its_round() {
        let before = panics();
        let mut done = Vec::new();
        for number in 0..3 {
            done.push(
                round("test", async move { if number == 1 { panic!("planted") } else { number } }).await,
            );
        }
        assert_eq!((done, panics() - before), (vec![Some(0), None, Some(2)], 1));
    }
}
