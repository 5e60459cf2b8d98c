//! A page of what is found.
//!
//! Of each place there are three sorts of candidates: what the index names, messages that were changed since they
//! were taken in, and all that were not taken in yet. They are merged over all places in the order of their keys, and
//! each is looked at: whether the viewer may see it and whether it has what is asked for is decided by the message as
//! it is now, in the snapshot of the transaction. So a page is exact wherever the index stands, and full unless it
//! was cut because it had looked at many messages in vain ([`LOOKS_MAX`]).
//!
//! The order is that of time, number, place, and the rest of the key; what is written here as *rank* rises in the
//! order that was asked for.

mod candidates;

use std::collections::BTreeMap;
use std::ops::Range;

use carillon_model::text::SortOrder;
use carillon_model::{Key, MessageKey};
use carillon_store::index::{self, Name, Said, Slice};
use carillon_store::{self as store, Tx};
use serde::{Deserialize, Serialize};

use super::query::Query;
use super::run::{Start, unpack_head};
use super::terms::Terms;

/// Places that are searched together.
pub(crate) const PLACES_MAX: usize = 1_000;
/// Messages that a page looks at, before it is cut.
const LOOKS_MAX: usize = 4_000;
/// And for each place, where not all is taken in.
const PLACE_LOOKS_MAX: usize = 64;
/// What the opening of a run counts for.
const RUN_LOOKS: usize = 16;
/// Messages that were not taken in: how many of a place are read at first, and at most, at a time.
const TAIL_LEN: usize = 32;
const TAIL_LEN_MAX: usize = 256;
/// Candidates that are looked at, or runs that are opened, in one go.
const TOGETHER_MAX: usize = 64;
/// Changed messages of a place that a search looks at; where there are more, all of the place is read.
const LATE_LEN_MAX: i64 = 1_000;

/// What is asked.
pub(crate) struct Asked<'a> {
    pub(crate) query: &'a Query,
    /// Who asks.
    pub(crate) viewer: Key,
    pub(crate) order: SortOrder,
    /// The least and the greatest key that may be found.
    pub(crate) keys: (MessageKey, MessageKey),
    /// How many messages a page holds.
    pub(crate) limit: usize,
    /// Where the page begins.
    pub(crate) from: Option<Mark>,
}

/// Where a page begins: with this message, or whatever would come next in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    place: Key,
    key: MessageKey,
}

impl Mark {
    /// That of a message.
    pub(crate) fn at(place: Key, key: MessageKey) -> Self {
        Self { place, key }
    }
}

/// A message that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    /// The place, by its number among those that were given.
    pub(crate) place: usize,
    pub(crate) key: MessageKey,
    /// Where it has what was asked for.
    pub(crate) highlights: Vec<Range<usize>>,
}

/// A page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) hits: Vec<Hit>,
    pub(crate) next: Option<Mark>,
}

/// Finds a page in these places, which must be in the order of their keys.
pub(crate) fn find(
    tx: &mut Tx,
    (terms, is_indexed): (&Terms, bool),
    places: &[Key],
    asked: &Asked<'_>,
) -> store::Result<Page> {
    debug_assert!(places.is_sorted() && places.len() <= PLACES_MAX);
    if places.is_empty() || asked.keys.1 < asked.keys.0 {
        return Ok(Page::default());
    }
    let mut search = Search {
        tx,
        places,
        asked,
        coming: BTreeMap::new(),
        positions: Vec::new(),
        looks: 0,
        pushed: 0,
        page: Page::default(),
    };
    search.begin(terms, is_indexed)?;
    search.fill()
}

/// Where something comes: its rank, its place, whether it is a message or only bounds some, the rest of its rank, and a
/// number that tells it from all others.
type Turn = (u128, usize, bool, [u8; 32], usize);

/// What comes.
enum What {
    /// A run, with the places of its candidates: none of them comes before.
    Run(Name, Vec<u32>),
    /// Messages that were not taken in, between two keys, both within, so many at a time.
    Tail((MessageKey, MessageKey), usize),
    /// A message that is to be looked at.
    Candidate(Start),
    /// One that was, and is meant.
    Hit(MessageKey, Vec<Range<usize>>),
}

struct Search<'a, 'b> {
    tx: &'a mut Tx<'b>,
    places: &'a [Key],
    asked: &'a Asked<'a>,
    coming: BTreeMap<Turn, What>,
    /// Up to where each place is taken in; what the index names is not after that.
    positions: Vec<Option<MessageKey>>,
    /// What it has cost so far, in messages.
    looks: usize,
    /// How much was to come so far.
    pushed: usize,
    page: Page,
}

impl Search<'_, '_> {
    fn rank(&self, start: Start) -> u128 {
        match self.asked.order {
            SortOrder::Ascending => start.0,
            SortOrder::Descending => !start.0,
        }
    }

