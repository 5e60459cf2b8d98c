//! What left the server: at least once, in the order of each channel.

use std::collections::{BTreeMap, BTreeSet};

use carillon_model::Key;

use super::{Known, Violation, broken};

impl Known<'_> {
    /// Holds what came to the stream against what was to leave.
    pub(super) fn check_stream(&self, records: &[(Key, i64, i64)]) -> Result<(), Violation> {
        let mut latest: BTreeMap<Key, (i64, i64)> = BTreeMap::new();
        let mut came = BTreeSet::new();
        for (channel, number, part) in records {
            if !came.insert((*channel, *number, *part)) {
                continue; // Again: the first time counts.
            }
            let before = latest.insert(*channel, (*number, *part));
            if before.is_some_and(|before| (*number, *part) < before) {
                let words = format!("{number} of {channel} came first after {before:?}");
                return broken("what leaves arrives in order", words);
            }
        }
        for fact in self.facts.iter().flatten() {
            let (event, key) = (&fact.event, fact.event.channel);
            if fact.is_for_members() && fact.committed.is_some() && !came.contains(&(key, event.sequence, 0))
            {
                let words = format!("{} of {key} never came", event.sequence);
                return broken("what leaves arrives at least once", words);
            }
        }
        Ok(())
    }
}
