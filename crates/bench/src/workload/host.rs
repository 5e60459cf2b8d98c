//! A server that is measured: a binary, with a store and a folder of its own.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use carillon_store::OwnSchema;

use crate::child::{Child, command_of};
use crate::common::{address_in, root_key};
use crate::crowd::Door;
use crate::scene::Remote;
use carillon_server::config::StoreAddress;
use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, Result};

/// The name of what an operator writes.
const CONFIGURATION: &str = "carillon.toml";

/// Which binary is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binary {
    path: PathBuf,
    is_own: bool,
}

impl Binary {
    /// The one that runs, and those that are named, in this order; only those that are named, where some are.
    pub(crate) fn all(named: &[PathBuf]) -> Result<Vec<Self>> {
        if !named.is_empty() {
            return Ok(named.iter().map(|path| Self { path: path.clone(), is_own: false }).collect());
        }
        let path = std::env::current_exe()
            .map_err(|error| Error::failure(format!("this binary cannot be found: {error}")))?;
        Ok(vec![Self { path, is_own: true }])
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is the one that runs.
    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// A server, which may stand still while its store is filled.
pub(crate) struct Host {
    /// Who signs.
    pub(crate) root: RootKey,
    binary: Binary,
    folder: PathBuf,
    store: String,
    child: Option<Child>,
    /// Dropped last: nobody uses it then.
    _schema: Option<OwnSchema>,
}

impl Host {
    /// Starts a server of this binary in a folder of its own. On PostgreSQL it gets a schema of its own, too, which is
    /// dropped in the end, so that several of them can be measured in one database.
    pub(crate) async fn start(binary: &Binary, store: &str, folder: &Path, name: &str) -> Result<Self> {
        Self::start_with("", binary, store, folder, name).await
    }

    /// The same, with this in its `carillon.toml`.
    pub(crate) async fn start_with(
        configuration: &str,
        binary: &Binary,
        store: &str,
        folder: &Path,
        name: &str,
    ) -> Result<Self> {
        let folder = folder.join(name);
        std::fs::create_dir(&folder)
            .and_then(|()| std::fs::write(folder.join(CONFIGURATION), configuration))
            .map_err(|error| Error::failure(format!("{} cannot be made: {error}", folder.display())))?;
        let (address, schema) = if store == "sqlite" {
            (address_in(store, &folder), None)
        } else {
            let shown = StoreAddress::parse(store)?.shown;
            let (store, name) = (store.to_owned(), format!("bench_{}_{name}", std::process::id()));
            let making = tokio::task::spawn_blocking(move || OwnSchema::make(&store, &name));
            let made = making.await.map_err(|error| Error::failure(format!("no schema: {error}")))?;
            let made = made.map_err(|error| Error::failure(format!("no schema in {shown}: {error}")))?;
            (made.address().to_owned(), Some(made))
        };
        let (binary, root) = (binary.clone(), root_key()?);
        let mut host = Self { root, binary, folder, store: address, child: None, _schema: schema };
        host.go_on().await?;
        Ok(host)
    }

    /// Starts the server again, on what its store holds.
    pub(crate) async fn go_on(&mut self) -> Result<()> {
        self.child = Some(Child::start_as(self.command()).await?);
        Ok(())
    }

    /// The command that starts it.
    pub(crate) fn command(&self) -> std::process::Command {
        let data_dir = self.folder.join("server");
        let configuration = self.folder.join(CONFIGURATION);
        let (data_dir, configuration) = (data_dir.to_string_lossy(), configuration.to_string_lossy());
        let mut words = vec!["serve", "--https", "off", "--limits-preset", "off", "--log", "error"];
        words.extend(["--data-dir", &data_dir, "--store", &self.store, "--config", &configuration]);
        command_of(self.binary.path(), &words, &self.root)
    }

    /// Ends the server as an operator does.
    pub(crate) async fn rest(&mut self) -> Result<()> {
        match self.child.take() {
            Some(child) => child.end().await,
            None => Ok(()),
        }
    }

    fn child(&self) -> &Child {
        self.child.as_ref().expect("a server is asked only while it runs")
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.child().address
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child().id()
    }

    /// Its store, for whoever fills it while the server stands still.
    pub(crate) fn store(&self) -> Result<StoreAddress> {
        StoreAddress::parse(&self.store)
    }

    /// A connection to it.
    pub(crate) async fn remote(&self) -> Result<Remote<'_>> {
        Remote::open(self.address(), &self.root).await
    }

    /// Where sockets are opened.
    pub(crate) fn door(&self) -> Door {
        Door::plain(self.address(), &self.root)
    }
}
