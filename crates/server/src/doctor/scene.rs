//! What the checks look at: the settings, and what is behind them, opened once.

use std::cell::Cell;
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use carillon_auth::KeyRing;
use carillon_model::Timestamp;
use carillon_store::{self as store, Location, Schema, Store, Tx};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::{Found, PATIENCE, ok};
use crate::clock;
use crate::config::Settings;
use crate::credentials::RootKey;
use crate::data_dir::{self, LOCK};
use crate::error::{Error, Result};
use crate::master_key;
use crate::wire::open_store;

/// What is known before anything is checked.
pub(super) struct Scene<'a> {
    pub(super) settings: &'a Settings,
    runtime: Runtime,
    /// Real time.
    pub(super) now: Timestamp,
    /// Whether a server uses the data folder.
    pub(super) is_served: bool,
    /// How long the log of a SQLite store was before anybody looked: whoever comes last shortens it.
    pub(super) log_bytes: u64,
    /// The numbers of pages that are not as they were written, nothing where they have no sums: looked at before
    /// anybody here had the store open.
    pub(super) pages: store::Result<Option<Vec<u64>>>,
    /// The schema of the store, nothing where there is none yet; or why that cannot be known.
    pub(super) schema: std::result::Result<Option<Schema>, String>,
    /// The store, where this binary can look into it without changing it.
    store: Option<Arc<Store>>,
    /// Where signatures come from, if that can be read.
    pub(super) root: Option<RootKey>,
    /// The master keys, if they can be read.
    pub(super) keys: Option<KeyRing>,
    /// Whoever answers is heard, whatever their certificate: that is another check's.
    pub(super) client: reqwest::Client,
    /// Whether a question at one of the doors was not answered in time.
    pub(super) was_kept_waiting: Cell<bool>,
}

impl<'a> Scene<'a> {
    pub(super) fn of(settings: &'a Settings) -> Result<Self> {
        let runtime =
            Runtime::new().map_err(|error| Error::failure(format!("the runtime cannot start: {error}")))?;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .tls_danger_accept_invalid_certs(true)
            .http1_only()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .map_err(|error| Error::failure(format!("no HTTP client: {error}")))?;
        let log_bytes = measure_log(settings);
        let pages = look_at_pages(settings);
        let schema = find_schema(settings);
        let is_ours = schema == Ok(Some(Schema { version: Schema::known(), needs: needs_of(&schema) }));
        let opened = is_ours.then(|| runtime.block_on(open_store(&settings.store, Arc::new(|_| {}))));
        Ok(Self {
            settings,
            now: clock::real(),
            log_bytes,
            pages,
            is_served: is_served(settings),
            store: opened.and_then(Result::ok),
            schema,
            root: RootKey::from_environment()
                .ok()
                .flatten()
                .or_else(|| RootKey::find(&settings.data_dir).ok().flatten()),
            keys: master_key::find(&settings.data_dir).ok().flatten(),
            client,
            was_kept_waiting: Cell::new(false),
            runtime,
        })
    }

    /// Waits for something, for as long as a check may.
    pub(super) fn wait<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        self.wait_for(PATIENCE, what)
    }

    /// The same, for so long.
    pub(super) fn wait_for<T>(&self, patience: Duration, what: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async { timeout(patience, what).await.ok() })
    }

    /// Looks into the store, and answers for what can be seen there.
    pub(super) fn look<T: Send + 'static>(
        &self,
        read: impl Fn(&mut Tx) -> store::Result<T> + Send + 'static,
        judge: impl FnOnce(T) -> Vec<Found>,
    ) -> Vec<Found> {
        let Some(store) = &self.store else {
            return vec![ok("not looked at: the store cannot be looked into")];
        };
        match self.wait(store.read(read)) {
            Some(Ok(read)) => judge(read),
            Some(Err(error)) => {
                vec![super::serious(format!("the store does not answer: {error}"), "Look at the store.")]
            }
            None => vec![super::serious("the store does not answer in time", "Look at the store.")],
        }
    }

    /// The store, if it can be looked into.
    pub(super) fn store(&self) -> Option<&Arc<Store>> {
        self.store.as_ref()
    }

    /// Where a server of these settings answers on this machine.
    pub(super) fn here(&self) -> String {
        let local = |address: SocketAddr| match address.ip() {
            ip if ip.is_unspecified() => format!("localhost:{}", address.port()),
            _ => address.to_string(),
        };
        match (self.settings.http, self.settings.https) {
            (Some(address), _) => format!("http://{}", local(address)),
            (None, Some(address)) => format!("https://{}", local(address)),
            (None, None) => unreachable!("one of the two listens"),
        }
    }

    /// Lets go of what was opened, which may wait where a runtime may not.
    pub(super) fn end(self) {
        drop(self.runtime);
        drop(self.store);
    }
}

fn needs_of(schema: &std::result::Result<Option<Schema>, String>) -> i64 {
    schema.as_ref().ok().and_then(|schema| schema.map(|schema| schema.needs)).unwrap_or_default()
}

fn measure_log(settings: &Settings) -> u64 {
    let Location::Sqlite(path) = &settings.store.location else { return 0 };
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(&log).map_or(0, |metadata| metadata.len())
}

/// A store that is not there yet has no pages.
fn look_at_pages(settings: &Settings) -> store::Result<Option<Vec<u64>>> {
    match &settings.store.location {
        Location::Sqlite(path) if path.exists() => store::broken_pages(path),
        _ => Ok(Some(Vec::new())),
    }
}

fn find_schema(settings: &Settings) -> std::result::Result<Option<Schema>, String> {
    if let Location::Sqlite(path) = &settings.store.location
        && (!path.exists() || data_dir::is_half_restored(&settings.data_dir))
    {
        return Ok(None);
    }
    Schema::of(&settings.store.location).map(Some).map_err(|error| error.to_string())
}

/// Whoever serves holds the lock. Looking takes it for a moment, where nobody does.
fn is_served(settings: &Settings) -> bool {
    let lock = File::open(settings.data_dir.join(LOCK));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
