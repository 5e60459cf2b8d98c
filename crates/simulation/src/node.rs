//! A node: everything of a server but its sockets to the world, on a runtime of its own whose clock stands still. It
//! does something only when it is let, so who acts when is the simulation's to decide; to pause a node is to let it do
//! nothing, and to kill it is to drop its runtime in the middle of whatever it does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use carillon_access::web_identity::{Finding, KeySets, KeySource, Unreachable};
use carillon_auth::{KeyRing, Secret};
use carillon_delivery::{Bus, Hub, Opening, WebSocket};
use carillon_model::Key;
use carillon_model::arn::Home;
use carillon_service::front::rates::Rates;
use carillon_service::functions::Functions;
use carillon_service::patience::Patience;
use carillon_service::processors::Processors;
use carillon_service::quotas::Quotas;
use carillon_service::{Clock as _, RootCredentials, Service, Settings};
use carillon_store::by_hand::{Disk, Hands};
use carillon_store::{Committed, Sink, Store, as_one_request};
use futures_util::{FutureExt as _, StreamExt};
use http::Request;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::DuplexStream;
use tokio::runtime::{Builder, Runtime};

use crate::ground::{Ground, Link, lock};
use crate::rooms::{Bells, Room};

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const ACCESS_KEY: &str = "ROOT";
pub(crate) const SECRET: &str = "secret";
/// How often a runtime looks for what is ready before it counts as done: a task may wake another one a few times over.
const YIELDS: usize = 12;
/// How long something may take that a node does for us alone.
const ROUNDS_MAX: usize = 10_000;

/// A node that lives.
pub(crate) struct Node {
    runtime: Runtime,
    pub(crate) service: Arc<Service>,
    hub: Arc<Hub>,
    hands: Hands,
    pub(crate) room: Room,
    ground: Ground,
    /// Up to when its runtime has lived.
    at_ms: i64,
}

/// Reaches no identity provider.
struct NoKeySets;

impl KeySets for NoKeySets {
    fn find<'a>(&'a self, _: &'a KeySource, _: Option<&'a str>) -> Finding<'a> {
        Box::pin(std::future::ready(Err(Unreachable)))
    }
}

