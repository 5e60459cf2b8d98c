//! The wiring: one linear function that puts the server together, in the order of the log that it writes, and
//! the one that takes it apart again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use carillon_auth::KeyRing;
use carillon_delivery::Hub;
use carillon_model::{AppInstanceArn, Key};
use carillon_service::{Clock, Service};
use carillon_store::{Committed, Location, Sink, Store};
use prometheus_client::collector::Collector;
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt as _, SeedableRng as _};

use crate::access::Watch;
use crate::audit::{self, Log, TurnedAway, Writer};
use crate::clock::{self, SystemClock};
use crate::config::{Settings, StoreAddress, flows};
use crate::credentials::RootKey;
use crate::data_dir::{self, DataDir};
use crate::error::{Error, Result};
use crate::exchange::Exchange;
use crate::flows::Flows;
use crate::http::{
    self, Door, Front, Intake, Listening, Measured, Places, Speech, UNSIGNED_PER_SECOND_MAX, bind,
    metrics_router, router, serve_at,
};
use crate::jobs::{Bells, Jobs};
use crate::key_sets::FetchedKeySets;
use crate::master_key::{self, Origin};
use crate::metrics::{Metrics, Sockets, Tasks};
use crate::process;
use crate::stop::StopSignal;
use crate::tenure::Tenure;
use crate::tls::Tls;

/// How long requests in flight, and sockets, may take to end. With the store's time it stays within the ten
/// seconds after which supervisors kill.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests may take to end whose clients have hung up, once the listeners are closed.
const REQUESTS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the store may take to write what is queued.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long tasks that nobody waits for may take to be dropped.
const TASKS_TIMEOUT: Duration = Duration::from_secs(1);

/// A server that runs.
pub struct Running {
    /// The service.
    pub service: Arc<Service>,
    /// The clock.
    pub clock: Arc<SystemClock>,
    /// The root access key.
    pub root: RootKey,
    /// Where it listens for plain HTTP.
    pub http: Option<SocketAddr>,
    /// Where it listens for HTTPS.
    pub https: Option<SocketAddr>,
    /// The CA that clients must be told to trust.
    pub ca: Option<PathBuf>,
    front: Arc<Front>,
    hub: Arc<Hub>,
    listening: Vec<Listening>,
    exchange: Option<Arc<Exchange>>,
    access: Watch,
    jobs: Arc<Jobs>,
    flows: Arc<Flows>,
    audit: Writer,
    stop: StopSignal,
    tenure: Tenure,
    /// Given back last, when nothing writes to it any more.
    _data_dir: DataDir,
}

