//! What works by itself beside the requests, from the start until it is told to stop. A new room adds a field here, and
//! a line to its start, its end and what is measured of it.

use std::sync::Arc;

use carillon_delivery::Hub;
use carillon_model::Key;
use carillon_service::{Clock, Service};
use carillon_targets::bots::Programs;
use carillon_targets::events::Events as Sender;
use carillon_targets::push::Push;
use carillon_targets::streams::Streams as Wires;
use futures_util::future::OptionFuture;
use prometheus_client::collector::Collector;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::certificates::{Certificates, Keeper};
use crate::clock::SystemClock;
use crate::config::{Settings, flows, streams};
use crate::error::Result;
use crate::flows::Flows;
use crate::jobs::{Bells, Jobs};
use crate::metrics::{Processors, Tasks};
use crate::outgoing::bots::Bots;
use crate::outgoing::events::Events;
use crate::outgoing::push::{self, Pushes};
use crate::outgoing::streams::Streams;
use crate::outgoing::{Clients, Consumer, Handed, Outgoing};
use crate::receipts::{self, Receipts};
use crate::rest::{self, Rest};
use crate::store_clock::{COMPARE_EVERY, Measured, StoreClock};
use crate::watch::{LOOK_EVERY, Watch};

/// What commits ring: bells of those who have work of it, and what gathers the read markers that it moved.
pub(super) type Rung = (Arc<Bells>, Arc<Receipts>);

/// The rooms of a server.
pub(super) struct Rooms {
    access: Watch,
    /// With a test clock only: where other nodes have moved theirs.
    moved: Option<Watch>,
    store_clock: Arc<StoreClock>,
    comparing: Watch,
    resting: Watch,
    telling: Watch,
    receipts: Arc<Receipts>,
    pub(super) jobs: Arc<Jobs>,
    pub(super) flows: Arc<Flows>,
    outlets: Watch,
    outgoing: Arc<Outgoing>,
    pushed: Arc<push::Counts>,
    pub(super) certificates: Certificates,
}

impl Rooms {
    /// Opens them all.
    pub(super) fn open(
        settings: &Settings,
        (service, clock, hub): (&Arc<Service>, &Arc<SystemClock>, &Arc<Hub>),
        (node, (bells, receipts), mut random): (Key, Rung, StdRng),
        (push, clients): &(Arc<Push>, Clients),
        keeper: Keeper,
    ) -> Result<Self> {
        let mut of_outgoing = StdRng::from_rng(&mut random);
        let targets = flows::targets(settings.targets.clone(), settings.manner, random, clients.aws.clone())?;
        service.store().skip(settings.skips);
        let mut consumers = consumers(settings, (service, clock), clients.clone())?;
        let pushed = Arc::<push::Counts>::default();
        let of_push = StdRng::from_rng(&mut of_outgoing);
        consumers.push(Arc::new(Pushes::new(
            (service.clone(), clock.clone()),
            push.clone(),
            of_push,
            pushed.clone(),
        )));
        let of_outlets = service.clone();
        let outlets = move || {
            let service = of_outlets.clone();
            async move { Ok(service.store().refresh_outlets().await?) }
        };
        let (of_access, of_clock) = (service.clone(), (clock.clone(), service.clone()));
        let access = move || {
            let service = of_access.clone();
            async move { service.refresh_access().await }
        };
        let moved = move || {
            let (clock, service) = of_clock.clone();
            async move { Ok(clock.follow(service.store()).await?) }
        };
        let store_clock = Arc::<StoreClock>::default();
        let of_rest = (Arc::<Rest>::default(), service.clone());
        let rest = move || {
            let (rest, service) = of_rest.clone();
            async move { Ok(rest.look(service.store()).await?) }
        };
        let of_store = (store_clock.clone(), service.clone());
        let compare = move || {
            let (store_clock, service) = of_store.clone();
            async move { Ok(store_clock.look(service.store()).await?) }
        };
        let of_receipts = (receipts.clone(), service.clone(), hub.clone());
        let tell = move || {
            let (receipts, service, hub) = of_receipts.clone();
            async move { receipts.tell(&service, &hub).await }
        };
        Ok(Self {
            access: Watch::start("access", LOOK_EVERY, access),
            moved: settings.test_clock.then(|| Watch::start("test clock", LOOK_EVERY, moved)),
            store_clock,
            comparing: Watch::start("the store's clock", COMPARE_EVERY, compare),
            resting: Watch::start("the rest", rest::LOOK_EVERY, rest),
            telling: Watch::start("read markers", receipts::TELL_EVERY, tell),
            receipts,
            jobs: Jobs::start(service.clone(), node, bells.clone()),
            flows: Flows::start(service.clone(), clock.clone(), targets, bells.clone()),
            outlets: Watch::start("outlets", LOOK_EVERY, outlets),
            pushed,
            certificates: keeper.start(settings, service.store().clone(), node),
            outgoing: Outgoing::start(
                (service.clone(), clock.clone()),
                (node, bells, of_outgoing),
                consumers,
            ),
        })
    }

    /// What is measured of them.
    pub(super) fn measured(&self) -> Vec<Box<dyn Collector>> {
        let mut measured: Vec<Box<dyn Collector>> = vec![
            Box::new(Tasks(self.jobs.clone())),
            Box::new(Processors(self.flows.clone())),
            Box::new(Measured(self.store_clock.clone())),
            Box::new(Handed(self.outgoing.clone())),
            Box::new(push::Measured(self.pushed.clone())),
            Box::new(receipts::Measured(self.receipts.clone())),
        ];
        measured.extend(self.certificates.measured());
        measured
    }

    /// Lets what they have begun end, and nothing else begin.
    pub(super) async fn close(self) {
        let moved = OptionFuture::from(self.moved.map(Watch::stop));
        tokio::join!(
            self.access.stop(),
            moved,
            self.comparing.stop(),
            self.resting.stop(),
            self.telling.stop(),
            self.jobs.stop(),
            self.flows.stop(),
            self.outlets.stop(),
            self.outgoing.stop(),
            self.certificates.close()
        );
    }
}

/// Whoever hands over what leaves the server, a line for each.
fn consumers(
    settings: &Settings,
    (service, clock): (&Arc<Service>, &Arc<SystemClock>),
    Clients { http, aws }: Clients,
) -> Result<Vec<Arc<dyn Consumer>>> {
    let place = || -> (Arc<Service>, Arc<dyn Clock>) { (service.clone(), clock.clone()) };
    let sinks = streams::sinks(&settings.streams, &settings.home)?;
    let streams =
        Streams::new(place(), sinks, Wires::new(http.clone(), aws.clone()), settings.streaming_patience);
    let bots = Bots::new(place(), Programs::new(settings.programs.clone(), http.clone(), aws.clone()));
    let elsewhere = settings.events.clone().map(|sink| Sender::new(sink, http, aws));
    let events = Events::new(clock.clone(), elsewhere);
    Ok(vec![Arc::new(streams), Arc::new(bots), Arc::new(events)])
}