impl Node {
    /// Starts one.
    pub(crate) fn start(number: usize, ground: &Ground, skew_ms: i64, random: &mut StdRng) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime needs nothing");
        let key = Key::random(random.random());
        let link = Link { node: number, post: ground.post.clone() };
        lock(&ground.post).forget(number);
        let hub = runtime.block_on(async { Hub::start(key, Bus::played(Arc::new(link))) });
        let (clock, bells) = (Arc::new(ground.clock(skew_ms)), Arc::<Bells>::default());
        let sink = sink(&hub, ground, bells.clone());
        let context = runtime.enter();
        let opened = Store::open_by_hand(&ground.store, clock.now().ms(), &sink);
        drop(context);
        let (store, hands) = opened.expect("the file of the store can be opened");
        store.set_clock(clock.now());
        let store = Arc::new(store);
        let service = Arc::new(Service::new(settings(store.clone(), clock.clone(), random)));
        let (ground, at_work) = (ground.clone(), Arc::default());
        let room = Room {
            service: service.clone(),
            clock: clock.clone(),
            ground: ground.clone(),
            key,
            bells,
            at_work,
        };
        let at_ms = ground.now_ms();
        let mut node = Self { runtime, service, hub, hands, room, ground, at_ms };
        let (hub, of_access) = (node.hub.clone(), node.service.clone());
        node.finish(async move {
            let begun = hub.begin(&store, move || clock.now()).await;
            begun.expect("the store is there");
            of_access.refresh_access().await.expect("the store is there");
        });
        let room = node.room.clone();
        node.runtime.block_on(async { room.open() });
        node
    }

    /// Goes on up to the present.
    pub(crate) fn go_on(&mut self) {
        let by = self.ground.now_ms() - self.at_ms;
        self.at_ms += by;
        self.runtime.block_on(async {
            if 0 < by {
                tokio::time::advance(Duration::from_millis(by.unsigned_abs())).await;
            }
            for _ in 0..YIELDS {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Lets the worker that writes do a batch; false where nothing waits.
    pub(crate) fn write(&mut self) -> bool {
        let _context = self.runtime.enter();
        self.hands.write()
    }

    /// Lets those that read do all that waits.
    pub(crate) fn read(&mut self) -> bool {
        let _context = self.runtime.enter();
        let mut has_read = false;
        while self.hands.read() {
            has_read = true;
        }
        has_read
    }

    /// Does all that there is to do now.
    pub(crate) fn rest(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.go_on();
            if !(self.write() | self.read()) {
                return;
            }
        }
    }

    /// Does something, and all else meanwhile, until it is done.
    pub(crate) fn finish<T: Send + 'static>(&mut self, work: impl Future<Output = T> + Send + 'static) -> T {
        let task = self.runtime.spawn(work);
        for _ in 0..ROUNDS_MAX {
            self.go_on();
            if task.is_finished() {
                break;
            }
            self.write();
            self.read();
        }
        self.runtime.block_on(task).expect("what a node does for us does not fail")
    }

    /// Takes a request; its answer comes to those of the ground.
    pub(crate) fn take(&self, number: usize, request: Request<Bytes>) {
        let (service, answers) = (self.service.clone(), self.ground.answers.clone());
        self.runtime.spawn(async move {
            let response = as_one_request(async { service.handle(request).await }).await;
            let (status, body) = (response.status().as_u16(), response.into_body());
            lock(&answers).push((number, status, body));
        });
    }

    /// Takes a socket.
    pub(crate) fn connect(&self, request: Request<()>, stream: DuplexStream) {
        let (service, hub) = (self.service.clone(), self.hub.clone());
        self.runtime.spawn(async move {
            let (parts, ()) = request.into_parts();
            let socket = WebSocket::new(stream);
            match as_one_request(service.connect(&parts)).await {
                Ok(connection) => {
                    let opening = Opening {
                        seated: service.clone().seated(connection.entrance.user).boxed(),
                        frames: service.opening(&connection).map(StreamExt::boxed),
                        resumes: connection.resume_from.map(|id| id.to_string()),
                    };
                    let begun = hub.begin_session(socket, connection.entrance, opening, None).await;
                    if let Some(mut serving) = begun {
                        serving.run().await;
                    }
                }
                Err(refusal) => carillon_delivery::refuse(socket, refusal).await,
            }
        });
    }

    /// Hears what another node said.
    pub(crate) fn hear(&self, number: usize, news: &[u8]) {
        let hearer = lock(&self.ground.post).hearer(number);
        let _context = self.runtime.enter();
        if let Some(hearer) = hearer {
            hearer(news);
        }
    }

    pub(crate) fn set_disk(&mut self, disk: Disk) {
        self.hands.set_disk(disk);
    }

    pub(crate) fn checkpoint(&self) {
        self.hands.checkpoint();
    }

    /// Dies, in the middle of whatever it does.
    pub(crate) fn kill(self, number: usize) {
        let Self { runtime, ground, .. } = self;
        lock(&ground.post).forget(number);
        runtime.shutdown_background();
    }
}

fn sink(hub: &Hub, ground: &Ground, bells: Arc<Bells>) -> Sink {
    let (tell, commits, step) = (hub.sink(), ground.commits.clone(), ground.step.clone());
    Arc::new(move |committed: Committed| {
        let step = step.load(Ordering::Relaxed);
        let events = committed.events.iter();
        lock(&commits).extend(events.map(|event| (event.channel, event.sequence, step)));
        committed.work.iter().for_each(|work| bells.ring(*work));
        tell(committed);
    })
}

fn settings(store: Arc<Store>, clock: Arc<crate::ground::NodeClock>, random: &mut StdRng) -> Settings {
    Settings {
        store,
        home: Home::new(REGION, ACCOUNT),
        clock,
        random: StdRng::from_rng(random),
        root: RootCredentials {
            access_key_id: ACCESS_KEY.to_owned(),
            secret: Secret::new(SECRET.to_owned()),
        },
        keys: KeyRing::of(&[7; 32]),
        key_sets: Arc::new(NoKeySets),
        quotas: Quotas::default(),
        searched: carillon_service::search::Searched::None,
        processors: Processors::default(),
        patience: Patience::default(),
        functions: Functions::new(vec![format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:*")]),
        shy_bots: std::collections::BTreeSet::new(),
        rates: Rates::OFF,
        public_host: "ws.example.test:8443".to_owned(),
        audit: None,
    }
}

/// Copies the store in a file as it is, as a power cut leaves it: who has it open has no part in that.
pub(crate) fn copy_store(from: &Path, to: &Path) {
    for end in ["", "-wal"] {
        let file = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        if file(from).exists() {
            std::fs::copy(file(from), file(to)).expect("the folder of the simulation can be written");
        }
    }
}