/// Puts the server together.
#[expect(clippy::too_many_lines, reason = "one linear function, which reads as the log of a start")]
pub async fn start(settings: &Settings) -> Result<Running> {
    process::keep_private();
    let stop = StopSignal::listen()?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    let mut random = StdRng::try_from_rng(&mut SysRng)
        .map_err(|error| Error::failure(format!("the system has no randomness: {error}")))?;

    let data_dir = DataDir::open(&settings.data_dir)?;
    let root = RootKey::open(data_dir.path(), &mut random)?;
    let keys = open_keys(settings, data_dir.path(), &root, &mut random)?;
    tracing::info!(path = %data_dir.path().display(), access_key_id = root.access_key_id, "data folder");

    // The ports are taken before the store is touched: a second server must not migrate what a first one uses.
    let (plain, secure) = (settings.http.map(bind).transpose()?, settings.https.map(bind).transpose()?);
    let measuring = settings.metrics.listen.map(bind).transpose()?;
    let [http, https] = [&plain, &secure].map(|port| port.as_ref().map(|port| port.address));
    let public_host = settings.public_host(http, https);
    let open_tls = |_| Tls::open(&settings.certificate, data_dir.path(), &public_host, clock::real());
    let tls = https.map(open_tls).transpose()?;

    let hub = Hub::start();
    let bells = Arc::<Bells>::default();
    if let Location::Sqlite(path) = &settings.store.location {
        data_dir::tighten(path);
    }
    let store = open_store(&settings.store, sink(&hub, bells.clone())).await?;
    let node = data_dir.node(Key::random(random.random()))?;
    let tenure = Tenure::begin(store.clone(), node, &settings.store).await?;
    tracing::info!(store = %settings.store, "store");

    audit::remember(&settings.audit, data_dir.path())?;
    let Log { ledger, counts, writer: audit } = audit::start(&settings.audit)?;

    let clock = start_clock(settings, &store).await?;
    if store.set_clock(clock.now()) {
        tracing::warn!(now = %clock.now(), "the store holds events of a later time: was the clock wrong?");
    }
    let of_targets = StdRng::from_rng(&mut random);
    let key_sets = Arc::new(FetchedKeySets::new(clock.clone(), settings.reach)?);
    let service = Arc::new(Service::new(carillon_service::Settings {
        store,
        home: settings.home.clone(),
        clock: clock.clone(),
        random,
        root: root.to_root(),
        keys,
        key_sets: key_sets.clone(),
        processors: flows::processors(&settings.processors)?,
        patience: settings.patience,
        functions: settings.functions.clone(),
        quotas: settings.quotas,
        rates: settings.rates,
        public_host: public_host.as_str().to_owned(),
        audit: ledger,
    }));
    open_access(&service).await?;
    let access = Watch::start(service.clone());
    let jobs = Jobs::start(service.clone(), clock.clone(), node, bells.clone());
    let targets = flows::targets(settings.targets.clone(), settings.manner, of_targets)?;
    let flows = Flows::start(service.clone(), clock.clone(), targets, bells);
    let door = open_door(settings);
    let intake = Arc::new(Intake::new(settings.door.bodies_bytes_max, door.patience, door.overdue.clone()));
    let measured =
        Measured { places: door.places.clone(), overdue: door.overdue.clone(), intake: intake.clone() };
    let turned_away = TurnedAway(service.clone(), counts);
    let others: [Box<dyn Collector>; 4] = [
        Box::new(measured),
        Box::new(turned_away),
        Box::new(Sockets(hub.clone())),
        Box::new(Tasks(jobs.clone())),
    ];
    let metrics = Metrics::new(flows.clone(), others);
    let exchange = start_exchange(settings, &key_sets, &clock);
    let front = Front::new(http::Parts {
        service: service.clone(),
        hub: hub.clone(),
        clock: clock.clone(),
        jobs: jobs.clone(),
        metrics,
        exchange: exchange.clone(),
        intake,
        measuring: settings.metrics.clone(),
        local_only: settings.local_only.then(|| public_host.name().to_owned()),
    });
    let routes = router(front.clone(), settings.test_clock);
    let (mut listening, ca) = (Vec::new(), tls.as_ref().and_then(|tls| tls.ca.clone()));
    let spoken = settings.door.proxy_protocol;
    let plain_speech = Speech { tls: None, proxied: spoken.http };
    let secure_speech = Speech { tls: tls.map(|tls| tls.config), proxied: spoken.https };
    for (port, speech) in [(plain, plain_speech), (secure, secure_speech)] {
        let Some(port) = port else { continue };
        let (tls, proxied) = (speech.tls.is_some(), speech.proxied);
        tracing::info!(address = %port.address, tls, proxied, "listening");
        listening.push(serve_at(port, speech, routes.clone(), &door)?);
    }
    if let Some(port) = measuring {
        tracing::info!(address = %port.address, "listening for metrics");
        listening.push(serve_at(port, Speech::default(), metrics_router(front.clone()), &door)?);
    }

    tracing::info!(public_host = public_host.as_str(), "ready");
    Ok(Running {
        service,
        clock,
        root,
        http,
        https,
        ca,
        front,
        hub,
        listening,
        exchange,
        access,
        jobs,
        flows,
        audit,
        stop,
        tenure,
        _data_dir: data_dir,
    })
}

impl Running {
    /// The exchange is for this app instance, where no other is named.
    pub fn prefer(&self, demo: &AppInstanceArn) {
        if let Some(exchange) = &self.exchange {
            exchange.prefer(demo.clone());
        }
    }

    /// Runs until a signal says to stop, or the store cannot go on or is another server's, then takes the server
    /// apart.
    pub(crate) async fn run(mut self) -> Result<()> {
        let ended = tokio::select! {
            signal = self.stop.received() => {
                tracing::info!(signal, "stopping");
                Ok(())
            }
            error = self.tenure.lost() => {
                tracing::error!(%error, "stopping");
                Err(error)
            }
            () = self.service.store().given_up() => {
                tracing::error!("stopping: a worker of the store panicked");
                let hint = "The log says where; start the server again.";
                Err(Error::failure("a worker of the store panicked").hint(hint))
            }
        };
        self.front.stop();
        let listeners = self.listening.into_iter().map(|listening| listening.stop(DRAIN_TIMEOUT));
        // Sockets and requests at once: neither has to wait for the other.
        let access = self.access;
        let work = async { tokio::join!(self.jobs.stop(), self.flows.stop(), access.stop()) };
        let working = tokio::time::timeout(DRAIN_TIMEOUT, work);
        let front = self.front.clone();
        let answering = async {
            futures_util::future::join_all(listeners).await;
            tokio::time::timeout(REQUESTS_TIMEOUT, front.drain()).await
        };
        let (answered, (), worked) = tokio::join!(answering, self.hub.shutdown(), working);
        drop(front);
        if answered.is_err() {
            tracing::warn!("a request did not end in time");
        }
        if worked.is_err() {
            tracing::warn!("a job did not end in time");
        }
        self.tenure.end().await;
        // Dropping the store waits for what its lanes still have to write; without a service nobody sends records.
        let dropping = tokio::task::spawn_blocking(move || {
            drop((self.front, self.jobs, self.flows, self.service));
            self.audit.join();
        });
        if tokio::time::timeout(STORE_TIMEOUT, dropping).await.is_err() {
            tracing::warn!("the store did not end in time");
        }
        tracing::info!("stopped");
        ended
    }
}

