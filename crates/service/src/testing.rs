//! The world of a test: a store of its own, a clock that stands still, seeded randomness, and a client that
//! goes through dispatch as any other would.
//!
//! `#[engine_test]` makes one on each engine. PostgreSQL is where `CARILLON_TEST_POSTGRES` says; each world gets
//! a schema of its own there.

mod bots;
mod chat;
mod client;
mod flows;
mod jobs;
mod requests;
mod stored;
mod told;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) use bots::Waiting;
use carillon_auth::{KeyRing, Secret};
pub(crate) use carillon_macros::engine_test;
use carillon_model::arn::Home;
use carillon_model::event::{Event, Seats};
use carillon_model::{AppInstanceArn, Timestamp};
use carillon_store::testing::Faults;
use carillon_store::{self as store, Location, Sink, Store};
pub(crate) use client::{Credentials, Refused};
pub(crate) use flows::unchanged;
use futures_util::future::BoxFuture;
pub(crate) use jobs::{drive, look};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
pub(crate) use requests::*;

pub(crate) use crate::error::ErrorCode;
use crate::front::audit::{Ledger, Place, Record};
use crate::front::rates::Rates;
use crate::functions::Functions;
use crate::patience::Patience;
use crate::processors::Processors;
use crate::quotas::Quotas;
use crate::search::Searched;
use crate::{Clock, RootCredentials, Service, Settings};
use carillon_access::web_identity::{Finding, KeySets, KeySource, Unreachable};

/// The instant at which every world begins: 2026-01-15T12:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_ms(1_768_478_400_000);
const REGION: &str = "us-east-1";
const ACCOUNT: &str = "111122223333";
const HOST: &str = "carillon.example.test";
const SEED: u64 = 42;

/// One test's world.
pub(crate) struct World {
    service: Arc<Service>,
    clock: Arc<StandingClock>,
    events: Arc<Mutex<Vec<Event>>>,
    /// Those of commits of which nobody knows whether they stand.
    doubts: Arc<Mutex<Vec<Event>>>,
    records: Arc<Mutex<Vec<Record>>>,
    /// Read markers that moved.
    moved: Arc<Mutex<Vec<store::read_marker::Moved>>>,
    /// Who is told of what: kept up to date from the events alone, as a bus keeps it.
    told: Seats,
    instance: AppInstanceArn,
    quotas: Quotas,
    processors: fn() -> Processors,
    rates: Rates,
    searched: Searched,
    /// Who signs.
    credentials: Credentials,
    location: Location,
    /// Where the engine is to fail.
    faults: Option<Arc<Faults>>,
    tokens: u64,
    restarts: u64,
    _directory: Option<tempfile::TempDir>,
}

struct StandingClock(AtomicI64);

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Ordering::Relaxed))
    }
    fn real(&self) -> Timestamp {
        START
    }
    fn steady(&self) -> Duration {
        Duration::from_millis(self.now().ms().unsigned_abs())
    }
}

impl World {
    /// For what is true of declarations and rules, which no engine changes.
    pub(crate) fn once(test: fn(&mut Self)) {
        Self::on_sqlite(test);
    }

    /// For what only an engine across a network can show.
    pub(crate) fn across_a_network(test: fn(&mut Self)) {
        Self::on_postgres(test);
    }

    pub(crate) fn on_sqlite(test: fn(&mut Self)) {
        let directory = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(directory.path().join("carillon.db"));
        test(&mut Self::new(location, Some(directory), None));
    }

    pub(crate) fn on_postgres(test: fn(&mut Self)) {
        let schema = store::testing::Schema::new();
        test(&mut Self::new(schema.location(), None, None));
    }

    /// On an engine of either kind, which fails where the test says.
    pub(crate) fn failing(is_across_a_network: bool, test: impl FnOnce(&mut Self, &Faults)) {
        let faults = Arc::<Faults>::default();
        if is_across_a_network {
            let schema = store::testing::Schema::new();
            test(&mut Self::new(schema.location(), None, Some(faults.clone())), &faults);
        } else {
            let directory = tempfile::tempdir().unwrap();
            let location = Location::Sqlite(directory.path().join("carillon.db"));
            test(&mut Self::new(location, Some(directory), Some(faults.clone())), &faults);
        }
    }

    fn new(location: Location, directory: Option<tempfile::TempDir>, faults: Option<Arc<Faults>>) -> Self {
        let clock = Arc::new(StandingClock(AtomicI64::new(START.ms())));
        let events = Arc::new(Mutex::new(Vec::new()));
        let quotas = Quotas { app_instances_max: 12, ..Quotas::default() };
        let (doubts, records, moved) = (Arc::default(), Arc::default(), Arc::default());
        let (rates, processors): (Rates, fn() -> Processors) = (Rates::OFF, Processors::default);
        let place = (&location, faults.as_ref(), SEED);
        let service = service(
            place,
            &clock,
            (&events, &doubts, &records, &moved),
            (quotas, rates, Searched::All),
            processors(),
        );
        let instance =
            AppInstanceArn::try_from(format!("arn:aws:chime:{REGION}:{ACCOUNT}:app-instance/x")).unwrap();
        let told = Seats::default();
        let mut world = Self {
            service,
            clock,
            events,
            doubts,
            records,
            moved,
            told,
            instance,
            quotas,
            processors,
            rates,
            searched: Searched::All,
            credentials: Credentials::root(),
            location,
            faults,
            tokens: 0,
            restarts: 0,
            _directory: directory,
        };
        world.instance = world.new_instance();
        world
    }