    fn rest(&self, key: MessageKey) -> [u8; 32] {
        match self.asked.order {
            SortOrder::Ascending => key.0,
            SortOrder::Descending => key.0.map(|byte| !byte),
        }
    }

    fn push(&mut self, at: (Start, usize), rest: Option<MessageKey>, what: What) {
        let is_message = matches!(what, What::Candidate(_) | What::Hit(..));
        let rest = rest.map_or([0; 32], |key| self.rest(key));
        self.pushed += 1;
        self.coming.insert((self.rank(at.0), at.1, is_message, rest, self.pushed), what);
    }

    /// Whether a message comes before the page begins.
    fn is_past(&self, place: usize, key: MessageKey) -> bool {
        let Some(from) = self.asked.from else { return false };
        let rank = |place: Key, key: MessageKey| (self.rank(Start::of(key)), place, self.rest(key));
        rank(self.places[place], key) < rank(from.place, from.key)
    }

    /// The keys that are left to look through.
    fn keys(&self) -> (MessageKey, MessageKey) {
        let (least, greatest) = self.asked.keys;
        match (self.asked.from, self.asked.order) {
            (None, _) => (least, greatest),
            (Some(from), SortOrder::Ascending) => (least.max(Start::of(from.key).keys().0), greatest),
            (Some(from), SortOrder::Descending) => (least, greatest.min(Start::of(from.key).keys().1)),
        }
    }

    /// Goes through what comes, until the page is full, or has cost enough.
    fn fill(mut self) -> store::Result<Page> {
        let looks_max = LOOKS_MAX + PLACE_LOOKS_MAX * self.places.len();
        while let Some(first) = self.coming.first_key_value().map(|(turn, _)| *turn) {
            // Each page comes further than the one before, whatever that costs.
            let mark = self.mark(first);
            if looks_max <= self.looks && self.asked.from != Some(mark) {
                self.page.next = Some(mark);
                return Ok(self.page);
            }
            let alike = self.take_alike(first);
            match &alike[0].1 {
                What::Hit(..) => {
                    for (turn, what) in alike {
                        let What::Hit(key, highlights) = what else { continue };
                        if !self.add(turn.1, key, highlights) {
                            return Ok(self.page);
                        }
                    }
                }
                What::Candidate(_) => {
                    if !self.look(alike)? {
                        return Ok(self.page);
                    }
                }
                What::Tail(..) => self.read_on(alike)?,
                What::Run(..) => self.open(alike)?,
            }
        }
        Ok(self.page)
    }

    /// Takes what comes next, as long as it is of one kind and nothing of another comes between.
    fn take_alike(&mut self, first: Turn) -> Vec<(Turn, What)> {
        let mut alike: Vec<(Turn, What)> = Vec::new();
        let mut next = Some(first);
        while let Some(turn) = next.filter(|_| alike.len() < TOGETHER_MAX) {
            let is_alike =
                |one: &What, other: &What| std::mem::discriminant(one) == std::mem::discriminant(other);
            if alike.first().is_some_and(|(_, first)| !is_alike(first, &self.coming[&turn])) {
                break;
            }
            alike.extend(self.coming.remove(&turn).map(|what| (turn, what)));
            next = self.coming.first_key_value().map(|(turn, _)| *turn);
        }
        alike
    }

    /// Where the next page begins that begins with this.
    fn mark(&self, (rank, place, _, rest, _): Turn) -> Mark {
        let (start, key) = match self.asked.order {
            SortOrder::Ascending => (Start(rank), MessageKey(rest)),
            SortOrder::Descending => (Start(!rank), MessageKey(rest.map(|byte| !byte))),
        };
        // What bounds a run may come before the page that looked for it.
        let key = if Start::of(key) == start {
            key
        } else {
            match self.asked.order {
                SortOrder::Ascending => start.keys().0,
                SortOrder::Descending => start.keys().1,
            }
        };
        let mark = Mark { place: self.places[place], key };
        match self.asked.from {
            Some(from) if self.is_past(place, key) => from,
            _ => mark,
        }
    }

    /// Adds a message to the page; false where it is the first of the next.
    fn add(&mut self, place: usize, key: MessageKey, highlights: Vec<Range<usize>>) -> bool {
        if self.page.hits.last().is_some_and(|last| (last.place, last.key) == (place, key)) {
            return true;
        }
        if self.page.hits.len() == self.asked.limit {
            self.page.next = Some(Mark { place: self.places[place], key });
            return false;
        }
        self.page.hits.push(Hit { place, key, highlights });
        true
    }

