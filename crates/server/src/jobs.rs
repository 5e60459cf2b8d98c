//! The ticking of jobs. What a job does is the service's affair; when it begins, and on which node, is decided
//! here.
//!
//! Each job has a task of its own, which begins a round when its time comes or a commit says that there is work. A
//! round is made of steps, each a short transaction. Of several nodes that share a store one has the job's lease;
//! each step keeps it, and a node that died is replaced when its time is over. To add a job: a line in [`JOBS`], and a
//! function that steps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use carillon_model::arn::Home;
use carillon_model::{Key, Timestamp};
use carillon_service::chat::retention::Destroying;
use carillon_service::chat::{balancing, retention};
use carillon_service::error::{Error, ErrorCode, Result};
use carillon_service::front::audit::Record;
use carillon_service::{Clock, Service, jobs};
use carillon_store::{self as store, Lane, Store, Tx, Work};
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::supervised;

/// A job.
struct Job {
    /// Its name, which is its lease's.
    name: &'static str,
    /// How often it begins a round.
    every: Duration,
    /// What commit begins one at once.
    woken_by: Option<Work>,
    /// A round.
    run: for<'a> fn(&'a Round<'a>) -> BoxFuture<'a, Result<()>>,
}

/// How often what is old or deleted is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How often a whole table is looked through. The interface promises that what expires is gone within six hours.
const WALK_EVERY: Duration = Duration::from_hours(1);
/// How long a node that died keeps a job from the others.
const LEASE_MS: i64 = 60_000;

/// In the order in which a moved clock runs them: what expires first, then what is left of it.
const JOBS: [Job; 10] = [
    Job {
        name: "flow deadlines",
        every: SWEEP_EVERY,
        woken_by: None,
        run: |round| Box::pin(fail_overdue(round)),
    },
    Job {
        name: "expire channels",
        every: WALK_EVERY,
        woken_by: None,
        run: |round| Box::pin(expire_channels(round)),
    },
    Job {
        name: "expire users",
        every: WALK_EVERY,
        woken_by: None,
        run: |round| Box::pin(expire_users(round)),
    },
    Job {
        name: "leave channels",
        every: SWEEP_EVERY,
        woken_by: Some(Work::Leave),
        run: |round| Box::pin(leave_channels(round)),
    },
    Job { name: "retention", every: WALK_EVERY, woken_by: None, run: |round| Box::pin(retention(round)) },
    Job { name: "trim flows", every: WALK_EVERY, woken_by: None, run: |round| Box::pin(trim_flows(round)) },
    Job { name: "trim tokens", every: WALK_EVERY, woken_by: None, run: |round| Box::pin(trim_tokens(round)) },
    Job {
        name: "trim outbox",
        every: SWEEP_EVERY,
        woken_by: None,
        run: |round| Box::pin(trim_outbox(round)),
    },
    Job {
        name: "balance",
        every: SWEEP_EVERY,
        woken_by: Some(Work::Balance),
        run: |round| Box::pin(balance(round)),
    },
    Job {
        name: "destroy",
        every: SWEEP_EVERY,
        woken_by: Some(Work::Destroy),
        run: |round| Box::pin(destroy(round)),
    },
];

/// What jobs work with.
pub(crate) struct Jobs {
    service: Arc<Service>,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    home: Home,
    /// This node, as the owner of leases.
    node: Key,
    bells: Arc<Bells>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// By job: rows that it could not read, and steps that failed.
    failures: Mutex<BTreeMap<&'static str, u64>>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("failures", &self.failures()).finish_non_exhaustive()
    }
}

/// One bell for each kind of work: a commit rings, a task wakes up.
#[derive(Default)]
pub(crate) struct Bells {
    flow: Notify,
    balance: Notify,
    destroy: Notify,
    leave: Notify,
}

impl Bells {
    /// The bell of this work.
    pub(crate) fn of(&self, work: Work) -> &Notify {
        match work {
            Work::Flow => &self.flow,
            Work::Balance => &self.balance,
            Work::Destroy => &self.destroy,
            Work::Leave => &self.leave,
        }
    }
}

