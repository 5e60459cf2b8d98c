//! Who serves a store: one server, or the nodes of a cluster, which a bus connects.
//!
//! A server that serves a store holds a lease there and renews it each second. One that comes and finds another's
//! watches for a while: where the lease moves, the other lives, and the newcomer is refused; where it does not, the
//! other has died, and the newcomer takes its place. So no clocks are compared, and a crash is over within seconds. The
//! lease is the data folder's: a server that is started again on its folder need not wait. One that was stopped for so
//! long that another took its place ends when it finds out.

use std::sync::Arc;
use std::time::Duration;

use carillon_model::{Key, Timestamp};
use carillon_store::lease::{self, Held};
use carillon_store::{self as store, Lane, Store, Tx};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::clock;
use crate::config::{BusAddress, Settings, StoreAddress};
use crate::error::{Error, Result};

/// The lease's name.
const NAME: &str = "server";
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How long a lease that does not move is watched before its owner counts as dead. A server that has too much to do may
/// be late with several renewals.
const WATCH_FOR: Duration = Duration::from_secs(5);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long giving it back may take; who comes next watches, where it was not given back.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// The time for which this server serves a store.
pub(crate) struct Tenure {
    store: Arc<Store>,
    node: Key,
    /// Ends when another server has the store; nothing where several share it.
    renewing: Option<JoinHandle<Error>>,
}

/// What shows that another server lives.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signs {
    lease: Option<Held>,
    /// Of the nodes of a cluster.
    beats: Vec<(Key, i64)>,
}

impl Tenure {
    /// Begins: as the only one, where no other server lives that serves the store; as one of several, where none lives
    /// that takes itself for the only one.
    pub(crate) async fn begin(store: Arc<Store>, node: Key, settings: &Settings) -> Result<Self> {
        if settings.bus == BusAddress::Local {
            return Self::alone(store, node, &settings.store).await;
        }
        alone(&store, node, &settings.store, false).await?.ok_or_else(|| served(&settings.store))?;
        Ok(Self { store, node, renewing: None })
    }

    /// Begins as the only one: a server, or a command that works on a store which no server may serve meanwhile.
    pub(crate) async fn alone(store: Arc<Store>, node: Key, address: &StoreAddress) -> Result<Self> {
        Self::if_alone(store, node, address).await?.ok_or_else(|| served(address))
    }

    /// The same; nothing where a server serves the store.
    pub(crate) async fn if_alone(
        store: Arc<Store>,
        node: Key,
        address: &StoreAddress,
    ) -> Result<Option<Self>> {
        let Some(seen) = alone(&store, node, address, true).await? else { return Ok(None) };
        if !take(&store, seen.lease, node).await.map_err(|error| unusable(address, &error))? {
            return Ok(None);
        }
        let renewing = Some(tokio::spawn(renew(store.clone(), node, address.to_string())));
        Ok(Some(Self { store, node, renewing }))
    }

    /// Waits until another server has the store, and says so.
    pub(crate) async fn lost(&mut self) -> Error {
        let Some(renewing) = &mut self.renewing else { return std::future::pending().await };
        let lost = renewing.await;
        lost.unwrap_or_else(|error| {
            Error::failure(format!("the lease of the store is kept no more: {error}"))
        })
    }

    /// Gives the store to whoever comes next.
    pub(crate) async fn end(self) {
        let Some(renewing) = self.renewing else { return };
        renewing.abort();
        let node = self.node;
        let release = self.store.write(Lane::Account, move |tx| lease::release(tx, NAME, node));
        if !matches!(tokio::time::timeout(END_TIMEOUT, release).await, Ok(Ok(()))) {
            tracing::warn!("the lease of the store was not given back; the next server waits for it");
        }
    }
}

fn unusable(address: &StoreAddress, error: &store::Error) -> Error {
    Error::failure(format!("the store {address} cannot be used: {error}"))
        .hint("Is --store right, does it run, and may this user write to it?")
}

fn served(address: &StoreAddress) -> Error {
    Error::failure(format!("the store {address} is served by another server")).hint(
        "Stop that one, or give this one a store of its own, or give both the same --bus: without one, two servers \
         on one store would not tell each other's sockets anything.",
    )
}

/// Waits until it is sure that no other server lives that has a lease, or, where `all` are asked for, that is a node of
/// a cluster; nothing where one does.
async fn alone(store: &Store, node: Key, address: &StoreAddress, all: bool) -> Result<Option<Signs>> {
    let look = async || {
        let lease = find(store).await?;
        let beats = if all { store.read(store::beat::list_nodes).await? } else { Vec::new() };
        Ok::<_, store::Error>(Signs { lease, beats })
    };
    let first = look().await.map_err(|error| unusable(address, &error))?;
    if first.beats.is_empty() && first.lease.is_none_or(|held| held.owner == node) {
        return Ok(Some(first));
    }
    tracing::info!("another server has served this store; is it still there?");
    for _ in 0..WATCH_FOR.as_millis() / LOOK_EVERY.as_millis() {
        sleep(LOOK_EVERY).await;
        if look().await.map_err(|error| unusable(address, &error))? != first {
            return Ok(None);
        }
    }
    Ok(Some(first))
}

async fn find(store: &Store) -> store::Result<Option<Held>> {
    store.read(|tx: &mut Tx| lease::find(tx, NAME)).await
}

async fn take(store: &Store, seen: Option<Held>, node: Key) -> store::Result<bool> {
    // Another instant than what was seen, whatever the clocks say.
    let now = clock::real();
    let until = seen.map_or(now, |seen| now.max(Timestamp::from_ms(seen.until.ms() + 1)));
    let by = Held { owner: node, until };
    store.write(Lane::Account, move |tx| lease::replace(tx, NAME, seen, by)).await
}

/// Renews the lease until another server has it.
async fn renew(store: Arc<Store>, node: Key, address: String) -> Error {
    let mut due = interval(RENEW_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        // A store that cannot be reached has no other server either; its lanes say the rest.
        let Ok(seen) = find(&store).await else { continue };
        if seen.is_some_and(|held| held.owner != node) {
            return Error::failure(format!("the store {address} is served by another server by now"));
        }
        let _ = take(&store, seen, node).await;
    }
}
