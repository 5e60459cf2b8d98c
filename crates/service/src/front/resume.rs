//! What a session missed whose client was away: `resume-from=<event id>` in the query of its connection.
//!
//! The outbox holds every event of the last minutes with its audience, and who came and went. So a channel is read
//! backwards from where its member sits now, and each event tells where they sat before it; what they were to be told
//! is then shown in its order. A channel is read when the one before it was taken by the socket.
//!
//! Whoever was away for longer than the outbox reaches back, missed more than a session is shown, or lost a channel
//! with all that it held is told `RELOAD_REQUIRED` instead: to read anew what they show, and resume from there.

use std::collections::VecDeque;
use std::sync::Arc;

use carillon_model::event::{EventId, Seats};
use carillon_model::session::Shown;
use carillon_model::{Key, Timestamp};
use carillon_store::{self as store, Tx};

use crate::error::{Error, Result};
use crate::front::connect::Connection;
use crate::front::service::Service;
use crate::jobs::OUTBOX_WINDOW_MS;

/// How long ago a client may have been told what it resumes from. Events are kept for longer than that.
pub const RESUME_WINDOW_MS: i64 = OUTBOX_WINDOW_MS - 60_000;
/// Events that are looked at to find what a session missed.
pub const RESUME_EVENTS_MAX: usize = 1_000;
/// Events that are read at once.
const PAGE_LEN: i64 = 50;

/// What comes next.
pub(crate) enum Next {
    Event(Shown),
    End,
    /// It cannot be shown: the client is to read anew what it shows.
    Reload,
}

/// Where the showing of what was missed has come to.
pub(crate) struct Reader {
    service: Arc<Service>,
    user: Key,
    /// What the client resumes from.
    from: EventId,
    /// The channels that are still to be read; nothing before they were looked for.
    channels: Option<Vec<Key>>,
    /// Events that were looked at.
    seen: usize,
    /// Events of one channel that are still to be shown.
    due: VecDeque<(Key, i64)>,
}

impl Reader {
    /// Nothing where a connection did not ask for what it missed.
    pub(crate) fn new(service: &Arc<Service>, connection: &Connection) -> Option<Self> {
        Some(Self {
            service: service.clone(),
            user: connection.entrance.user,
            from: connection.resume_from?,
            channels: None,
            seen: 0,
            due: VecDeque::new(),
        })
    }

    pub(crate) async fn next(&mut self) -> Result<Next> {
        let Self { user, from, .. } = *self;
        if self.channels.is_none() {
            let now = self.service.surroundings().clock.now();
            let store = self.service.store();
            // A time that has not come was told by nobody; one that was told while the clock was wrong says nothing.
            let is_unknown = now.max(store.told()) < from.told;
            if is_unknown || now.plus_ms(-RESUME_WINDOW_MS) <= store.doubtful_until() {
                return Ok(Next::Reload);
            }
            let find = move |tx: &mut Tx| find_channels(tx, user, from.told, now);
            let Some(channels) = self.service.store().read(find).await? else { return Ok(Next::Reload) };
            self.channels = Some(channels);
        }
        loop {
            if let Some((channel, sequence)) = self.due.pop_front() {
                let read = move |tx: &mut Tx| {
                    Ok::<_, Error>(store::outbox::list(tx, channel, sequence - 1, 1)?.pop())
                };
                let event = self.service.store().read(read).await?;
                let Some(event) = event.filter(|event| event.sequence == sequence) else {
                    return Ok(Next::Reload);
                };
                // Other channels are still to be shown, so one that is cut off here begins where this one did.
                let frame = event.frame_for(user, from.told);
                return Ok(Next::Event(Shown { frame, event: Some((channel, sequence)) }));
            }
            let Some(channel) = self.channels.as_mut().and_then(Vec::pop) else { return Ok(Next::End) };
            let seen = self.seen;
            let read = move |tx: &mut Tx| find_missed(tx, user, from, channel, seen);
            let Some((due, seen)) = self.service.store().read(read).await? else { return Ok(Next::Reload) };
            (self.due, self.seen) = (due.into_iter().map(|sequence| (channel, sequence)).collect(), seen);
        }
    }
}

/// The channels in which someone may have missed something; nothing where they are too many, it is too long ago, or one
/// is gone with all that it held.
fn find_channels(tx: &mut Tx, user: Key, told: Timestamp, now: Timestamp) -> Result<Option<Vec<Key>>> {
    if is_bereft(tx, user, told)? {
        return Ok(None);
    }
    let most = RESUME_EVENTS_MAX + 1;
    let channels = store::outbox::list_channels(tx, user, told, i64::try_from(most).unwrap_or(i64::MAX))?;
    let is_known = channels.is_empty() || now.plus_ms(-RESUME_WINDOW_MS) <= told;
    Ok((is_known && channels.len() < most).then_some(channels))
}

/// Whether a channel of someone's was destroyed that was deleted since, and nothing leads to its last event.
fn is_bereft(tx: &mut Tx, user: Key, told: Timestamp) -> Result<bool> {
    Ok(store::identity::find_bereft(tx, user)?.is_some_and(|at| told <= at))
}

/// The numbers of the events of a channel that someone missed, in their order, and how many were `seen` with those
/// looked at here; nothing where they are too many, or the channel is gone.
fn find_missed(
    tx: &mut Tx,
    user: Key,
    from: EventId,
    channel: Key,
    mut seen: usize,
) -> Result<Option<(VecDeque<i64>, usize)>> {
    let mut seats = Seats::default();
    for seat in store::membership::list_seats_in(tx, channel, user)? {
        seats.sit(seat.place, user, seat.hidden);
    }
    if is_bereft(tx, user, from.told)? {
        return Ok(None);
    }
    // Its own channel a client was told of up to the event itself.
    let known = from.last.and_then(|(of, sequence)| (of == channel).then_some(sequence));
    let mut due = VecDeque::new();
    let mut before = i64::MAX;
    loop {
        let page = store::outbox::list_back(tx, channel, before, PAGE_LEN)?;
        let is_last = (page.len() as u64) < PAGE_LEN.unsigned_abs();
        for event in page {
            if event.at < from.told || known == Some(event.sequence) {
                return Ok(Some((due, seen)));
            }
            (before, seen) = (event.sequence, seen + 1);
            if RESUME_EVENTS_MAX < seen {
                return Ok(None);
            }
            if seats.go_back(&event).contains(&user) {
                due.push_front(event.sequence);
            }
        }
        if is_last {
            return Ok(Some((due, seen)));
        }
    }
}

#[cfg(test)]
mod tests;