/// One round of a job, while this node has its lease.
struct Round<'a> {
    job: &'static str,
    now: Timestamp,
    jobs: &'a Jobs,
}

impl Jobs {
    /// Starts a task for each job.
    pub(crate) fn start(
        service: Arc<Service>,
        clock: Arc<dyn Clock>,
        node: Key,
        bells: Arc<Bells>,
    ) -> Arc<Self> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (store, home) = (service.store().clone(), service.home().clone());
        let failures = Mutex::default();
        let jobs = Arc::new(Self { service, store, clock, home, node, bells, stop, tasks, failures });
        for job in &JOBS {
            jobs.tasks.spawn(jobs.clone().tick(job));
        }
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
        for job in &JOBS {
            self.round(job).await?;
        }
        Ok(())
    }

    async fn tick(self: Arc<Self>, job: &'static Job) {
        let mut due = interval(job.every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let woken = async {
                match job.woken_by {
                    Some(work) => self.bells.of(work).notified().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = woken => {}
                _ = due.tick() => {}
            }
            if let Some(Err(error)) = supervised::round(job.name, self.round(job)).await {
                self.count_failures(job.name, 1);
                let cause = error.source.as_ref().map(ToString::to_string);
                tracing::warn!(job = job.name, %error, cause, "a job was cut short; it goes on the next time");
            }
        }
    }

    /// What each job could not do, and left out or tries again.
    pub(crate) fn failures(&self) -> Vec<(&'static str, u64)> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.iter().map(|(job, count)| (*job, *count)).collect()
    }

    fn count_failures(&self, job: &'static str, count: u64) {
        if 0 < count {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            *failures.entry(job).or_default() += count;
        }
    }

    async fn round(&self, job: &Job) -> Result<()> {
        let round = Round { job: job.name, now: self.clock.now(), jobs: self };
        (job.run)(&round).await?;
        let (name, node) = (job.name, self.node);
        self.store.write(Lane::Job, move |tx| Ok::<_, Error>(store::lease::release(tx, name, node)?)).await
    }
}

impl Round<'_> {
    /// One step, in this lane; nothing when the round must end, because the server stops or another
    /// node has the lease.
    async fn step<T: Send + 'static>(
        &self,
        lane: Lane,
        step: impl Fn(&mut Tx) -> Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        if self.jobs.stop.is_cancelled() {
            return Ok(None);
        }
        let (job, node, now) = (self.job, self.jobs.node, self.jobs.clock.now());
        let held = move |tx: &mut Tx| {
            if store::lease::hold(tx, job, node, now, now.plus_ms(LEASE_MS))? {
                step(tx).map(Some)
            } else {
                Ok(None)
            }
        };
        self.jobs.store.write(lane, held).await
    }
}

/// What became of a step about one thing of many.
enum Stepped<T> {
    Done(T),
    /// It failed, and was said and counted: the round goes on with the others.
    Failed,
    /// The round must end.
    Stopped,
}

impl Round<'_> {
    /// One step about one thing of many, in its lane. A failure that is not the store's keeps none of
    /// the others waiting; this one is tried again in the next round.
    async fn step_of<T: Send + 'static>(
        &self,
        lane: Lane,
        what: &str,
        step: impl Fn(&mut Tx) -> Result<T> + Send + 'static,
    ) -> Result<Stepped<T>> {
        match self.step(lane, step).await {
            Ok(done) => Ok(done.map_or(Stepped::Stopped, Stepped::Done)),
            Err(error) if error.code == ErrorCode::ServiceUnavailable => Err(error),
            Err(error) => {
                let cause = error.source.as_ref().map(ToString::to_string);
                tracing::error!(job = self.job, what, %error, cause, "a job left something out");
                self.count_failures(1);
                Ok(Stepped::Failed)
            }
        }
    }

    fn count_failures(&self, count: u64) {
        self.jobs.count_failures(self.job, count);
    }
}

