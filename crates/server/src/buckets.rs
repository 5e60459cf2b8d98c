//! How often an address may ask: so many at once, then so many a second.
//!
//! What is remembered is bounded. An address that is forgotten may ask as one that never did.

use std::net::IpAddr;

use moka::Entry;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::household::household;

/// The most addresses that are remembered: those that asked last.
const ADDRESSES_MAX: u64 = 16_384;

/// What addresses have asked.
pub(crate) struct Buckets {
    at_once_max: i64,
    interval_ms: i64,
    /// For each address, until when what it asked would have taken, one at an interval.
    busy_until_ms: Cache<IpAddr, i64>,
}

impl Buckets {
    /// An address may ask so many times at once, and once more after each interval.
    pub(crate) fn new(at_once_max: i64, interval_ms: i64) -> Self {
        let busy_until_ms =
            Cache::builder().max_capacity(ADDRESSES_MAX).eviction_policy(EvictionPolicy::lru()).build();
        Self { at_once_max, interval_ms, busy_until_ms }
    }

    /// Whether an address may ask, which counts as having asked; else how long it should wait.
    pub(crate) fn take(&self, address: IpAddr, now_ms: i64) -> Result<(), i64> {
        let mut taken = Ok(());
        self.busy_until_ms.entry(household(address)).and_compute_with(|known| {
            let busy_until_ms = known.map_or(i64::MIN, Entry::into_value).max(now_ms) + self.interval_ms;
            let wait_ms = busy_until_ms - now_ms - self.at_once_max * self.interval_ms;
            if 0 < wait_ms {
                taken = Err(wait_ms);
                return Op::Nop;
            }
            Op::Put(busy_until_ms)
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE_MAX: i64 = 100;
    const INTERVAL_MS: i64 = 100;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_may_ask_so_many_at_once_and_then_one_an_interval() {
        let buckets = Buckets::new(AT_ONCE_MAX, INTERVAL_MS);
        let ana = address("192.0.2.1");
        for _ in 0..AT_ONCE_MAX {
            assert_eq!(buckets.take(ana, 0), Ok(()));
        }
        assert_eq!(buckets.take(ana, 0), Err(INTERVAL_MS));
        assert_eq!(buckets.take(ana, 1), Err(INTERVAL_MS - 1));
        assert_eq!(buckets.take(ana, INTERVAL_MS), Ok(()));
        assert_eq!(buckets.take(ana, INTERVAL_MS), Err(INTERVAL_MS));
        assert_eq!(buckets.take(address("192.0.2.2"), 0), Ok(()));
    }

    #[test]
    fn one_household_is_one_address() {
        let buckets = Buckets::new(AT_ONCE_MAX, INTERVAL_MS);
        for number in 0..AT_ONCE_MAX {
            assert_eq!(buckets.take(address(&format!("2001:db8::{number}")), 0), Ok(()));
        }
        assert!(buckets.take(address("2001:db8::ffff:1"), 0).is_err());
        assert_eq!(buckets.take(address("2001:db8:0:1::1"), 0), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_who_asked_lately_is_in_it() {
        let buckets = Buckets::new(AT_ONCE_MAX, INTERVAL_MS);
        for _ in 0..AT_ONCE_MAX {
            assert_eq!(buckets.take(address("192.0.2.1"), 0), Ok(()));
        }
        let others = u32::try_from(ADDRESSES_MAX).unwrap();
        for number in 1..others {
            buckets.take(IpAddr::V4(number.into()), 0).unwrap();
        }
        assert!(buckets.take(address("192.0.2.1"), 0).is_err());
        for number in 0..10 * others {
            buckets.take(IpAddr::V4((others + number).into()), 0).unwrap();
        }
        buckets.busy_until_ms.run_pending_tasks();
        assert!(buckets.busy_until_ms.entry_count() <= ADDRESSES_MAX);
    }
}
