//! One line: the rows of one shard in one queue, handed over channel by channel, until there are none.
//!
//! It goes round: a page of rows that begins with a channel's first, the calls of that page, the next page, and after
//! the last channel again from the first. A channel that is under way, or rests after a failure, is passed over; so of
//! a backlog of any size a page is in memory, and one channel that is stuck, or has much to say, holds up no other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use carillon_model::Key;
use carillon_model::channel_flow::Failure;
use carillon_service::error::{Error, Result};
use carillon_service::patience::wait_ms;
use carillon_store::outgoing::{self as store, Line, Outgoing as Row, Place};
use carillon_store::{Lane, Tx};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, sleep};
use tracing::Instrument as _;

use super::measured::Counts;
use super::page::{Divided, divide};
use super::settled::Settled;
use super::{Change, Kind, LOOK_EVERY, Manner, Outgoing, Verdict};
use crate::supervised;
use crate::traces;

/// Rows that are read at once.
const PAGE_LEN_MAX: u16 = 500;
/// The waits after failures: the shortest and the longest, in milliseconds,
const WAITS_MS: (i64, i64) = (100, 60_000);
/// and where the target itself is in trouble: its gate decides when it is called again.
const WAITS_AT_GATE_MS: (i64, i64) = (100, 1_000);
/// How often rows are read that nobody may hand over: some may have waited for too long.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Why something is given up that nobody could be given in time.
const TOO_LONG: &str = "it waited for too long";
/// Channels of a line that rest after a failure; where there are more, all may be tried.
const RESTING_LEN_MAX: usize = 10_000;

/// The run of a line.
pub(super) struct Run {
    outgoing: Arc<Outgoing>,
    kind: Arc<Kind>,
    line: Line,
    target: String,
    /// Rung when the line was seen to have rows.
    bell: Arc<Notify>,
    /// The channel that was looked at last; none at the beginning of a round.
    after: Option<Key>,
    busy: HashSet<Key>,
    resting: HashMap<Key, Rest>,
    /// Calls in a row of which nothing was taken, and which were wrong in themselves.
    refusals: i64,
    rests_until: Option<Instant>,
    /// When rows were read last.
    swept_at: Option<Instant>,
    calls: FuturesUnordered<BoxFuture<'static, Called>>,
}

/// A channel that waits after a failure.
struct Rest {
    until: Instant,
    tries: i64,
}

/// A call that is over.
struct Called {
    rows: Vec<Row>,
    verdicts: Vec<Verdict>,
    /// Given back when what became of the rows is written.
    _room: OwnedSemaphorePermit,
}

/// What there is to wait for.
enum Next {
    /// For something that comes by itself, or so long.
    Wait(Duration),
    /// For nothing: there are no rows, or they are another node's.
    Nothing,
}