impl Round<'_> {
    /// Ends something, and says so in the audit log, where the line has its place before. Nothing where another node
    /// does this job, or where the log takes no lines: then it is ended in another round.
    async fn end(
        &self,
        lane: Lane,
        event: &'static str,
        (name, arn): (&str, &str),
        end: impl Fn(&mut Tx) -> Result<bool> + Send + 'static,
    ) -> Result<Stepped<bool>> {
        let Ok(record) = self.jobs.service.line().await else { return Ok(Stepped::Stopped) };
        let ended = self.step_of(lane, arn, end).await?;
        if let Stepped::Done(true) = ended {
            let (home, now) = (&self.jobs.home, self.jobs.clock.real());
            record.say(|| Record::of_service(event, (name, arn), home, now));
        }
        Ok(ended)
    }
}

/// Ends the waits for processors that did not call back. Each message is moved in the lane of its channel.
async fn fail_overdue(round: &Round<'_>) -> Result<()> {
    let mut failed = 0;
    while round.step(Lane::Job, |_| Ok(())).await?.is_some()
        && round.jobs.service.fail_overdue(jobs::STEP_LEN_MAX, &mut failed).await?
    {}
    round.count_failures(failed.unsigned_abs());
    Ok(())
}

async fn trim_flows(round: &Round<'_>) -> Result<()> {
    let now = round.now;
    while round.step(Lane::Job, move |tx| jobs::trim_flows(tx, now)).await? == Some(true) {}
    Ok(())
}

async fn trim_outbox(round: &Round<'_>) -> Result<()> {
    let now = round.now;
    while round.step(Lane::Job, move |tx| jobs::trim_outbox(tx, now)).await? == Some(true) {}
    Ok(())
}

/// One step in each channel in turn, so that a large one does not keep the others waiting.
async fn balance(round: &Round<'_>) -> Result<()> {
    let mut more = true;
    while more {
        more = false;
        let mut next = Some(balancing::FIRST_CHANNEL);
        while let Some(from) = next {
            let home = round.jobs.home.clone();
            let find = move |tx: &mut Tx| balancing::find_channels(tx, &home, from);
            let (channels, rest) = round.jobs.store.read(find).await?;
            for (arn, key) in channels {
                let (lane, now, balanced) = (Lane::channel(&arn), round.jobs.clock.now(), arn.clone());
                let step =
                    move |tx: &mut Tx| balancing::step(tx, now, (&arn, key), balancing::TRANSFER_LEN_MAX);
                match round.step_of(lane, balanced.as_str(), step).await? {
                    Stepped::Done(stepped) => more |= stepped,
                    Stepped::Failed => {}
                    Stepped::Stopped => return Ok(()),
                }
            }
            next = rest;
        }
    }
    Ok(())
}

async fn destroy(round: &Round<'_>) -> Result<()> {
    let mut after = jobs::FIRST;
    loop {
        let (home, now) = (round.jobs.home.clone(), round.now);
        let destroy = move |tx: &mut Tx| jobs::destroy(tx, &home, now, (after, jobs::STEP_LEN_MAX));
        match round.step_of(Lane::Job, "deleted", destroy).await? {
            Stepped::Done(true) => {}
            Stepped::Done(false) | Stepped::Stopped => return Ok(()),
            // Whatever it was about, each channel that is left has its turn.
            Stepped::Failed => {
                let next = round.jobs.store.read(move |tx: &mut Tx| jobs::find_deleted(tx, after)).await?;
                let Some(next) = next else { return Ok(()) };
                after = next;
            }
        }
    }
}

async fn expire_users(round: &Round<'_>) -> Result<()> {
    let (now, mut next) = (round.now, Some(jobs::FIRST));
    while let Some(from) = next {
        let home = round.jobs.home.clone();
        let find = move |tx: &mut Tx| jobs::find_expired_users(tx, &home, now, from);
        let jobs::Found { due, next: rest, broken } = round.jobs.store.read(find).await?;
        round.count_failures(broken);
        for user in due {
            // In the lane where their settings are changed.
            let (lane, arn) = (Lane::instance(&user.app_instance()), user.as_str().to_owned());
            let expire = move |tx: &mut Tx| jobs::expire_user(tx, now, &user);
            let named = ("AppInstanceUserArn", arn.as_str());
            if let Stepped::Stopped = round.end(lane, "ExpireAppInstanceUser", named, expire).await? {
                return Ok(());
            }
        }
        next = rest;
    }
    Ok(())
}

