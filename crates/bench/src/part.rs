//! The ceilings, each in a child process of its own: what the store could do without HTTP, and what HTTP could
//! do without the service.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{any, get};
use bytes::Bytes;
use carillon_auth::KeyRing;
use carillon_model::arn::Home;
use carillon_model::{AppInstanceArn, ChannelArn, IdentityArn};
use carillon_service::front::rates::Rates;
use carillon_service::front::request::BODY_BYTES_MAX;
use carillon_service::functions::Functions;
use carillon_service::operations::identity::create_app_instance::CreateAppInstance;
use carillon_service::operations::identity::create_app_instance_user::CreateAppInstanceUser;
use carillon_service::operations::messaging::create_channel::CreateChannel;
use carillon_service::patience::Patience;
use carillon_service::processors::Processors;
use carillon_service::quotas::Quotas;
use carillon_service::{Service, error};
use clap::{Args, Subcommand};
use http::{HeaderValue, StatusCode, header};
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::broadcast::broadcast;
use super::common::runtime;
use super::scene::{ACCOUNT, Answering, REGION, Scene};
use carillon_server::answer::json;
use carillon_server::clock::SystemClock;
use carillon_server::config::StoreAddress;
use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, ExitStatus, Result};
use carillon_server::http::body::Unread;
use carillon_server::http::{Intake, bind, serve};
use carillon_server::key_sets::{FetchedKeySets, Reach};
use carillon_server::wire;

/// The options of one ceiling.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Append to the store, and write how many a second.
    Store {
        #[arg(long)]
        store: String,
        #[arg(long)]
        tasks: usize,
        #[arg(long)]
        seconds: u64,
    },
    /// Tell everyone who listens what is posted.
    Broadcast {
        #[arg(long)]
        http: SocketAddr,
        #[arg(long)]
        https: SocketAddr,
        #[arg(long)]
        folder: PathBuf,
    },
    /// Answer the same to everyone.
    Http {
        #[arg(long)]
        http: SocketAddr,
        #[arg(long)]
        length: usize,
    },
}

/// Runs one ceiling.
pub fn run(options: &Options) -> Result<ExitStatus> {
    match &options.part {
        Part::Store { store, tasks, seconds } => {
            let (store, lasting) = (StoreAddress::parse(store)?, Duration::from_secs(*seconds));
            let per_second = runtime()?.block_on(append(&store, *tasks, lasting))?;
            // Whoever started this process reads it.
            let _ = writeln!(std::io::stdout(), "{per_second}");
        }
        Part::Broadcast { http, https, folder } => {
            runtime()?.block_on(broadcast(*http, *https, folder))?;
        }
        Part::Http { http, length } => runtime()?.block_on(answer(*http, *length))?,
    }
    Ok(ExitStatus::Success)
}

/// What the head of the fixed answer takes: status, type, length, date, the empty line.
const HEAD_BYTES: usize = 114;
/// How long the store runs before it is measured, as the server does.
const WARM_UP: Duration = Duration::from_secs(1);

/// Appends messages by the operation's own function, with no HTTP; answers how many a second.
#[expect(clippy::cast_precision_loss, reason = "a round has far fewer than 2^52 messages")]
pub(crate) async fn append(store: &StoreAddress, tasks: usize, lasting: Duration) -> Result<f64> {
    let mut random = StdRng::try_from_rng(&mut SysRng)
        .map_err(|error| Error::failure(format!("the system has no randomness: {error}")))?;
    let root = RootKey::random(&mut random);
    // Nobody listens: what sessions cost is not the store's.
    let store = wire::open_store(store, Arc::new(|_| {})).await?;
    let service = Arc::new(Service::new(carillon_service::Settings {
        store,
        home: Home::new(REGION, ACCOUNT),
        clock: Arc::new(SystemClock::default()),
        keys: KeyRing::of(&random.random()),
        random,
        root: root.to_root(),
        key_sets: Arc::new(FetchedKeySets::new(Arc::new(SystemClock::default()), Reach::Public)?),
        quotas: Quotas::default(),
        searched: carillon_service::search::Searched::None,
        processors: Processors::default(),
        patience: Patience::default(),
        functions: Functions::default(),
        shy_bots: BTreeSet::new(),
        rates: Rates::OFF,
        public_host: "localhost".to_owned(),
        audit: None,
    }));
    let scene = Arc::new(Scene::set(service.new_id(), &mut service.clone()).await?);
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now() + WARM_UP;
    let end = start + lasting;
    let mut appending = JoinSet::new();
    for _ in 0..tasks {
        let (service, scene, next) = (service.clone(), scene.clone(), next.clone());
        appending.spawn(async move {
            let mut appended = 0_usize;
            while Instant::now() < end {
                let message = scene.message(next.fetch_add(1, Ordering::Relaxed));
                service.execute(message).await.map_err(|error| refused(&error))?;
                appended += usize::from(start <= Instant::now());
            }
            Ok(appended)
        });
    }
    let mut appended = 0;
    while let Some(ended) = appending.join_next().await {
        appended += ended.map_err(|error| Error::failure(format!("a task ended badly: {error}")))??;
    }
    Ok(appended as f64 / start.elapsed().as_secs_f64())
}

impl Answering for Arc<Service> {
    async fn create_app_instance(&mut self, create: CreateAppInstance) -> Result<AppInstanceArn> {
        let created = self.execute(create).await.map_err(|error| refused(&error))?;
        Ok(created.app_instance_arn)
    }
    async fn create_user(&mut self, create: CreateAppInstanceUser) -> Result<IdentityArn> {
        let created = self.execute(create).await.map_err(|error| refused(&error))?;
        Ok(created.app_instance_user_arn)
    }
    async fn create_channel(&mut self, create: CreateChannel) -> Result<ChannelArn> {
        let created = self.execute(create).await.map_err(|error| refused(&error))?;
        Ok(created.channel_arn)
    }
}

fn refused(error: &error::Error) -> Error {
    let cause = error.source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default();
    Error::failure(format!("an operation was refused: {error}{cause}"))
}

/// Reads each request whole, and answers it with as many bytes as a message is answered with, until killed.
pub(crate) async fn answer(address: SocketAddr, length: usize) -> Result<()> {
    let body = Bytes::from(vec![b'x'; length.saturating_sub(HEAD_BYTES)]);
    let router = Router::new()
        .route("/_carillon/health/ready", get(|| async { json(StatusCode::OK, &serde_json::json!({})) }))
        .fallback(any(created))
        .with_state(body);
    let _listening = serve(bind(address)?, None, router)?;
    std::future::pending().await
}

async fn created(State(fixed): State<Bytes>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // A body that does not come ends the round by its missing answer.
    let _ = Unread::new(&parts.headers, body).read(&Intake::default(), BODY_BYTES_MAX).await;
    let mut response = Response::new(Body::from(fixed));
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
