//! What comes into question: asked of the index for all places together, a term at a time.

use std::collections::BTreeMap;

use carillon_model::text::SortOrder;
use carillon_model::{Key, MessageKey};
use carillon_store as store;
use carillon_store::index::{self, Fragment, Name};

use super::{LATE_LEN_MAX, Search, TAIL_LEN, What, unreadable};
use crate::search::query::Query;
use crate::search::run::{LEVEL_MAX, Start, look_up, part_of};
use crate::search::terms::{Of, Terms};

/// Terms of a query that the index is asked for; the rest is seen when a message is looked at.
const TERMS_MAX: usize = 8;

/// Runs of a place, with when their messages are and the places of those that have all terms so far.
type Runs = BTreeMap<Name, ((i64, i64), Vec<u32>)>;

impl Search<'_, '_> {
    /// Finds out what may come, in all places.
    pub(super) fn begin(&mut self, terms: &Terms, is_indexed: bool) -> store::Result<()> {
        let ends = index::list_ends(self.tx, self.places, LATE_LEN_MAX)?;
        let mut indexed = Vec::new();
        for (place, (state, late)) in ends.into_iter().enumerate() {
            let is_of_these = |state: &index::State| is_indexed && state.version == terms.version();
            // Where very much was changed, all is read.
            let is_late = i64::try_from(late.len()).is_ok_and(|count| LATE_LEN_MAX <= count);
            let position = state.filter(|state| is_of_these(state) && !is_late).map(|state| state.position);
            self.positions.push(position);
            let (least, greatest) = self.keys();
            let Some(position) = position else {
                self.push_tail(place, Some((least, greatest)), TAIL_LEN);
                continue;
            };
            let rest = position.next().map(|next| (least.max(next), greatest));
            self.push_tail(place, rest, TAIL_LEN);
            for key in late.into_iter().filter(|key| least <= *key && *key <= greatest.min(position)) {
                self.push((Start::of(key), place), None, What::Candidate(Start::of(key)));
            }
            if least <= position {
                indexed.push(place);
            }
        }
        for (place, runs) in self.ask(terms, &indexed)? {
            for (name, (span, candidates)) in runs {
                self.push((self.bound(span), place), None, What::Run(name, candidates));
            }
        }
        Ok(())
    }

    /// Before what none of a run's messages comes.
    fn bound(&self, (least, greatest): (i64, i64)) -> Start {
        let start = |ms: i64, rest: u64| Start(u128::from(ms.unsigned_abs()) << 64 | u128::from(rest));
        match self.asked.order {
            SortOrder::Ascending => start(least, 0),
            SortOrder::Descending => start(greatest, u64::MAX),
        }
    }

    /// The runs that have messages with all terms, of these places.
    fn ask(&mut self, terms: &Terms, places: &[usize]) -> store::Result<Vec<(usize, Runs)>> {
        let needed = |place: &usize| needs(self.asked.query, terms.of(self.places[*place]));
        let mut left: Vec<(usize, Vec<Vec<u32>>, Option<Runs>)> =
            places.iter().map(|place| (*place, needed(place), None)).collect();
        let times = {
            let keys: (MessageKey, MessageKey) = self.keys();
            (keys.0.created().ms().max(0), keys.1.created().ms().max(0))
        };
        // A greatest key has a time that no clock shows.
        let times = if self.keys().1 == MessageKey([0xff; 32]) { (times.0, i64::MAX) } else { times };
        let count = left.iter().map(|one| one.1.len()).max().unwrap_or_default();
        for number in 0..count {
            let mut sought: Vec<(Key, [i64; 3])> = Vec::new();
            for (place, needs, _) in &left {
                for term in needs.get(number).into_iter().flatten() {
                    let parts = [0, 1, 2].map(|level| part_of(level, *term));
                    sought.push((self.places[*place], parts));
                }
            }
            let mut fragments = index::find_fragments(self.tx, &sought, times)?.into_iter();
            let mut still = Vec::with_capacity(left.len());
            for (place, needs, before) in left {
                // Two terms that one hash has in this place are one.
                let Some(terms) = needs.get(number) else {
                    still.push((place, needs, before));
                    continue;
                };
                let mut found = Runs::new();
                for term in terms {
                    for fragment in fragments.next().unwrap_or_default() {
                        add(&mut found, &fragment, *term)?;
                    }
                }
                let both = match before {
                    None => found,
                    Some(before) => common(before, &found),
                };
                if !both.is_empty() {
                    still.push((place, needs, Some(both)));
                }
            }
            left = still;
        }
        Ok(left.into_iter().filter_map(|(place, _, runs)| Some((place, runs?))).collect())
    }
}

const _: () = assert!(LEVEL_MAX == 2, "a search asks three levels");

/// Terms that a message must have, of each list one; what leaves out most comes first.
fn needs(query: &Query, of: Of) -> Vec<Vec<u32>> {
    let mut terms: Vec<(u32, usize)> = query.sought.iter().flat_map(|units| of.sought(units)).collect();
    terms.sort_by_key(|(term, weight)| (usize::MAX - weight, *term));
    terms.dedup();
    let mut needs: Vec<Vec<u32>> = terms.into_iter().map(|(term, _)| vec![term]).take(TERMS_MAX).collect();
    if !query.senders.is_empty() {
        needs.push(query.senders.iter().map(|id| of.sender(id)).collect());
    }
    needs
}

fn add(found: &mut Runs, fragment: &Fragment, term: u32) -> store::Result<()> {
    let mut candidates = look_up(&fragment.body, term).ok_or_else(unreadable)?;
    if candidates.is_empty() {
        return Ok(());
    }
    let run = found.entry(fragment.name).or_insert((fragment.span, Vec::new()));
    run.1.append(&mut candidates);
    run.1.sort_unstable();
    run.1.dedup();
    Ok(())
}

/// What has these terms, too.
fn common(mut runs: Runs, also: &Runs) -> Runs {
    runs.retain(|name, (_, candidates)| {
        let Some((_, others)) = also.get(name) else { return false };
        candidates.retain(|at| others.binary_search(at).is_ok());
        !candidates.is_empty()
    });
    runs
}
