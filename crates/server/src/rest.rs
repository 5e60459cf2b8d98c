//! The rest after a load: what the store's connections keep of its pages saves them reading for as long as there is
//! much to do, and is memory that nobody needs once there is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use carillon_store::{self as store, Lane, Store};
use futures_util::future::try_join_all;

/// How often it is looked whether there is much to do.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Transactions in that time that are much.
const MUCH: u64 = 1_000;
/// Reads that are asked for at once, so that each worker that reads gets one: there are fewer of them, and none of them
/// has anything else to do.
const READERS_MAX: usize = 16;
/// A piece that the allocator gives back to the system by itself; with it go those that are due.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// Whether a store may rest.
#[derive(Debug)]
pub(crate) struct Rest {
    /// Transactions when it was last looked.
    transactions: AtomicU64,
    /// There was much to do since it last rested; a start is that, too.
    is_due: AtomicBool,
}

impl Default for Rest {
    fn default() -> Self {
        Self { transactions: AtomicU64::new(0), is_due: AtomicBool::new(true) }
    }
}

impl Rest {
    /// Looks, and has the store rest if it is time.
    pub(crate) async fn look(&self, store: &Arc<Store>) -> store::Result<()> {
        let transactions = store.by_kind().iter().map(|kind| kind.transactions.times.read().count()).sum();
        // Others may take what was freed, or give back what they got: so the allocator is asked each time.
        drop(std::hint::black_box(Vec::<u8>::with_capacity(PIECE_BYTES)));
        if !self.is_time(transactions) {
            return Ok(());
        }
        try_join_all((0..READERS_MAX).map(|_| store.read(store::rest))).await?;
        store.write(Lane::Account, store::rest).await
    }

    fn is_time(&self, transactions: u64) -> bool {
        let before = self.transactions.swap(transactions, Ordering::Relaxed);
        if MUCH <= transactions - before {
            self.is_due.store(true, Ordering::Relaxed);
            return false;
        }
        self.is_due.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_once_after_a_start_and_after_each_load() {
        let rest = Rest::default();
        let looks = [10, 20, 5_000, 9_000, 9_500, 9_900, 11_000, 11_010, 11_020];
        let due = looks.map(|transactions| rest.is_time(transactions));
        assert_eq!(due, [true, false, false, false, true, false, false, true, false]);
    }
}
