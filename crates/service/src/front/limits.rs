//! Which limits were hit how often: rates, and quotas. What refuses at the door, before anybody asks for an operation,
//! counts by itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, RefusedBy};

/// How often each quota was full, by its name. Only refusals come here, so a lock is no matter.
#[derive(Debug, Default)]
pub(crate) struct FullQuotas(Mutex<BTreeMap<&'static str, u64>>);

/// A limit, and how often it was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// `rate` or `quota`.
    pub kind: &'static str,
    /// The key of the rate in the settings; of a quota, its name.
    pub limit: &'static str,
    /// How often.
    pub count: u64,
}

impl FullQuotas {
    /// A call failed; perhaps of a quota.
    pub(crate) fn note(&self, error: &Error) {
        if let Some(RefusedBy::Quota(quota)) = error.refused_by {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(quota).or_default() += 1;
        }
    }

    /// Those that were full.
    pub(crate) fn hits(&self) -> Vec<Hit> {
        let quotas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        quotas.iter().map(|(limit, count)| Hit { kind: "quota", limit, count: *count }).collect()
    }
}
