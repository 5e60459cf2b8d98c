//! A service without a server: for a command on the store itself, which may run beside the server.

use std::path::Path;
use std::sync::Arc;

use carillon_auth::KeyRing;
use carillon_model::Key;
use carillon_service::Service;
use carillon_store::Store;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::ground::{Ground, Secrets, check_whole, make_service, open_store, start_clock};
use super::{TASKS_TIMEOUT, runtime};
use crate::audit::{self, Log, Writer};
use crate::config::Settings;
use crate::data_dir::{self, DataDir};
use crate::error::{Error, Result};
use crate::key_sets::FetchedKeySets;
use crate::process;
use crate::tenure::Tenure;

/// Gives a command the store, which no server serves meanwhile, with the master keys and the randomness that this
/// server would have.
pub(crate) fn alone<T>(
    settings: &Settings,
    with: impl AsyncFnOnce(&Arc<Store>, &KeyRing, &mut StdRng) -> Result<T>,
) -> Result<T> {
    let runtime = runtime()?;
    process::keep_private();
    let done = runtime.block_on(async {
        let data_dir = DataDir::open(&settings.data_dir)?;
        let Secrets { mut random, keys, .. } = Secrets::open(settings, data_dir.path())?;
        let store = open_store(&settings.store, Arc::new(|_| {})).await?;
        data_dir::tighten(&settings.store.location);
        let node = data_dir.node(Key::random(random.random()))?;
        let tenure = Tenure::alone(store.clone(), node, &settings.store).await?;
        let done = with(&store, &keys, &mut random).await;
        tenure.end().await;
        // Dropping the store waits for its lanes, which a thread of the runtime may not.
        let _ = tokio::task::spawn_blocking(move || drop(store)).await;
        done
    });
    runtime.shutdown_timeout(TASKS_TIMEOUT);
    done
}

/// Gives a command the service, on the store itself: no listeners, no jobs, and nobody who is told of anything.
pub fn with_service<T>(settings: &Settings, with: impl AsyncFnOnce(&Arc<Service>) -> Result<T>) -> Result<T> {
    let runtime = runtime()?;
    process::keep_private();
    let done = runtime.block_on(async {
        let data_dir = DataDir::share(&settings.data_dir)?;
        let secrets = Secrets::open(settings, &data_dir)?;
        let (store, ground) = open(settings, &data_dir).await?;
        drop(store);
        let (service, writer) = ground.serve(settings, secrets)?;
        let done = with(&service).await;
        end(service, writer, done).await
    });
    runtime.shutdown_timeout(TASKS_TIMEOUT);
    done
}

/// The same; with the name of the node that this is, where no server serves the store, and none can until this is done.
pub(crate) fn with_service_alone_or_beside<T>(
    settings: &Settings,
    with: impl AsyncFnOnce(&Arc<Service>, Option<Key>) -> Result<T>,
) -> Result<T> {
    let runtime = runtime()?;
    process::keep_private();
    let done = runtime.block_on(async {
        let own = DataDir::open_if_free(&settings.data_dir)?;
        let path = match &own {
            Some(own) => own.path().to_owned(),
            None => DataDir::share(&settings.data_dir)?,
        };
        let mut secrets = Secrets::open(settings, &path)?;
        let (store, ground) = open(settings, &path).await?;
        let (mut node, mut tenure) = (None, None);
        if let Some(own) = &own {
            let name = own.node(Key::random(secrets.random.random()))?;
            tenure = Tenure::if_alone(store, name, &settings.store).await?;
            node = tenure.is_some().then_some(name);
        }
        let (service, writer) = ground.serve(settings, secrets)?;
        let done = with(&service, node).await;
        if let Some(tenure) = tenure {
            tenure.end().await;
        }
        end(service, writer, done).await
    });
    runtime.shutdown_timeout(TASKS_TIMEOUT);
    done
}

/// What a service beside a server stands on, and the audit log that it appends to.
struct Beside {
    ground: Ground,
    writer: Writer,
}

impl Beside {
    fn serve(self, settings: &Settings, secrets: Secrets) -> Result<(Arc<Service>, Writer)> {
        Ok((make_service(settings, secrets, self.ground)?, self.writer))
    }
}

async fn open(settings: &Settings, data_dir: &Path) -> Result<(Arc<Store>, Beside)> {
    let store = open_store(&settings.store, Arc::new(|_| {})).await?;
    check_whole(&store, &settings.store).await?;
    let clock = start_clock(settings, &store).await?;
    let key_sets = Arc::new(FetchedKeySets::new(clock.clone(), settings.reach)?);
    let Log { ledger: audit, writer, .. } = audit::start_beside(&audit::recall(&settings.audit, data_dir)?)?;
    let ground = Ground { store: store.clone(), clock, key_sets, public_host: String::new(), audit };
    Ok((store, Beside { ground, writer }))
}

/// Waits until all that was done is in the store and in the audit log.
async fn end<T>(service: Arc<Service>, writer: Writer, done: Result<T>) -> Result<T> {
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
}
