//! What works beside the requests on a node, as the server has it: jobs and the leases of those that are gone, the
//! calls of processors, what leaves the server. The loops are ours, short and without what the network needs; all
//! that they ask and report is the service's and the store's own.

use std::sync::Arc;
use std::time::Duration;

use carillon_model::Key;
use carillon_model::channel_flow::{Failure, Reason};
use carillon_service::error::{Error, Result};
use carillon_service::front::invocation::Invocation;
use carillon_service::front::rounds::{LeaseWatch, Runner};
use carillon_service::front::shards::{Owned, Shards};
use carillon_service::jobs::{self, Job};
use carillon_service::{Clock, Service};
use carillon_store::lease::Held;
use carillon_store::outgoing::{self, Place, STREAM};
use carillon_store::{Lane, Tx, Work};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use crate::ground::{Called, Ground, NodeClock, lock};

const LOOK_EVERY: Duration = Duration::from_millis(500);
const REFRESH_EVERY: Duration = Duration::from_secs(1);
const LEASES_EVERY: Duration = Duration::from_secs(2);
/// More often than the server has it: a history is short.
const JOBS_EVERY: Duration = Duration::from_secs(15);
const CALL_TIMEOUT: Duration = Duration::from_millis(2_500);
/// How long a stream takes for its answer.
const STREAM_TAKES: Duration = Duration::from_millis(20);
const FUNCTIONS_LEN_MAX: usize = 8;
const LEASE_LEN_MAX: i64 = 8;
const ROWS_MAX: i64 = 50;

/// What the rooms of a node work with.
#[derive(Clone)]
pub(crate) struct Room {
    pub(crate) service: Arc<Service>,
    pub(crate) clock: Arc<NodeClock>,
    pub(crate) ground: Ground,
    pub(crate) key: Key,
    pub(crate) bells: Arc<Bells>,
    /// Held for a round, so that a node never takes a lease from itself.
    pub(crate) at_work: Arc<tokio::sync::Mutex<()>>,
}

/// What a commit rings.
#[derive(Default)]
pub(crate) struct Bells {
    flow: Notify,
    outgoing: Notify,
}

impl Bells {
    pub(crate) fn ring(&self, work: Work) {
        match work {
            Work::Flow => self.flow.notify_one(),
            Work::Outgoing => self.outgoing.notify_one(),
            Work::Balance | Work::Destroy | Work::Leave => {}
        }
    }
}

/// What a failed round left is done by the next one, so nobody asks how it went.
fn as_the_next_time<T>(_: Result<T>) {}

impl Room {
    /// Begins all of it, on the present runtime.
    pub(crate) fn open(self) {
        tokio::spawn(self.clone().refresh());
        tokio::spawn(self.clone().work());
        tokio::spawn(self.clone().watch());
        tokio::spawn(self.clone().call_processors());
        tokio::spawn(self.hand_over());
    }

    async fn refresh(self) {
        loop {
            sleep(REFRESH_EVERY).await;
            as_the_next_time(self.service.refresh_access().await);
            as_the_next_time(self.service.store().refresh_outlets().await.map_err(Error::from));
        }
    }

    async fn work(self) {
        loop {
            sleep(JOBS_EVERY).await;
            self.run_jobs().await;
        }
    }

    /// A round of each job.
    pub(crate) async fn run_jobs(&self) {
        for job in jobs::ALL.iter().filter(|job| Some(job.name) != self.ground.skipped) {
            self.round(job, None).await;
        }
    }

    async fn round(&self, job: &Job, taken_up: Option<Held>) {
        let _alone = self.at_work.lock().await;
        let runner = Runner { node: self.key, rows_max: i64::MAX, stopped: &|| false, taken_up };
        as_the_next_time(self.service.round(job, &runner).await.end);
    }

    async fn watch(self) {
        let mut watch = LeaseWatch::default();
        loop {
            sleep(LEASES_EVERY).await;
            for (job, left) in watch.look(&self.service, self.key).await.unwrap_or_default() {
                self.round(job, Some(left)).await;
            }
        }
    }

    async fn call_processors(self) {
        loop {
            let _ = timeout(LOOK_EVERY, self.bells.flow.notified()).await;
            as_the_next_time(self.call_due().await);
        }
    }

    async fn call_due(&self) -> Result<()> {
        for waiting in self.service.list_waiting("", FUNCTIONS_LEN_MAX).await? {
            if self.clock.now() < waiting.due_at {
                continue;
            }
            for invocation in self.service.lease_invocations(&waiting.function, LEASE_LEN_MAX).await? {
                tokio::spawn(self.clone().call(invocation));
            }
        }
        Ok(())
    }

    async fn call(self, invocation: Invocation) {
        if invocation.lease_until <= self.clock.now() {
            return;
        }
        let (taken, answer) = oneshot::channel();
        lock(&self.ground.calls).push(Called { payload: invocation.payload.clone(), taken });
        let timed_out = Failure { reason: Reason::TimedOut, permanent: false };
        let answer = timeout(CALL_TIMEOUT, answer).await.ok().and_then(std::result::Result::ok);
        match answer.unwrap_or(Err(timed_out)) {
            Ok(()) => as_the_next_time(self.service.handed_over(&invocation).await),
            Err(failure) => as_the_next_time(self.service.not_handed_over(&invocation, failure).await),
        }
    }

    async fn hand_over(self) {
        let mut shards = Shards::new(self.key);
        let owned = shards.owned();
        loop {
            as_the_next_time(shards.look(&self.service, |_| true).await);
            for _ in 0..2 {
                let _ = timeout(LOOK_EVERY, self.bells.outgoing.notified()).await;
                as_the_next_time(self.hand_over_all(&owned).await);
            }
        }
    }

    /// Hands the rows of each line over, and deletes what was taken.
    async fn hand_over_all(&self, owned: &Owned) -> Result<()> {
        let store = self.service.store();
        for line in store.read(|tx: &mut Tx| Ok::<_, Error>(outgoing::list_lines(tx)?)).await? {
            let read = line.clone();
            let rows = store
                .read(move |tx: &mut Tx| Ok::<_, Error>(outgoing::list(tx, &read, Place::FIRST, ROWS_MAX)?))
                .await?;
            if rows.is_empty() || !owned.may_begin(line.shard, self.clock.steady()) {
                continue;
            }
            let places: Vec<Place> = rows.iter().map(|row| row.place).collect();
            let record = |place: &Place| (place.channel, place.sequence, place.part);
            let records: Vec<_> = places.iter().map(record).collect();
            // What operators are told goes into a log, which takes all.
            let is_for_stream = line.queue.split(' ').next() == Some(STREAM);
            let is_taken = !is_for_stream || lock(&self.ground.stream).take(&records);
            sleep(STREAM_TAKES).await;
            if is_taken {
                let (queue, lane) = (line.queue, Lane::Outgoing(line.shard));
                let delete = move |tx: &mut Tx| {
                    let mut places = places.iter();
                    Ok::<_, Error>(places.try_for_each(|place| outgoing::delete_done(tx, &queue, *place))?)
                };
                store.write(lane, delete).await?;
            }
        }
        Ok(())
    }
}
