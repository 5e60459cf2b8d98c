//! A service without a server: for a command on the store itself, which may run beside the server.

use std::sync::Arc;

use carillon_auth::KeyRing;
use carillon_model::Key;
use carillon_service::Service;
use carillon_store::Store;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::ground::{Ground, Secrets, check_whole, make_service, open_store, start_clock};
use super::{TASKS_TIMEOUT, runtime};
use crate::audit::{self, Log};
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
        let store = open_store(&settings.store, Arc::new(|_| {})).await?;
        check_whole(&store, &settings.store).await?;
        let clock = start_clock(settings, &store).await?;
        let key_sets = Arc::new(FetchedKeySets::new(clock.clone(), settings.reach)?);
        let Log { ledger: audit, writer, .. } =
            audit::start_beside(&audit::recall(&settings.audit, &data_dir)?)?;
        let ground = Ground { store, clock, key_sets, public_host: String::new(), audit };
        let service = make_service(settings, secrets, ground)?;
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