/// Runs a server on a runtime of its own, and `with` it whatever a command adds.
pub fn run(settings: &Settings, with: impl AsyncFnOnce(&Running) -> Result<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failure(format!("the runtime cannot start: {error}")))?;
    let ended = runtime.block_on(async {
        let running = start(settings).await?;
        with(&running).await?;
        running.run().await
    });
    runtime.shutdown_timeout(TASKS_TIMEOUT);
    ended
}

/// Gives a command the service, on the store itself: no listeners, no jobs, and nobody who is told of anything.
pub fn with_service<T>(settings: &Settings, with: impl AsyncFnOnce(&Arc<Service>) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failure(format!("the runtime cannot start: {error}")))?;
    process::keep_private();
    let done = runtime.block_on(async {
        let mut random = StdRng::try_from_rng(&mut SysRng)
            .map_err(|error| Error::failure(format!("the system has no randomness: {error}")))?;
        let data_dir = DataDir::share(&settings.data_dir)?;
        let root = RootKey::open(&data_dir, &mut random)?;
        let keys = open_keys(settings, &data_dir, &root, &mut random)?;
        let store = open_store(&settings.store, Arc::new(|_| {})).await?;
        let clock = start_clock(settings, &store).await?;
        let audit = audit::recall(&settings.audit, &data_dir)?;
        let Log { ledger, writer, .. } = audit::start_beside(&audit)?;
        let service = Arc::new(Service::new(carillon_service::Settings {
            store,
            home: settings.home.clone(),
            clock: clock.clone(),
            random,
            root: root.to_root(),
            keys,
            key_sets: Arc::new(FetchedKeySets::new(clock, settings.reach)?),
            processors: flows::processors(&settings.processors)?,
            patience: settings.patience,
            functions: settings.functions.clone(),
            quotas: settings.quotas,
            rates: settings.rates,
            public_host: String::new(),
            audit: ledger,
        }));
        let done = with(&service).await;
        // Dropping the store waits for its lanes, which a thread of the runtime may not.
        let ending = tokio::task::spawn_blocking(move || {
            drop(service);
            writer.join()
        });
        match ending.await {
            Ok(0) => done,
            _ => Err(Error::failure("what was changed stands, and is not in the audit log")
                .hint("Is there room on its disk? The log of this command says why.")),
        }
    });
    runtime.shutdown_timeout(TASKS_TIMEOUT);
    done
}

/// What is told of each commit: the sockets of its events, the jobs of the work that it leaves.
fn sink(hub: &Hub, bells: Arc<Bells>) -> Sink {
    let tell = hub.sink();
    Arc::new(move |committed: Committed| {
        committed.work.iter().for_each(|work| bells.of(*work).notify_one());
        tell(committed);
    })
}

/// The door of all listeners, with as many places as there may be files.
fn open_door(settings: &Settings) -> Arc<Door> {
    let open_files = process::raise_open_files();
    let caps = settings.door.allowance.with_files(open_files);
    if settings.door.allowance.all.is_some_and(|all| caps.all < all) {
        tracing::warn!(
            open_files,
            "server.connections_max is more than the open files allow: raise ulimit -n"
        );
    }
    tracing::info!(
        open_files,
        all = caps.all,
        of_address = caps.of_address,
        strangers = caps.strangers,
        strangers_of_address = caps.strangers_of_address,
        "connections"
    );
    Arc::new(Door {
        places: Places::new(caps),
        patience: settings.door.patience,
        overdue: Arc::default(),
        proxies: settings.door.proxies.clone(),
        unsigned_per_second_max: UNSIGNED_PER_SECOND_MAX,
    })
}

/// Opens the master keys. Nodes that share a store agree on one without being told, if all are given the same root
/// credentials.
fn open_keys(settings: &Settings, data_dir: &Path, root: &RootKey, random: &mut StdRng) -> Result<KeyRing> {
    let shares_store = !matches!(settings.store.location, Location::Sqlite(_));
    let shares_root = RootKey::from_environment()?.is_some();
    let origin = if shares_store && shares_root { Origin::Shared(root) } else { Origin::Random };
    master_key::open(data_dir, &origin, random)
}

/// The exchange of credentials, if there is one.
fn start_exchange(
    settings: &Settings,
    key_sets: &Arc<FetchedKeySets>,
    clock: &Arc<SystemClock>,
) -> Option<Arc<Exchange>> {
    let exchange = settings.exchange.clone()?;
    Some(Arc::new(Exchange::new(exchange, key_sets.clone(), clock.clone())))
}

/// Reads who may sign, whose secrets are sealed with the first master key from here on.
async fn open_access(service: &Service) -> Result<()> {
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
    let location = address.location.clone();
    let opening = tokio::task::spawn_blocking(move || Store::open(&location, clock::real().ms(), &sink));
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

/// The clock, as far ahead as tests have moved it. Without the test clock it is never ahead, whatever was done to
/// the store before.
async fn start_clock(settings: &Settings, store: &Store) -> Result<Arc<SystemClock>> {
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
