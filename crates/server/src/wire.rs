//! The wiring: one linear function that puts the server together, in the order of the log that it writes, and
//! the one that takes it apart again.

mod beside;
mod certificates;
mod end;
mod ground;
mod ports;
mod rooms;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use carillon_delivery::Hub;
use carillon_model::{AppInstanceArn, Key};
use carillon_service::Service;
use carillon_store::{Committed, Sink, Store};
use carillon_targets::push::Push;
use prometheus_client::collector::Collector;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::audit::{self, Log, TurnedAway, Writer};
use crate::clock::{self, SystemClock};
use crate::cluster;
use crate::config::{self, Settings, streams};
use crate::credentials::RootKey;
use crate::data_dir::{self, DataDir};
use crate::error::{Error, Result};
use crate::exchange::Exchange;
use crate::http::{self, Front, Inside, Listening, Measured};
use crate::jobs::Bells;
use crate::key_sets::FetchedKeySets;
use crate::metrics::{Index, Limits, Metrics, OfStore, Process, Sockets};
use crate::outgoing::Clients;
use crate::process;
use crate::receipts::Receipts;
use crate::stop::StopSignal;
use crate::store_clock;
use crate::tenure::Tenure;
use crate::traces;
use crate::web_push;
pub(crate) use beside::alone;
pub use beside::with_service;
pub(crate) use beside::with_service_alone_or_beside;
use certificates::Keeper;
use ground::{Ground, Secrets, check_whole, make_service, open_access, set_clock, start_clock};
pub use ground::{open_store, words_of};
use ports::{Ports, open_door};
use rooms::{Rooms, Rung};

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
    /// Over which time sockets are closed at the end.
    drain: Duration,
    exchange: Option<Arc<Exchange>>,
    rooms: Rooms,
    audit: Writer,
    stop: StopSignal,
    tenure: Tenure,
    /// Given back last, when nothing writes to it any more.
    _data_dir: DataDir,
}

/// Puts the server together.
pub async fn start(settings: &Settings) -> Result<Running> {
    let stop = begin(settings)?;

    let data_dir = DataDir::open(&settings.data_dir)?;
    let mut secrets = Secrets::open(settings, data_dir.path())?;
    let (root, of_targets) = (secrets.root.clone(), StdRng::from_rng(&mut secrets.random));
    tracing::info!(path = %data_dir.path().display(), access_key_id = root.access_key_id, "data folder");

    // The ports are taken before the store is touched: a second server must not migrate what a first one uses.
    let ports = Ports::take(settings, data_dir.path())?;
    let keeper = Keeper::new(ports.shown(), &mut secrets);
    let (public_host, http, https, ca) = (ports.public_host.clone(), ports.http(), ports.https(), ports.ca());

    streams::begin(&settings.streams, &settings.home).await?;
    let hub = Hub::start(Key::random(secrets.random.random()), cluster::open_bus(&settings.bus).await?);
    let (told, rung) = sink(&hub);
    let (store, node, tenure) = take_store(settings, &data_dir, &mut secrets, told).await?;

    audit::remember(&settings.audit, data_dir.path())?;
    let Log { ledger, counts, writer: audit } = audit::start(&settings.audit)?;

    let clock = start_clock(settings, &store).await?;
    set_clock(&store, &clock);
    cluster::begin(settings, &hub, &store, &clock).await?;
    let key_sets = Arc::new(FetchedKeySets::new(clock.clone(), settings.reach)?);
    let outside = open_push(settings, &store, &mut secrets).await?;
    let ground = Ground {
        store,
        clock: clock.clone(),
        key_sets: key_sets.clone(),
        public_host: public_host.as_str().to_owned(),
        audit: ledger,
    };
    let service = make_service(settings, secrets, ground)?;
    open_access(&service).await?;

    let rooms = Rooms::open(settings, (&service, &clock, &hub), (node, rung, of_targets), &outside, keeper)?;
    let (exchange, (door, intake)) = (start_exchange(settings, key_sets, &clock), open_door(settings));
    let mut measured = rooms.measured();
    measured.push(Box::new(Measured::at(&door, &intake)));
    measured.push(Box::new(TurnedAway(service.clone(), counts)));
    measured.extend(measured_of(&service, &hub));
    let front = Front::new(http::Parts {
        service: service.clone(),
        hub: hub.clone(),
        clock: clock.clone(),
        jobs: rooms.jobs.clone(),
        metrics: Metrics::new(measured),
        exchange: exchange.clone(),
        push: outside.0,
        inside: Inside { flows: rooms.flows.clone(), audit: settings.audit.newest() },
        intake,
        measuring: settings.metrics.clone(),
        local_only: settings.local_only.then(|| public_host.name().to_owned()),
        proofs: rooms.certificates.proofs(),
    });
    let listening = ports.listen(settings, &front, &door)?;

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
        drain: settings.door.drain,
        exchange,
        rooms,
        audit,
        stop,
        tenure,
        _data_dir: data_dir,
    })
}