impl Run {
    pub(super) fn new(outgoing: Arc<Outgoing>, kind: Arc<Kind>, line: Line, bell: Arc<Notify>) -> Self {
        let target = line.queue.split_once(' ').map_or("", |(_, target)| target).to_owned();
        Self {
            outgoing,
            kind,
            line,
            target,
            bell,
            after: None,
            busy: HashSet::new(),
            resting: HashMap::new(),
            refusals: 0,
            rests_until: None,
            swept_at: None,
            calls: FuturesUnordered::new(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let next = match supervised::round("outgoing", self.begin()).await {
                Some(Ok(next)) => next,
                Some(Err(error)) => {
                    if supervised::is_news(&error) {
                        tracing::warn!(%error, "what is to leave the server cannot be read");
                    }
                    Next::Wait(LOOK_EVERY)
                }
                None => Next::Wait(LOOK_EVERY),
            };
            let wait = match next {
                Next::Nothing if self.calls.is_empty() => break,
                Next::Nothing => LOOK_EVERY,
                Next::Wait(wait) => wait,
            };
            tokio::select! {
                Some(called) = self.calls.next(), if !self.calls.is_empty() => self.settle(called).await,
                () = self.outgoing.stop.cancelled(), if self.calls.is_empty() => break,
                () = self.bell.notified(), if self.rests_until.is_none() => {}
                () = sleep(wait) => {}
            }
        }
        self.outgoing.leave(&self.line);
    }

    /// Begins calls, as many as may be.
    async fn begin(&mut self) -> Result<Next> {
        if !self.outgoing.may_begin(self.line.shard) {
            return Ok(Next::Nothing);
        }
        let now = Instant::now();
        if let Some(until) = self.rests_until.filter(|until| now < *until) {
            return Ok(Next::Wait(until - now));
        }
        self.rests_until = None;
        // Nobody may call the target: what has waited too long is looked for, and not at each commit.
        let closed_for = self.kind.gates.closed_for(&self.line.queue).filter(|wait| !wait.is_zero());
        if let Some(wait) = closed_for
            && self.swept_at.is_some_and(|swept_at| now - swept_at < SWEEP_EVERY)
        {
            return Ok(Next::Wait(wait));
        }
        self.swept_at = Some(now);
        let manner = self.kind.consumer.manner();
        let mut is_whole_round = self.after.is_none();
        loop {
            let free = manner.calls_max.saturating_sub(self.calls.len());
            if free == 0 {
                return Ok(Next::Wait(LOOK_EVERY));
            }
            let Ok(room) = self.outgoing.rows.clone().try_acquire_many_owned(PAGE_LEN_MAX.into()) else {
                return Ok(Next::Wait(LOOK_EVERY));
            };
            let page = self.read().await?;
            let (count, is_last) = (page.len(), page.len() < usize::from(PAGE_LEN_MAX));
            let divided = self.divide(page, manner, free);
            let has_room = divided.is_whole;
            self.after = if is_last && has_room { None } else { divided.last.or(self.after) };
            self.give_up(divided.overdue).await?;
            if let Some(wait) = self.call_all(divided.batches, room) {
                return Ok(Next::Wait(wait));
            }
            match (is_last && has_room, is_whole_round) {
                (true, true) if count == 0 && self.calls.is_empty() => return Ok(Next::Nothing),
                (true, true) => return Ok(Next::Wait(self.rest().unwrap_or(LOOK_EVERY))),
                (true, false) => is_whole_round = true,
                (false, _) => {}
            }
        }
    }

    async fn read(&mut self) -> Result<Vec<Row>> {
        let (line, after) = (self.line.clone(), self.after.map_or(Place::FIRST, Place::after));
        let read = move |tx: &mut Tx| Ok::<_, Error>(store::list(tx, &line, after, PAGE_LEN_MAX.into())?);
        self.outgoing.service.store().read(read).await
    }

    /// How long until the first of those that rest may be tried.
    fn rest(&self) -> Option<Duration> {
        let first = self.resting.values().map(|rest| rest.until).min()?;
        Some(first.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)))
    }

    fn divide(&self, page: Vec<Row>, manner: Manner, free: usize) -> Divided {
        let (now, instant) = (self.outgoing.clock.now(), Instant::now());
        let is_overdue = |row: &Row| {
            let waited = now.ms().saturating_sub(row.at.ms());
            u128::try_from(waited).is_ok_and(|waited| self.kind.consumer.patience(row).as_millis() <= waited)
        };
        let is_blocked = |channel: Key| {
            self.busy.contains(&channel)
                || self.resting.get(&channel).is_some_and(|rest| instant < rest.until)
        };
        divide(page, (manner, free), is_overdue, is_blocked)
    }

    /// Begins calls; where one may not be made at present, answers how long that is so.
    fn call_all(&mut self, batches: Vec<Vec<Row>>, room: OwnedSemaphorePermit) -> Option<Duration> {
        let mut room = room;
        for rows in batches {
            let queue = &self.line.queue;
            let slots = self.kind.gates.slots(queue, 1);
            let Some(slot) = slots.ok().and_then(|mut slots| slots.pop()) else {
                return Some(self.kind.gates.closed_for(queue).unwrap_or(LOOK_EVERY));
            };
            self.busy.extend(rows.iter().map(|row| row.place.channel));
            let own = room.split(rows.len()).unwrap_or_else(|| unreachable!("a page has room for its rows"));
            let (kind, target) = (self.kind.clone(), self.target.clone());
            self.calls.push(Box::pin(async move {
                let begun = Instant::now();
                let span = traces::of_call(kind.consumer.kind(), rows.len());
                let work = kind.consumer.hand_over(&target, &rows).instrument(span.clone());
                let verdicts = supervised::round("outgoing", work).await.unwrap_or_default();
                match outcome(&verdicts) {
                    Some(result) => {
                        traces::called(&span, result.is_ok());
                        kind.counts.tried(begun.elapsed());
                        slot.leave(result);
                    }
                    None => drop(slot),
                }
                Called { rows, verdicts, _room: own }
            }));
        }
        None
    }

    /// Writes what became of the rows of a call: of each channel up to the first that is not done.
    async fn settle(&mut self, called: Called) {
        let Called { rows, mut verdicts, _room } = called;
        self.note(outcome(&verdicts));
        verdicts.resize_with(rows.len(), || Verdict::NotMade);
        let (mut done, mut stuck, mut given_up) = (Settled::default(), HashSet::new(), None);
        for (row, verdict) in rows.into_iter().zip(verdicts) {
            let channel = row.place.channel;
            self.busy.remove(&channel);
            if stuck.contains(&channel) {
                continue;
            }
            let is_done = match verdict {
                Verdict::Done => done.delivered(row.place),
                Verdict::GiveUp(reason) => {
                    given_up = Some(reason);
                    done.failed(row.place)
                }
                Verdict::DoneWith(lane, change) => {
                    self.end_with(row.place, (lane, change), Counts::delivered).await
                }
                Verdict::GiveUpWith(lane, change) => {
                    self.end_with(row.place, (lane, change), Counts::failed).await
                }
                Verdict::Step(lane, body, change) => {
                    self.write_with(lane, row.place, Some(body), change).await;
                    false
                }
                Verdict::Again(failure, not_before) => {
                    let waits = if failure.permanent { WAITS_MS } else { WAITS_AT_GATE_MS };
                    tracing::debug!(queue = self.line.queue, reason = %failure.reason, "not handed over");
                    self.rest_channel(channel, waits, not_before)
                }
                Verdict::NotMade => self.rest_channel(channel, WAITS_AT_GATE_MS, None),
            };
            if !is_done {
                stuck.insert(channel);
            }
        }
        if let Some(reason) = &given_up {
            let (queue, count) = (self.line.queue.as_str(), done.failed);
            tracing::warn!(queue, count, reason, "what was to leave the server is given up");
        }
        for Place { channel, .. } in done.places.iter().filter(|place| !stuck.contains(&place.channel)) {
            self.resting.remove(channel);
        }
        if let Err(error) = self.delete(done, given_up.as_deref()).await {
            tracing::warn!(%error, "what left the server could not be noted; it is handed over again");
        }
    }

    /// Notes how a call went: after one that was wrong in itself the line rests, too, longer each time.
    fn note(&mut self, outcome: Option<std::result::Result<(), Failure>>) {
        if !matches!(outcome, Some(Err(Failure { permanent: true, .. }))) {
            self.refusals = 0;
            return;
        }
        self.refusals += 1;
        let wait = wait_ms(WAITS_MS, self.refusals, self.outgoing.chance());
        self.rests_until = Some(Instant::now() + Duration::from_millis(wait.unsigned_abs()));
    }

    /// Ends a row with what goes with that; false where it could not be written, or somebody else did.
    async fn end_with(
        &mut self,
        place: Place,
        (lane, change): (Lane, Change),
        count: fn(&Counts, u64),
    ) -> bool {
        if self.write_with(lane, place, None, change).await {
            count(&self.kind.counts, 1);
            self.resting.remove(&place.channel);
            return true;
        }
        self.rest_channel(place.channel, WAITS_MS, None)
    }

    /// Leaves a channel alone for a while: it is not done.
    fn rest_channel(&mut self, channel: Key, waits: (i64, i64), not_before: Option<Duration>) -> bool {
        if RESTING_LEN_MAX <= self.resting.len() {
            self.resting.clear();
        }
        let tries = self.resting.get(&channel).map_or(1, |rest| rest.tries + 1);
        let wait = wait_ms(waits, tries, self.outgoing.chance());
        let wait = Duration::from_millis(wait.unsigned_abs()).max(not_before.unwrap_or_default());
        self.resting.insert(channel, Rest { until: Instant::now() + wait, tries });
        false
    }

    /// Gives up what has waited for too long.
    async fn give_up(&mut self, overdue: Vec<Row>) -> Result<()> {
        let Some(first) = overdue.first() else { return Ok(()) };
        let (queue, count) = (self.line.queue.as_str(), overdue.len());
        tracing::warn!(queue, count, at = %first.at, "what was to leave the server waited too long: it is given up");
        let (mut done, mut stuck) = (Settled::default(), HashSet::new());
        for row in overdue {
            if stuck.contains(&row.place.channel) {
                continue;
            }
            let is_done = match self.kind.consumer.regret(&row, TOO_LONG) {
                Some(end) => self.end_with(row.place, end, Counts::failed).await,
                None => done.failed(row.place),
            };
            if !is_done {
                stuck.insert(row.place.channel);
            }
        }
        self.delete(done, Some(TOO_LONG)).await
    }

    /// Deletes rows that are over, and tells operators of those that were given up, and why.
    async fn delete(&mut self, done: Settled, reason: Option<&str>) -> Result<()> {
        let Settled { places, delivered, failed } = done;
        let Some(first) = places.first() else { return Ok(()) };
        let report = self.kind.consumer.report().filter(|_| 0 < failed).map(|name| {
            let detail = json!({ "resourceArn": self.target, "failureReason": reason, "records": failed });
            self.outgoing.service.tell_operators(first.channel, name, detail)
        });
        let queue = self.line.queue.clone();
        let delete = move |tx: &mut Tx| {
            places.iter().try_for_each(|place| store::delete_done(tx, &queue, *place))?;
            report.as_ref().map_or(Ok(()), |report| report(tx))
        };
        self.outgoing.service.store().write(Lane::Outgoing(self.line.shard), delete).await?;
        self.kind.counts.delivered(delivered);
        self.kind.counts.failed(failed);
        Ok(())
    }

    /// Writes what goes with the end of a row, or with its new body; false where somebody else did.
    async fn write_with(&mut self, lane: Lane, place: Place, body: Option<String>, change: Change) -> bool {
        let queue = self.line.queue.clone();
        let write = move |tx: &mut Tx| {
            match &body {
                None => store::delete(tx, &queue, place)?,
                Some(body) => store::rewrite(tx, &queue, place, body)?,
            }
            change(tx)
        };
        let written = self.outgoing.service.store().write(lane, write).await;
        if let Err(error) = &written {
            tracing::warn!(queue = self.line.queue, %error, "what became of a call could not be written");
        }
        written.is_ok()
    }
}

/// How a call went, for the gate of its target; nothing where none was made.
fn outcome(verdicts: &[Verdict]) -> Option<std::result::Result<(), Failure>> {
    let is_made = verdicts.iter().any(|verdict| !matches!(verdict, Verdict::NotMade));
    let is_taken = verdicts.iter().any(|verdict| !matches!(verdict, Verdict::NotMade | Verdict::Again(..)));
    let failure = verdicts.iter().find_map(|verdict| match verdict {
        Verdict::Again(failure, _) => Some(*failure),
        _ => None,
    });
    is_made.then(|| if is_taken { Ok(()) } else { failure.map_or(Ok(()), Err) })
}