async fn leave_channels(round: &Round<'_>) -> Result<()> {
    let mut after = jobs::FIRST;
    loop {
        let (home, now) = (round.jobs.home.clone(), round.now);
        let find = move |tx: &mut Tx| jobs::find_leaving(tx, &home, after);
        let (found, broken) = round.jobs.store.read(find).await?;
        let Some(jobs::Leaving { who, channels }) = found else {
            round.count_failures(broken);
            return Ok(());
        };
        let (key, none_left) = (who.key, channels.is_empty());
        let mut failed = false;
        for (channel, arn) in channels {
            let who = who.clone();
            // In its lane: the event follows the channel's others.
            let leave = move |tx: &mut Tx| jobs::leave_channel(tx, now, &who, channel);
            match round.step_of(Lane::channel(&arn), arn.as_str(), leave).await? {
                Stepped::Done(()) => {}
                Stepped::Failed => failed = true,
                Stepped::Stopped => return Ok(()),
            }
        }
        if failed {
            // What is left of theirs has its turn in the next round.
            after = key;
        }
        let finish = move |tx: &mut Tx| jobs::finish_leaving(tx, &who);
        if none_left && round.step(Lane::Job, finish).await?.is_none() {
            return Ok(());
        }
    }
}

async fn trim_tokens(round: &Round<'_>) -> Result<()> {
    let (now, mut next) = (round.now, Some(jobs::first_token()));
    while let Some(from) = next {
        let find = move |tx: &mut Tx| jobs::find_old_tokens(tx, now, &from);
        let (old, rest) = round.jobs.store.read(find).await?;
        let is_work = !old.is_empty();
        let trim = move |tx: &mut Tx| jobs::trim_tokens(tx, now, &old);
        if is_work && round.step(Lane::Job, trim).await?.is_none() {
            return Ok(());
        }
        next = rest;
    }
    Ok(())
}

async fn expire_channels(round: &Round<'_>) -> Result<()> {
    let (now, mut next) = (round.now, Some(jobs::FIRST));
    while let Some(from) = next {
        let home = round.jobs.home.clone();
        let find = move |tx: &mut Tx| jobs::find_expired_channels(tx, &home, now, from);
        let jobs::Found { due, next: rest, broken } = round.jobs.store.read(find).await?;
        round.count_failures(broken);
        for channel in due {
            // In its lane: its last event follows the others.
            let (lane, arn) = (Lane::channel(&channel.arn), channel.arn.as_str().to_owned());
            let expire = move |tx: &mut Tx| jobs::expire_channel(tx, now, channel.clone());
            let named = ("ChannelArn", arn.as_str());
            if let Stepped::Stopped = round.end(lane, "ExpireChannel", named, expire).await? {
                return Ok(());
            }
        }
        next = rest;
    }
    Ok(())
}

/// Looks in read lanes, and only into app instances that destroy messages; a step is made where there is something.
async fn retention(round: &Round<'_>) -> Result<()> {
    let (now, mut next) = (round.now, Some(Key([0; 16])));
    while let Some(from) = next {
        let find = move |tx: &mut Tx| retention::find_instances(tx, now, from);
        let (instances, rest) = round.jobs.store.read(find).await?;
        for destroying in instances {
            destroy_old(round, destroying).await?;
        }
        next = rest;
    }
    Ok(())
}

async fn destroy_old(round: &Round<'_>, destroying: Destroying) -> Result<()> {
    let mut next = Some(String::new());
    while let Some(from) = next {
        let home = round.jobs.home.clone();
        let find = move |tx: &mut Tx| retention::find_channels(tx, &home, destroying, &from);
        let (channels, rest) = round.jobs.store.read(find).await?;
        for (arn, key) in channels {
            let destroy = move |tx: &mut Tx| retention::destroy(tx, key, destroying.bound);
            while round.step(Lane::channel(&arn), destroy).await? == Some(true) {}
        }
        next = rest.filter(|_| !round.jobs.stop.is_cancelled());
    }
    Ok(())
}