/// What is measured whatever else there is.
fn measured_of(service: &Arc<Service>, hub: &Arc<Hub>) -> [Box<dyn Collector>; 5] {
    [
        Box::new(Process { began_at: clock::real() }),
        Box::new(OfStore(service.store().clone())),
        Box::new(Limits(service.clone())),
        Box::new(Index(service.clone())),
        Box::new(Sockets(hub.clone())),
    ]
}

/// What needs nothing to be there.
fn begin(settings: &Settings) -> Result<StopSignal> {
    process::keep_private();
    process::use_small_pages();
    let stop = StopSignal::listen()?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    settings.check_push()?;
    Ok(stop)
}

/// Opens the store, as the only server that serves it, or as one of those that the bus connects.
async fn take_store(
    settings: &Settings,
    data_dir: &DataDir,
    secrets: &mut Secrets,
    sink: Sink,
) -> Result<(Arc<Store>, Key, Tenure)> {
    data_dir::tighten(&settings.store.location);
    let store = open_store(&settings.store, sink).await?;
    store_clock::check(&store).await?;
    let node = data_dir.node(Key::random(secrets.random.random()))?;
    let tenure = Tenure::begin(store.clone(), node, settings).await?;
    check_whole(&store, &settings.store).await?;
    cluster::agree(settings, &store, (&secrets.keys, &secrets.root), &mut secrets.random).await?;
    tracing::info!(store = %settings.store, bus = %settings.bus, "store");
    Ok((store, node, tenure))
}

/// The push applications, with the keys that browsers subscribe by; and by which clients the server calls others.
async fn open_push(
    settings: &Settings,
    store: &Store,
    secrets: &mut Secrets,
) -> Result<(Arc<Push>, Clients)> {
    let keys = web_push::open_keys(&settings.push, store, &secrets.keys, &mut secrets.random).await?;
    let clients = Clients::new()?;
    let push = config::push::read(&settings.push, &keys, &clients.aws)?;
    Ok((Arc::new(push), clients))
}

impl Running {
    /// The exchange is for this app instance, where no other is named.
    pub fn prefer(&self, demo: &AppInstanceArn) {
        if let Some(exchange) = &self.exchange {
            exchange.prefer(demo.clone());
        }
    }

    /// A code that opens the console signed in as root, and shows this there.
    pub fn link(&self, demo: serde_json::Value) -> String {
        self.front.link(&self.root, demo)
    }
}

/// Runs a server on a runtime of its own, and `with` it whatever a command adds.
pub fn run(settings: &Settings, with: impl AsyncFnOnce(&Running) -> Result<()>) -> Result<()> {
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let running = start(settings).await?;
        with(&running).await?;
        running.run().await
    });
    runtime.shutdown_timeout(TASKS_TIMEOUT);
    traces::end();
    ended
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Error::failure(format!("the runtime cannot start: {error}")))
}

/// The exchange of credentials, if there is one.
fn start_exchange(
    settings: &Settings,
    key_sets: Arc<FetchedKeySets>,
    clock: &Arc<SystemClock>,
) -> Option<Arc<Exchange>> {
    let exchange = settings.exchange.clone()?;
    Some(Arc::new(Exchange::new(exchange, key_sets, clock.clone())))
}

/// What is told of each commit: the sockets of its events, the jobs of the work that it leaves, and which read markers
/// moved.
fn sink(hub: &Hub) -> (Sink, Rung) {
    let (tell, bells, receipts) = (hub.sink(), Arc::<Bells>::default(), Arc::<Receipts>::default());
    let (rung, gathering) = (bells.clone(), receipts.clone());
    let sink = Arc::new(move |mut committed: Committed| {
        gathering.note(std::mem::take(&mut committed.read));
        committed.work.iter().for_each(|work| rung.of(*work).notify_one());
        tell(committed);
    });
    (sink, (bells, receipts))
}
