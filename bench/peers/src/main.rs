//! Carillon beside its peers: the same workloads, in turns, on one machine. `README.md` says what is compared, and
//! `cargo xtask peers` installs and starts it all.

mod appending;
mod crowd;
mod disk;
mod fan_out;
mod measure;
mod peer;
mod postgres;
mod process;
mod report;
mod sends;
mod table;
mod turns;
mod wire;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

/// What went wrong, in words.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// How long something that is being started may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long to wait between attempts.
const ATTEMPT_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug, Parser)]
#[command(about = "Carillon beside its peers, on this machine alone")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures, and writes tables.
    Run(turns::Options),
    /// The server of the bare append.
    #[command(hide = true)]
    Append(appending::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(Error::from).and_then(|runtime| {
        runtime.block_on(async {
            let work = async {
                match &cli.command {
                    Command::Run(options) => turns::run(options).await,
                    Command::Append(options) => appending::run(options).await,
                }
            };
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                ended = work => ended,
                // All servers end with what holds them.
                _ = tokio::signal::ctrl_c() => Err("ended by ctrl-c".into()),
                _ = terminate.recv() => Err("ended by a signal".into()),
            }
        })
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Attempts something that is being started, until it succeeds.
pub(crate) async fn patiently<T>(attempt: impl AsyncFn() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let attempted = timeout(ATTEMPT_TIMEOUT, attempt()).await;
        match attempted.unwrap_or_else(|_| Err("no answer in time".into())) {
            Err(_) if Instant::now() < deadline => sleep(ATTEMPT_EVERY).await,
            ended => return ended,
        }
    }
}

/// The time that goes into signatures.
#[expect(clippy::disallowed_methods, reason = "this program has no calls whose instant it could take")]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Tells the person who waits how far it is.
#[expect(clippy::print_stderr, reason = "words for the person who started this")]
pub(crate) fn say(words: &str) {
    eprintln!("{words}");
}