    /// How often a worker of the store has waited for PostgreSQL so far.
    pub(crate) fn round_trips(&self) -> u64 {
        self.service.store().round_trips()
    }

    /// Region and account.
    pub(crate) fn home() -> Home {
        Home::new(REGION, ACCOUNT)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn advance_ms(&mut self, by: i64) {
        self.clock.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn quotas(&self) -> Quotas {
        self.quotas
    }

    /// Restarts the service on the same store with other quotas.
    pub(crate) fn set_quotas(&mut self, change: impl FnOnce(&mut Quotas)) {
        change(&mut self.quotas);
        self.restart();
    }

    /// Restarts the service on the same store with rates, all buckets full.
    pub(crate) fn set_rates(&mut self, rates: Rates) {
        self.rates = rates;
        self.restart();
    }

    /// Restarts the service on the same store, with searches there.
    pub(crate) fn set_searched(&mut self, searched: Searched) {
        self.searched = searched;
        self.restart();
    }

    /// Restarts the service on the same store with these processors built in.
    pub(crate) fn set_processors(&mut self, processors: fn() -> Processors) {
        self.processors = processors;
        self.restart();
    }

    /// This node, and another one that shares its store.
    pub(crate) fn nodes(&mut self) -> [Arc<Service>; 2] {
        self.restarts += 1;
        [self.service.clone(), self.start()]
    }

    /// Restarts the service on the same store.
    pub(crate) fn restart(&mut self) {
        self.restarts += 1;
        self.service = self.start();
    }

    fn start(&self) -> Arc<Service> {
        // A service that starts again does not make the same keys again.
        let place = (&self.location, self.faults.as_ref(), SEED + self.restarts);
        service(
            place,
            &self.clock,
            (&self.events, &self.doubts, &self.records, &self.moved),
            (self.quotas, self.rates, self.searched.clone()),
            (self.processors)(),
        )
    }

    /// What the audit log was told since the last call.
    pub(crate) fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records.lock().unwrap())
    }
}

/// The program of a bot that answers only where it is meant.
pub(crate) const SHY_ALIAS: &str = "arn:aws:lex:us-east-1:111122223333:bot-alias/SHYSHYSHY0/TSTALIASID";

/// A text of any checked type.
pub(crate) fn text<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// What is kept of what the service hands over.
type Kept<T> = Arc<Mutex<Vec<T>>>;

fn service(
    (location, faults, seed): (&Location, Option<&Arc<Faults>>, u64),
    clock: &Arc<StandingClock>,
    (events, doubts, records, moved): (
        &Kept<Event>,
        &Kept<Event>,
        &Kept<Record>,
        &Kept<store::read_marker::Moved>,
    ),
    (quotas, rates, searched): (Quotas, Rates, Searched),
    processors: Processors,
) -> Arc<Service> {
    let (kept, doubtful, moved) = (events.clone(), doubts.clone(), moved.clone());
    let sink: Sink = Arc::new(move |committed| {
        moved.lock().unwrap().extend(committed.read);
        let told = if committed.is_doubtful { &doubtful } else { &kept };
        told.lock().unwrap().extend(committed.events);
    });
    let store = match faults {
        None => Store::open(location, START.ms(), &sink),
        Some(faults) => store::testing::open_failing(location, START.ms(), &sink, faults),
    };
    let ledger = Arc::new(KeptRecords(records.clone()));
    let service = Service::new(Settings {
        store: Arc::new(store.unwrap()),
        home: Home::new(REGION, ACCOUNT),
        clock: clock.clone(),
        random: StdRng::seed_from_u64(seed),
        root: RootCredentials { access_key_id: "ROOT".to_owned(), secret: Secret::new("secret".to_owned()) },
        keys: KeyRing::of(&[7; 32]),
        key_sets: Arc::new(NoKeySets),
        quotas,
        searched,
        processors,
        patience: Patience::default(),
        functions: Functions::new(vec![format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:*")]),
        shy_bots: BTreeSet::from([SHY_ALIAS.to_owned()]),
        rates,
        public_host: "ws.example.test:8443".to_owned(),
        audit: Some(ledger),
    });
    futures(service.refresh_access()).unwrap();
    Arc::new(service)
}

/// Keeps all records, those of what nobody signed too.
struct KeptRecords(Kept<Record>);

impl Ledger for KeptRecords {
    fn place(&self) -> BoxFuture<'static, Option<Place>> {
        let kept = self.0.clone();
        let place: Place = Box::new(move |record| kept.lock().unwrap().push(record));
        Box::pin(std::future::ready(Some(place)))
    }

    fn missed(&self) {
        unreachable!("there is always a place");
    }

    fn takes_unsigned(&self) -> bool {
        true
    }

    fn take_unsigned(&self, record: Record) {
        self.0.lock().unwrap().push(record);
    }
}

/// Reaches no identity provider.
struct NoKeySets;

impl KeySets for NoKeySets {
    fn find<'a>(&'a self, _: &'a KeySource, _: Option<&'a str>) -> Finding<'a> {
        Box::pin(std::future::ready(Err(Unreachable)))
    }
}

/// Waits for a future; the lanes answer from threads of their own.
pub(crate) fn futures<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}
