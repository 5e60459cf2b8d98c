//! Child processes of this same binary, and the folder that they work in. Both end with whoever holds them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::client::Connection;
use carillon_server::credentials::{ACCESS_KEY_VARIABLE, RootKey, SECRET_VARIABLE};
use carillon_server::error::{Error, Result};

/// How long a child may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(15);
/// How often it is asked whether it does.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A folder that is removed in the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A folder of this process, in another.
    pub(crate) fn make_in(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("carillon-bench-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| {
            Error::failure(format!("the folder {} cannot be made: {error}", path.display()))
                .hint("Name a folder on the disk that is to be measured with --folder.")
        })?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays, named for what it is.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A child that listens.
pub(crate) struct Child {
    process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Child {
    /// Starts this binary with these words and `--http` somewhere, and waits until it answers.
    pub(crate) async fn start(words: &[&str], root: &RootKey) -> Result<Self> {
        Self::start_as(command(words, root)?).await
    }

    /// Starts a command that is a server, and waits until it answers.
    pub(crate) async fn start_as(command: Command) -> Result<Self> {
        let mut child = Self::begin(command)?;
        child.wait_until_ready().await?;
        Ok(child)
    }

    /// Starts a command that is a server.
    pub(crate) fn begin(mut command: Command) -> Result<Self> {
        let address = free_address()?;
        command.args(["--http", &address.to_string()]).stdout(Stdio::null());
        let process = command
            .spawn()
            .map_err(|error| Error::failure(format!("a child process cannot be started: {error}")))?;
        Ok(Self { process, address })
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as an operator does, and waits until it has ended.
    pub(crate) async fn end(mut self) -> Result<()> {
        let failed = |words: String| Error::failure(format!("a child process did not end well: {words}"));
        let id = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| failed("it has no number".to_owned()))?;
        kill_process(id, Signal::TERM).map_err(|error| failed(error.to_string()))?;
        let deadline = Instant::now() + END_TIMEOUT;
        while Instant::now() < deadline {
            match self.process.try_wait().map_err(|error| failed(error.to_string()))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(failed(status.to_string())),
                None => sleep(ASK_EVERY).await,
            }
        }
        Err(failed("it goes on".to_owned()))
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let request = format!("GET /_carillon/health/ready HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(Error::failure(format!("a child process ended before it answered: {status}")));
            }
            if let Ok(mut connection) = Connection::open(self.address).await
                && matches!(connection.exchange(request.as_bytes()).await, Ok(answer) if answer.status == 200)
            {
                return Ok(());
            }
            sleep(ASK_EVERY).await;
        }
        Err(Error::failure("a child process does not answer"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// This binary with these words, configured by nothing else.
pub(crate) fn command(words: &[&str], root: &RootKey) -> Result<Command> {
    let binary = std::env::current_exe()
        .map_err(|error| Error::failure(format!("this binary cannot be found: {error}")))?;
    Ok(command_of(&binary, words, root))
}

/// A binary with these words, configured by nothing else.
pub(crate) fn command_of(binary: &Path, words: &[&str], root: &RootKey) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARILLON_") {
            command.env_remove(name);
        }
    }
    command.env(ACCESS_KEY_VARIABLE, &root.access_key_id).env(SECRET_VARIABLE, root.expose_secret());
    command.args(words).stdin(Stdio::null());
    command
}

/// A port that nobody has just now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|held| held.local_addr())
        .map_err(|error| Error::failure(format!("no port is free: {error}")))
}
