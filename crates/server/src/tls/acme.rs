//! Certificates by ACME (RFC 8555): one node orders and renews, under a lease, and all show what the store keeps.
//!
//! Every second each node looks at the store: for a new certificate, and for the answers to challenges, which it
//! gives on both listeners. Whoever takes the lease keeps it while it orders; what an order leads to is written only
//! under the lease. A try that fails is a line of the log, counted, and repeated later and later; the certificate
//! before serves on.

mod kept;
mod measured;
mod order;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use carillon_auth::Sealer;
use carillon_model::{Key, Timestamp};
use carillon_store::lease::{self, Held};
use carillon_store::{self as store, Lane, Store, Tx};
use instant_acme::{Account, AccountCredentials};
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::certificate::{Answer, Pair, Shown};
use crate::config::AcmeSettings;
use crate::{clock, supervised};
pub(crate) use kept::PURPOSE;
use kept::{Kept, Record};
use measured::Counts;
pub(crate) use measured::{Expiry, Orders};
use order::{Issued, Reason};

/// The lease's name.
const NAME: &str = "acme";
/// How often a node looks at the store.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long other nodes may take to learn of answers, before the authority is told to ask: two looks.
const TELL_FOR: Duration = Duration::from_secs(2);
/// How often the lease is kept during an order.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// How long a lease that does not move is watched before its owner counts as gone.
const WATCH_FOR: Duration = Duration::from_secs(20);
/// How long an order may take in all.
const ORDER_TIMEOUT: Duration = Duration::from_mins(4);
/// The longest time between two tries.
const RETRY_MAX: Duration = Duration::from_hours(6);
/// How often the authority is asked at most, and at least, when it would have a certificate renewed.
const ASK_EVERY_MIN: Duration = Duration::from_mins(10);
const ASK_EVERY_MAX: Duration = Duration::from_hours(24);

/// What it works with.
pub(crate) struct Place {
    pub(crate) store: Arc<Store>,
    pub(crate) node: Key,
    pub(crate) sealer: Sealer,
    pub(crate) shown: Arc<Shown>,
    pub(crate) random: StdRng,
    /// Whether other nodes answer challenges, too.
    pub(crate) is_shared: bool,
}

/// Keeps a certificate, until it is stopped.
pub(crate) struct Acme {
    inner: Arc<Inner>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Inner {
    settings: AcmeSettings,
    store: Arc<Store>,
    node: Key,
    kept: Kept,
    shown: Arc<Shown>,
    is_shared: bool,
    random: Mutex<StdRng>,
    /// The chain that is shown.
    chain: Mutex<String>,
    /// Another's lease, and since when it stands so.
    watched: Mutex<Option<(Held, Instant)>>,
    counts: Arc<Counts>,
}

impl Acme {
    /// Begins.
    pub(crate) fn start(settings: AcmeSettings, place: Place) -> Self {
        let Place { store, node, sealer, shown, random, is_shared } = place;
        let inner = Arc::new(Inner {
            kept: Kept::new(&settings, sealer),
            settings,
            store,
            node,
            counts: Arc::default(),
            shown,
            is_shared,
            random: Mutex::new(random),
            chain: Mutex::default(),
            watched: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let (working, stopping) = (inner.clone(), stop.clone());
        let task = tokio::spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = working.work() => {}
            }
        });
        Self { inner, stop, task }
    }

    /// What is measured of it.
    pub(crate) fn measured(&self) -> Orders {
        Orders(self.inner.counts.clone())
    }

    /// Ends, also in the midst of an order: another node, or the next start, begins it anew.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the keeper of the certificate ended badly");
        }
        let node = self.inner.node;
        let release = self.inner.store.write(Lane::Account, move |tx| lease::release(tx, NAME, node));
        if let Err(error) = release.await {
            tracing::debug!(%error, "the lease of certificates is not given back");
        }
    }
}

