//! What a service stands on, of a server and of a command beside it alike: secrets, the store, the clock.

use std::path::Path;
use std::sync::Arc;

use carillon_auth::KeyRing;
use carillon_service::front::audit::Ledger;
use carillon_service::{Clock as _, Service};
use carillon_store::moving::{self, Unfinished};
use carillon_store::{Location, Sink, Store};
use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};

use crate::clock::{self, SystemClock};
use crate::config::{Settings, StoreAddress, flows};
use crate::credentials::RootKey;
use crate::error::{Error, Result};
use crate::key_sets::FetchedKeySets;
use crate::master_key::{self, Origin};
use crate::progress::grouped;

/// What nobody else knows.
pub(super) struct Secrets {
    /// The source of all ids.
    pub(super) random: StdRng,
    /// The root access key.
    pub(super) root: RootKey,
    /// The master keys.
    pub(super) keys: KeyRing,
}

impl Secrets {
    /// Reads them from a data folder, or makes them there.
    pub(super) fn open(settings: &Settings, data_dir: &Path) -> Result<Self> {
        let mut random = StdRng::try_from_rng(&mut SysRng)
            .map_err(|error| Error::failure(format!("the system has no randomness: {error}")))?;
        let root = RootKey::open(data_dir, &mut random)?;
        let keys = open_keys(settings, data_dir, &root, &mut random)?;
        Ok(Self { random, root, keys })
    }
}

/// What stands below a service.
pub(super) struct Ground {
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<SystemClock>,
    pub(super) key_sets: Arc<FetchedKeySets>,
    pub(super) public_host: String,
    pub(super) audit: Option<Arc<dyn Ledger>>,
}

/// The service on its ground.
pub(super) fn make_service(settings: &Settings, secrets: Secrets, ground: Ground) -> Result<Arc<Service>> {
    let (Secrets { random, root, keys }, Ground { store, clock, key_sets, public_host, audit }) =
        (secrets, ground);
    Ok(Arc::new(Service::new(carillon_service::Settings {
        store,
        home: settings.home.clone(),
        clock,
        random,
        root: root.to_root(),
        keys,
        key_sets,
        processors: flows::processors(&settings.processors)?,
        patience: settings.patience,
        functions: settings.functions.clone(),
        shy_bots: settings.shy_bots.clone(),
        quotas: settings.quotas,
        searched: settings.searched.clone(),
        rates: settings.rates,
        public_host,
        audit,
    })))
}

/// Opens the master keys. Nodes that share a store agree on one without being told, if all are given the same root
/// credentials.
fn open_keys(settings: &Settings, data_dir: &Path, root: &RootKey, random: &mut StdRng) -> Result<KeyRing> {
    let shares_store = !matches!(settings.store.location, Location::Sqlite(_));
    let shares_root = RootKey::from_environment()?.is_some();
    let origin = if shares_store && shares_root { Origin::Shared(root) } else { Origin::Random };
    master_key::open(data_dir, &origin, random)
}

/// Reads who may sign, whose secrets are sealed with the first master key from here on.
pub(super) async fn open_access(service: &Service) -> Result<()> {
    let unread = |error| Error::failure(format!("who may sign cannot be read: {error}"));
    let resealed = service.reseal().await.map_err(unread)?;
    if 0 < resealed.unreadable {
        let sentence = format!(
            "no master key opens {} of the access keys in the store, so whoever has them would be turned away",
            resealed.unreadable
        );
        return Err(Error::failure(sentence).hint(
            "Give the key that they were sealed with too, after the new one: CARILLON_MASTER_KEY=new,old",
        ));
    }
    if 0 < resealed.sealed {
        tracing::info!(secrets = resealed.sealed, "sealed anew with the first master key");
    }
    service.refresh_access().await.map_err(unread)
}

/// Opens the store, on a thread that may wait.
pub async fn open_store(address: &StoreAddress, sink: Sink) -> Result<Arc<Store>> {
    let (location, lanes) = (address.location.clone(), address.lanes);
    let opening =
        tokio::task::spawn_blocking(move || Store::open_with(&location, lanes, clock::real().ms(), &sink));
    let opened = opening.await.map_err(|error| Error::failure(format!("the store cannot open: {error}")))?;
    opened.map(Arc::new).map_err(|error| {
        let hint = match &error {
            carillon_store::Error::Newer(_) => {
                "Run the carillon that brought the store there, or give this one another store."
            }
            _ => "Is --store right, does it run, and may this user write to it?",
        };
        Error::failure(format!("the store {address} cannot be used: {error}")).hint(hint)
    })
}

/// Fails where an import was cut off, and the store holds a part of an archive. Of an app instance that was not brought
/// from a service to its end it only warns: others may be in the store, and the service may be gone.
pub(super) async fn check_whole(store: &Store, address: &StoreAddress) -> Result<()> {
    store.read(moving::check).await.map_err(|error| {
        Error::failure(format!("the store {address} cannot be used: {error}"))
            .hint("Repeat `carillon import` with the same archive: it goes on where it was.")
    })?;
    let unread = |error| Error::failure(format!("the store {address} cannot be read: {error}"));
    for unfinished in store.read(moving::unfinished).await.map_err(unread)? {
        tracing::warn!("{}", words_of(&unfinished));
    }
    Ok(())
}

/// How an import is told that has not come to its end.
pub fn words_of(unfinished: &Unfinished) -> String {
    match unfinished {
        Unfinished::Archive(rows) => {
            let rows = grouped(*rows);
            format!(
                "an import was cut off after {rows} rows of an archive, and no server serves a part of one"
            )
        }
        Unfinished::Service(instance) => {
            let id = instance.uuid();
            format!(
                "the import of app instance {id} from a service was cut off, so what clients see of it is not whole"
            )
        }
    }
}

/// The clock, as far ahead as tests have moved it. Without the test clock it is never ahead, whatever was done to
/// the store before.
pub(super) async fn start_clock(settings: &Settings, store: &Store) -> Result<Arc<SystemClock>> {
    let clock = Arc::new(SystemClock::default());
    if settings.test_clock {
        let ahead_ms = store.read(clock::find_ahead_ms).await.map_err(|error| {
            Error::failure(format!("the store {} cannot be read: {error}", settings.store))
        })?;
        clock.set_ahead_ms(ahead_ms);
        tracing::warn!(now = %clock.now(), "the test clock is on: whoever reaches this server can move its time");
    }
    Ok(clock)
}

/// Tells the store what time it is.
pub(super) fn set_clock(store: &Store, clock: &SystemClock) {
    if store.set_clock(clock.now()) {
        tracing::warn!(now = %clock.now(), "the store holds events of a later time: was the clock wrong?");
    }
}
