//! Messages are taken in: a place at a time, what was said since the last time and what was changed.
//!
//! Reading, folding and packing is done in a transaction that reads; the one that writes only checks that the place
//! is as it was, and puts the rows there. What happens in between is not lost: new messages come after the position,
//! and what is changed has left a row that is taken away only as it was seen.

use carillon_model::{Key, MessageKey};
use carillon_store::index::{self, Place, Said, State};
use carillon_store::{self as store, Tx};

use super::merging::{Changes, Fault, Runs};
use super::run::{Entry, Run, Start, mark};
use super::terms::{Of, Terms};
use super::units::Units;

/// Changed messages of a place that are taken in at a time.
const LATE_LEN_MAX: i64 = 512;

/// What is to be written about a place.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) place: Place,
    state: State,
    changes: Changes,
    late: Vec<(MessageKey, i64)>,
    /// How many messages were taken in.
    pub(crate) messages: usize,
    /// Whether there are more.
    pub(crate) has_more: bool,
}

/// What is to be done about a place.
#[derive(Debug)]
pub(crate) enum Due {
    /// Nothing.
    Nothing,
    /// To write this.
    Take(Box<Taken>),
    /// To forget what was taken in: it is of other terms, or is not readable.
    Forget,
}

/// Takes up to `limit` messages of a place in, and what was changed. What is no more is let go where it `sweeps`.
pub(crate) fn take(
    tx: &mut Tx,
    terms: &Terms,
    place: &Place,
    limit: i64,
    sweeps: bool,
) -> store::Result<Due> {
    match take_in(tx, terms, place, limit, sweeps) {
        Ok(taken) => Ok(taken),
        Err(Fault::Store(error)) => Err(error),
        Err(Fault::Unreadable) => {
            tracing::warn!(place = %place.key, "a run of the search index cannot be read; the place is taken in anew");
            Ok(Due::Forget)
        }
    }
}

fn take_in(tx: &mut Tx, terms: &Terms, place: &Place, limit: i64, sweeps: bool) -> Result<Due, Fault> {
    if place.state.is_some_and(|state| state.version != terms.version()) {
        return Ok(Due::Forget);
    }
    let after = place.state.map(|state| state.position);
    let said = index::list_after(tx, place.key, after, limit)?;
    let late = index::list_late(tx, place.key, LATE_LEN_MAX)?;
    let is_through = i64::try_from(said.len()).is_ok_and(|count| count < limit);
    let has_more = !is_through || i64::try_from(late.len()).is_ok_and(|count| LATE_LEN_MAX <= count);
    let position = said.last().map(|last| last.key).or(after);
    let sequence = if is_through { place.sequence } else { position.map_or(0, |key| key.sequence()) };
    let state = State {
        version: terms.version(),
        position: position.unwrap_or(MessageKey([0; 32])),
        sequence,
        turn: place.state.map_or(1, |state| state.turn + 1),
    };
    let again: Vec<MessageKey> =
        late.iter().map(|(key, _)| *key).filter(|key| after.is_some_and(|after| *key <= after)).collect();
    let of = terms.of(place.key);
    let (mut run, mut messages) = (Run::default(), 0);
    for one in said {
        messages += 1;
        add(&mut run, of, &one);
    }
    for key in &again {
        if let Some(one) = index::find_said(tx, place.key, *key)? {
            messages += 1;
            add(&mut run, of, &one);
        }
    }
    let first = if sweeps { Some(index::find_first(tx, place.key)?) } else { None };
    let mut runs = Runs::of(tx, place.key)?;
    if place.state.is_none() && !runs.is_empty() {
        return Ok(Due::Forget);
    }
    runs.mark_gone(&again)?;
    if let Some(first) = first {
        runs.sweep(first);
    }
    let changes = runs.add(run, state.turn)?;
    let is_idle = messages == 0 && late.is_empty() && changes.gone.is_empty();
    // The walk leaves channels without messages alone; one with many events is not to be looked at again and again.
    let is_known = place.state.map_or(sweeps, |state| state.sequence == sequence);
    if is_idle && is_known {
        return Ok(Due::Nothing);
    }
    Ok(Due::Take(Box::new(Taken { place: place.clone(), state, changes, late, messages, has_more })))
}

fn add(run: &mut Run, of: Of, said: &Said) {
    // What its channel was not shown, or not any more, nobody finds; what it is shown later leaves a row.
    let Some(content) = &said.content else { return };
    let pair = said.target.map(|target| [mark(said.sender), mark(target)]);
    let entry = Entry { start: Start::of(said.key), pair, is_gone: false };
    run.add(entry, of.all(&Units::of(content), &said.sender_id));
}

/// Writes it; false where the place is not as it was.
pub(crate) fn write(tx: &mut Tx, taken: &Taken) -> store::Result<bool> {
    let (place, changes) = (taken.place.key, &taken.changes);
    if !index::take_turn(tx, &taken.place, &taken.state)? {
        return Ok(false);
    }
    for name in &changes.gone {
        index::delete_run(tx, place, *name)?;
    }
    for (name, head) in &changes.heads {
        index::set_head(tx, place, *name, head)?;
    }
    for part in &changes.parts {
        index::insert(tx, place, part)?;
    }
    for late in &taken.late {
        index::delete_late(tx, place, *late)?;
    }
    Ok(true)
}

/// Forgets what was taken in of a place, a part at a time; true when nothing is left.
pub(crate) fn forget(tx: &mut Tx, place: Key, limit: i64) -> store::Result<bool> {
    Ok(index::forget_some(tx, place, limit)? == 0)
}