impl Inner {
    async fn work(&self) {
        // The listeners are there before the first look.
        let mut due = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            due.tick().await;
            match supervised::round("certificates", self.round()).await {
                Some(Ok(())) => failing = false,
                Some(Err(error)) if !failing => {
                    failing = true;
                    tracing::debug!(%error, "the certificate in the store cannot be looked at");
                }
                Some(Err(_)) | None => {}
            }
        }
    }

    async fn round(&self) -> Result<(), Reason> {
        let (record, answers) = self.look().await?;
        self.show(&record, answers);
        let now = clock::real();
        if !record.is_due(now) && !record.is_to_ask(now) {
            return Ok(());
        }
        let Some(held) = self.take(now).await? else { return Ok(()) };
        let held = Mutex::new(held);
        // What was seen before the lease was taken may be what another has changed since.
        let (record, _) = self.look().await?;
        let next = tokio::select! {
            lost = self.keep(&held) => {
                tracing::warn!(%lost, "another node orders the certificate now");
                return Ok(());
            }
            next = self.attempt(record) => next,
        };
        let (record, held) = (next, *held.lock().unwrap_or_else(PoisonError::into_inner));
        self.settle(record, held).await?;
        let (record, answers) = self.look().await?;
        self.show(&record, answers);
        Ok(())
    }

    async fn look(&self) -> store::Result<(Record, Vec<Answer>)> {
        let kept = self.kept.clone();
        self.store.read(move |tx: &mut Tx| kept.look(tx)).await
    }

    /// Shows what the store keeps. What cannot be shown is said, and what was shown before is shown further.
    fn show(&self, record: &Record, answers: Vec<Answer>) {
        if let Err(error) = self.shown.prove(answers) {
            tracing::error!(%error, "a challenge of the certificate authority cannot be answered");
        }
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        if record.chain.is_empty() || record.chain == *chain {
            return;
        }
        chain.clone_from(&record.chain);
        match Pair::parse(&record.chain, &record.key) {
            Ok(pair) => {
                tracing::info!(not_after = %pair.validity.not_after, "showing another certificate");
                self.shown.replace(pair);
            }
            Err(reason) => tracing::error!(reason, "the certificate in the store cannot be used"),
        }
    }

    /// Takes the lease, where nobody has it, or nobody who lives.
    async fn take(&self, now: Timestamp) -> store::Result<Option<Held>> {
        let seen = self.store.read(|tx: &mut Tx| lease::find(tx, NAME)).await?;
        let known = {
            let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            match seen.filter(|seen| seen.owner != self.node) {
                None => None,
                Some(other) => match *watched {
                    Some((held, since)) if held == other && WATCH_FOR <= since.elapsed() => Some(other),
                    Some((held, _)) if held == other => return Ok(None),
                    _ => {
                        *watched = Some((other, Instant::now()));
                        return Ok(None);
                    }
                },
            }
        };
        let node = self.node;
        self.store.write(Lane::Account, move |tx| lease::keep(tx, NAME, node, known, now)).await
    }

    /// Keeps the lease for as long as it is kept, and says why it is no more.
    async fn keep(&self, held: &Mutex<Held>) -> Reason {
        loop {
            tokio::time::sleep(KEEP_EVERY).await;
            let (node, now) = (self.node, clock::real());
            let known = *held.lock().unwrap_or_else(PoisonError::into_inner);
            let kept =
                self.store.write(Lane::Account, move |tx| lease::keep(tx, NAME, node, Some(known), now));
            match kept.await {
                Ok(Some(next)) => *held.lock().unwrap_or_else(PoisonError::into_inner) = next,
                Ok(None) => return "the lease is another's".into(),
                Err(error) => return error.to_string().into(),
            }
        }
    }

    /// What a try makes of a record.
    async fn attempt(&self, record: Record) -> Record {
        let now = clock::real();
        let is_order = record.is_due(now);
        let trying = tokio::time::timeout(ORDER_TIMEOUT, self.try_once(&record, is_order));
        let tried = trying.await.unwrap_or_else(|_| Err("the authority took too long".into()));
        let reason = match tried {
            Ok(next) => {
                if is_order {
                    self.counts.issued.fetch_add(1, Ordering::Relaxed);
                    let renew_at = Timestamp::from_ms(next.renew_at_ms);
                    tracing::info!(domains = ?self.settings.domains, %renew_at, "a certificate was issued");
                }
                return next;
            }
            Err(reason) => reason,
        };
        let failures = record.failures + 1;
        let wait_ms = self.wait_ms(failures);
        let domains = &self.settings.domains;
        if is_order {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
            tracing::error!(?domains, %reason, retry_ms = wait_ms, "no certificate was issued");
        } else {
            tracing::warn!(?domains, %reason, "when the certificate is to be renewed cannot be asked");
        }
        let account_gone = order::is_account_gone(&reason);
        if account_gone && let Err(error) = self.keep_account(&serde_json::Value::Null).await {
            tracing::debug!(%error, "the account cannot be forgotten");
        }
        Record { failures, try_at_ms: clock::real().plus_ms(wait_ms).ms(), ..record }
    }

    /// How long until the next try: doubled with each that failed, and not at one moment for all servers of the world.
    fn wait_ms(&self, failures: u32) -> i64 {
        let doubled = self.settings.retry.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let wait = doubled.min(RETRY_MAX).mul_f64(self.fraction().mul_add(0.5, 0.75));
        i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
    }

    fn fraction(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    fn nonce(&self) -> [u8; 12] {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    async fn try_once(&self, record: &Record, is_order: bool) -> Result<Record, Reason> {
        let account = self.account().await?;
        let mut next = record.clone();
        if is_order {
            let mut kinds: Vec<_> = self.settings.proofs.iter().map(|proof| order::kind(*proof)).collect();
            let first = usize::try_from(record.failures).unwrap_or_default() % kinds.len();
            kinds.rotate_left(first);
            let publish = async |answers| self.publish(answers).await;
            let Issued { chain, key } =
                order::order(&account, &self.settings.domains, &kinds, publish).await?;
            let pair = Pair::parse(&chain, &key)?;
            let (from, to) = (pair.validity.not_before.ms(), pair.validity.not_after.ms());
            // At two thirds of its life, unless the authority wishes otherwise.
            next = Record { chain, key, renew_at_ms: from + (to - from) / 3 * 2, ..Record::default() };
        }
        let now = clock::real();
        let every = match order::wish(&account, &next.chain, self.fraction()).await {
            Ok(Some((at, every))) => {
                next.renew_at_ms = at.ms();
                every
            }
            Ok(None) => ASK_EVERY_MAX,
            // The certificate is there, whatever became of the wish.
            Err(reason) if is_order => {
                tracing::warn!(%reason, "when the certificate is to be renewed cannot be asked");
                ASK_EVERY_MIN
            }
            Err(reason) => return Err(reason),
        };
        let every = every.clamp(ASK_EVERY_MIN, ASK_EVERY_MAX);
        next.ask_at_ms = now.plus_ms(i64::try_from(every.as_millis()).unwrap_or(i64::MAX)).ms();
        (next.failures, next.try_at_ms) = (0, 0);
        Ok(next)
    }

    /// The account, which is made once for all nodes.
    async fn account(&self) -> Result<Account, Reason> {
        let kept = self.kept.clone();
        let known = self.store.read(move |tx: &mut Tx| kept.account(tx)).await?;
        let known = known.and_then(|known| serde_json::from_value::<AccountCredentials>(known).ok());
        let (account, made) = order::open_account(&self.settings, known).await?;
        if let Some(made) = made {
            self.keep_account(&serde_json::to_value(&made)?).await?;
        }
        Ok(account)
    }

    async fn keep_account(&self, account: &serde_json::Value) -> store::Result<()> {
        let (kept, nonce, account) = (self.kept.clone(), self.nonce(), account.clone());
        self.store.write(Lane::Account, move |tx| kept.set_account(tx, &account, nonce)).await
    }

    /// Makes answers known, here and to the other nodes.
    async fn publish(&self, answers: Vec<Answer>) -> Result<(), Reason> {
        let (kept, nonce, published) = (self.kept.clone(), self.nonce(), answers.clone());
        self.store.write(Lane::Account, move |tx| kept.set_answers(tx, &published, nonce)).await?;
        self.shown.prove(answers)?;
        if self.is_shared {
            tokio::time::sleep(TELL_FOR).await;
        }
        Ok(())
    }

    /// Writes what came of a try, where the lease is still held, and gives it back. Nobody is asked anything any more.
    async fn settle(&self, record: Record, held: Held) -> store::Result<()> {
        let (kept, nonces, node) = (self.kept.clone(), [self.nonce(), self.nonce()], self.node);
        let now = clock::real();
        let settled = self.store.write(Lane::Account, move |tx| {
            if lease::keep(tx, NAME, node, Some(held), now)?.is_none() {
                return Ok(false);
            }
            kept.set_record(tx, &record, nonces[0])?;
            kept.set_answers(tx, &[], nonces[1])?;
            Ok::<_, store::Error>(true)
        });
        if settled.await? {
            self.store.write(Lane::Account, move |tx| lease::release(tx, NAME, node)).await?;
        }
        Ok(())
    }
}
