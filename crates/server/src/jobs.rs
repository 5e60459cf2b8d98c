//! The ticking of jobs: each has a task of its own, which begins a round when its time comes or a commit says that
//! there is work. What jobs there are, and how a round goes, is the service's affair. One more task watches the leases
//! of other nodes, and takes up what one that is gone had begun.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use carillon_meter::{Reading, Times};
use carillon_model::Key;
use carillon_service::Service;
use carillon_service::error::Result;
use carillon_service::front::rounds::{End, LeaseWatch, Runner};
use carillon_service::jobs::{self, Job};
use carillon_store::Work;
use carillon_store::lease::Held;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::supervised;

/// How often the leases of other nodes are looked at. With the time for which they may rest, what a node left is taken
/// up within fifteen seconds.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How soon a job looks again that was woken while another node was at it: that one may have looked before.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What jobs work with.
pub(crate) struct Jobs {
    service: Arc<Service>,
    /// This node, as the owner of leases.
    node: Key,
    bells: Arc<Bells>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// By name.
    states: BTreeMap<&'static str, State>,
}

/// What is kept of a job.
#[derive(Default)]
struct State {
    /// Held for a round, so that this node never takes a lease from itself.
    under_way: tokio::sync::Mutex<()>,
    /// How long rounds took.
    times: Times,
    /// Rows that it could not read, and steps that failed.
    failures: AtomicU64,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.failures()).finish()
    }
}

/// One bell for each kind of work: a commit rings, a task wakes up.
#[derive(Default)]
pub(crate) struct Bells {
    flow: Notify,
    balance: Notify,
    destroy: Notify,
    leave: Notify,
    outgoing: Notify,
}

impl Bells {
    /// The bell of this work.
    pub(crate) fn of(&self, work: Work) -> &Notify {
        match work {
            Work::Flow => &self.flow,
            Work::Balance => &self.balance,
            Work::Destroy => &self.destroy,
            Work::Leave => &self.leave,
            Work::Outgoing => &self.outgoing,
        }
    }
}

impl Jobs {
    /// Starts a task for each job.
    pub(crate) fn start(service: Arc<Service>, node: Key, bells: Arc<Bells>) -> Arc<Self> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let states = jobs::ALL.iter().map(|job| (job.name, State::default())).collect();
        let jobs = Arc::new(Self { service, node, bells, stop, tasks, states });
        for job in &jobs::ALL {
            jobs.tasks.spawn(jobs.clone().tick(job));
        }
        jobs.tasks.spawn(jobs.clone().watch());
        jobs
    }

    /// Lets each step that has begun end, and no other begin.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Runs what is due, at once: the clock was moved.
    pub(crate) async fn run_due(&self) -> Result<()> {
        for job in &jobs::ALL {
            // What another node is at may have begun before.
            while self.round(job, None).await? == End::Elsewhere {
                sleep(LOOK_AGAIN_AFTER).await;
            }
        }
        Ok(())
    }

    /// Takes up what nodes have begun that are gone.
    async fn watch(self: Arc<Self>) {
        let mut watch = LeaseWatch::default();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(LOOK_EVERY) => {}
            }
            // A store that cannot be read is said by those who have something to do there.
            let looked = supervised::round("leases", watch.look(&self.service, self.node)).await;
            for (job, left) in looked.and_then(Result::ok).into_iter().flatten() {
                tracing::info!(job = job.name, node = %left.owner, "a job of a node that is gone is taken up");
                let jobs = self.clone();
                self.tasks.spawn(async move { jobs.round_aloud(job, Some(left)).await });
            }
        }
    }

    async fn tick(self: Arc<Self>, job: &'static Job) {
        let mut due = interval(job.every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks_again = false;
        loop {
            let woken = async {
                match job.woken_by {
                    Some(work) => self.bells.of(work).notified().await,
                    None => std::future::pending().await,
                }
            };
            let is_woken = tokio::select! {
                () = self.stop.cancelled() => return,
                () = woken => true,
                _ = due.tick() => looks_again,
            };
            looks_again = self.round_aloud(job, None).await == Some(End::Elsewhere) && is_woken;
            if looks_again {
                due.reset_after(LOOK_AGAIN_AFTER);
            }
        }
    }

    /// A round; what cut it short is said and counted.
    async fn round_aloud(&self, job: &Job, taken_up: Option<Held>) -> Option<End> {
        match supervised::round(job.name, self.round(job, taken_up)).await? {
            Ok(end) => Some(end),
            Err(error) => {
                self.count_failures(job.name, 1);
                let cause = error.source.as_ref().map(ToString::to_string);
                if supervised::is_news(&error) {
                    tracing::warn!(job = job.name, %error, cause, "a job was cut short; it goes on the next time");
                }
                None
            }
        }
    }

    async fn round(&self, job: &Job, taken_up: Option<Held>) -> Result<End> {
        let state = &self.states[job.name];
        let _alone = state.under_way.lock().await;
        let begun = Instant::now();
        let stopped = || self.stop.is_cancelled();
        let runner = Runner { node: self.node, rows_max: i64::MAX, stopped: &stopped, taken_up };
        let outcome = self.service.round(job, &runner).await;
        state.times.observe(begun.elapsed());
        self.count_failures(job.name, outcome.failed);
        outcome.end
    }

    /// What each job could not do, and left out or tries again.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.states.iter().map(|(job, state)| (*job, state.failures.load(Ordering::Relaxed)))
    }

    /// How long the rounds of each job took.
    pub(crate) fn times(&self) -> impl Iterator<Item = (&'static str, Reading)> {
        self.states.iter().map(|(job, state)| (*job, state.times.read()))
    }

    fn count_failures(&self, job: &'static str, count: u64) {
        self.states[job].failures.fetch_add(count, Ordering::Relaxed);
    }
}