    /// Looks at messages; false where the page is full.
    fn look(&mut self, alike: Vec<(Turn, What)>) -> store::Result<bool> {
        let mut slices: Vec<(usize, Slice)> = Vec::new();
        for (turn, what) in alike {
            let What::Candidate(start) = what else { continue };
            let (least, greatest) = start.keys();
            let until = self.positions[turn.1].map_or(greatest, |position| position.min(greatest));
            let slice = Slice { place: self.places[turn.1], keys: least..=until };
            // An edited message may be named more than once.
            if slices.last().is_none_or(|last| last.1 != slice) {
                slices.push((turn.1, slice));
            }
        }
        let asked: Vec<Slice> = slices.iter().map(|(_, slice)| slice.clone()).collect();
        let found = index::list_hits(self.tx, &asked, self.asked.order, limit(TAIL_LEN_MAX))?;
        for ((place, _), messages) in slices.into_iter().zip(found) {
            self.looks += 1;
            for message in messages {
                if let Some(highlights) = self.judge(place, &message)
                    && !self.add(place, message.key, highlights)
                {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Where a message has what is asked for, if it is one that is meant.
    fn judge(&self, place: usize, message: &Said) -> Option<Vec<Range<usize>>> {
        let (least, greatest) = self.asked.keys;
        let viewer = self.asked.viewer;
        let is_shown = message.target.is_none_or(|target| target == viewer || message.sender == viewer);
        let is_within = least <= message.key && message.key <= greatest && !self.is_past(place, message.key);
        let content = message.content.as_ref().filter(|_| is_shown && is_within)?;
        self.asked.query.find(content, &message.sender_id)
    }

    /// Reads on where messages were not taken in.
    fn read_on(&mut self, alike: Vec<(Turn, What)>) -> store::Result<()> {
        let mut tails: Vec<(usize, (MessageKey, MessageKey), usize)> = alike
            .into_iter()
            .filter_map(
                |(turn, what)| {
                    if let What::Tail(keys, step) = what { Some((turn.1, keys, step)) } else { None }
                },
            )
            .collect();
        // Those that read as many go together.
        tails.sort_by_key(|tail| tail.2);
        for together in tails.chunk_by(|one, other| one.2 == other.2) {
            let step = together[0].2;
            let slice = |(place, keys, _): &(usize, (MessageKey, MessageKey), usize)| Slice {
                place: self.places[*place],
                keys: keys.0..=keys.1,
            };
            let slices: Vec<Slice> = together.iter().map(slice).collect();
            let read = index::list_hits(self.tx, &slices, self.asked.order, limit(step))?;
            for ((place, keys, _), messages) in together.iter().zip(read) {
                self.looks += messages.len();
                let last = messages.last().filter(|_| messages.len() == step).map(|last| last.key);
                for message in messages {
                    if let Some(highlights) = self.judge(*place, &message) {
                        let at = (Start::of(message.key), *place);
                        self.push(at, Some(message.key), What::Hit(message.key, highlights));
                    }
                }
                let rest = match self.asked.order {
                    SortOrder::Ascending => last.and_then(MessageKey::next).map(|least| (least, keys.1)),
                    SortOrder::Descending => {
                        last.and_then(MessageKey::previous).map(|greatest| (keys.0, greatest))
                    }
                };
                self.push_tail(*place, rest, (step * 2).min(TAIL_LEN_MAX));
            }
        }
        Ok(())
    }

    fn push_tail(&mut self, place: usize, keys: Option<(MessageKey, MessageKey)>, step: usize) {
        let Some(keys) = keys.filter(|keys| keys.0 <= keys.1) else { return };
        let first = if self.asked.order == SortOrder::Ascending { keys.0 } else { keys.1 };
        self.push((Start::of(first), place), None, What::Tail(keys, step));
    }

    /// Opens runs: their heads say which messages their candidates are.
    fn open(&mut self, alike: Vec<(Turn, What)>) -> store::Result<()> {
        let runs: Vec<(usize, Name, Vec<u32>)> = alike
            .into_iter()
            .filter_map(
                |(turn, what)| if let What::Run(name, at) = what { Some((turn.1, name, at)) } else { None },
            )
            .collect();
        let names: Vec<(Key, Name)> =
            runs.iter().map(|(place, name, _)| (self.places[*place], *name)).collect();
        let heads = index::find_heads(self.tx, &names)?;
        let (least, greatest) = self.keys();
        for ((place, _, candidates), head) in runs.into_iter().zip(heads) {
            self.looks += RUN_LOOKS;
            let entries = head.and_then(|head| unpack_head(&head)).ok_or_else(unreadable)?;
            for at in candidates {
                let entry = entries.get(at as usize).ok_or_else(unreadable)?;
                let is_within = Start::of(least) <= entry.start && entry.start <= Start::of(greatest);
                if is_within && entry.is_for(self.asked.viewer) {
                    self.push((entry.start, place), None, What::Candidate(entry.start));
                }
            }
        }
        Ok(())
    }
}

fn limit(messages: usize) -> i64 {
    i64::try_from(messages).unwrap_or(i64::MAX)
}

fn unreadable() -> store::Error {
    store::Error::broken("a run of the search index is not what was written")
}
