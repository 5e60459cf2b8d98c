//! Servers as child processes, and what the kernel counts for each with all that it started.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::Result;

/// How long a server may take to end by itself; what it has not done by then is its own loss.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Ticks of the kernel's clock in a second, in which it counts what a process used.
const TICKS_PER_SECOND: f64 = 100.0;
/// What of a server's last words is shown where it fails.
const LOG_BYTES_MAX: usize = 2_000;

/// A server; it ends with whoever holds it.
pub(crate) struct Server {
    process: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a command whose output goes into a file.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let shown = format!("{}", command.get_program().display());
        let process = command.spawn().map_err(|error| format!("{shown} cannot be started: {error}"))?;
        Ok(Self { process, log: log.to_owned() })
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Fails once it has ended, with its last words.
    pub(crate) fn check(&mut self) -> Result<()> {
        let Some(status) = self.process.try_wait()? else { return Ok(()) };
        let log = fs::read(&self.log).unwrap_or_default();
        let last = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_BYTES_MAX)..]).into_owned();
        Err(format!("a server ended with {status}: {last}").into())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).ok_or("a process without a number")?;
        kill_process(id, Signal::TERM)?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.process.try_wait()?.is_none() && Instant::now() < deadline {
            sleep(ASK_EVERY).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port of the loopback that nobody has just now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// What some processes used and hold, with all that they started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Seconds of a processor, those of children that have ended included.
    pub(crate) processor_s: f64,
    /// Resident now, in KiB; a page that several processes share counts for each.
    pub(crate) resident_kib: u64,
    /// The most that each held since it started, in KiB, together.
    pub(crate) peak_kib: u64,
}

impl Usage {
    /// Of the processes with these numbers, and of all below them.
    pub(crate) fn of(roots: &[u32]) -> Result<Self> {
        let mut usage = Self::default();
        let parents = parents()?;
        for (process, stat) in &parents {
            if roots.iter().any(|root| is_below(*process, *root, &parents)) {
                usage.processor_s += stat.processor_s;
                // One that has ended since holds nothing.
                let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
                usage.resident_kib += field_kib(&status, "VmRSS:").unwrap_or_default();
                usage.peak_kib += field_kib(&status, "VmHWM:").unwrap_or_default();
            }
        }
        Ok(usage)
    }
}

/// What these processes hold in KiB, where a page that several share counts once.
pub(crate) fn proportional_kib(roots: &[u32]) -> Result<u64> {
    let parents = parents()?;
    let below =
        parents.keys().filter(|process| roots.iter().any(|root| is_below(**process, *root, &parents)));
    let held = below.filter_map(|process| {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        field_kib(&text, "Pss:")
    });
    Ok(held.sum())
}

struct Stat {
    parent: u32,
    processor_s: f64,
}

/// All processes of the machine.
fn parents() -> Result<BTreeMap<u32, Stat>> {
    let numbers =
        fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers
        .filter_map(|process: u32| {
            let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            Some((process, parse_stat(&text)?))
        })
        .collect())
}

fn parse_stat(text: &str) -> Option<Stat> {
    // What comes before is the name, which may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    // Its own, in the program and in the kernel, and those of the children that it has waited for.
    let used = ticks(11)? + ticks(12)? + ticks(13)? + ticks(14)?;
    Some(Stat { parent: fields.get(1)?.parse().ok()?, processor_s: used / TICKS_PER_SECOND })
}

fn is_below(process: u32, root: u32, parents: &BTreeMap<u32, Stat>) -> bool {
    let mut at = process;
    while at != root {
        match parents.get(&at) {
            Some(stat) if stat.parent != 0 => at = stat.parent,
            _ => return false,
        }
    }
    true
}

fn field_kib(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_counts_with_the_children_that_ended() {
        let stat = parse_stat("7 (a b) c) S 3 7 7 0 -1 4194560 100 0 0 0 20 30 40 10 20 0 9 0 100").unwrap();
        assert_eq!((stat.parent, stat.processor_s), (3, 1.0));
        assert!(parse_stat("7 (a) S").is_none());
    }

    #[test]
    fn those_below_are_found_by_their_parents() {
        let stat = |parent| Stat { parent, processor_s: 0.0 };
        let parents = BTreeMap::from([(1, stat(0)), (5, stat(1)), (6, stat(5)), (7, stat(1))]);
        let below: Vec<u32> =
            parents.keys().copied().filter(|process| is_below(*process, 5, &parents)).collect();
        assert_eq!(below, [5, 6]);
    }

    #[test]
    fn the_kernel_counts_memory_in_kib() {
        let own = Usage::of(&[std::process::id()]).unwrap();
        assert!(0 < own.resident_kib && own.resident_kib <= own.peak_kib);
        assert_eq!(field_kib("Rss: 5 kB\nPss:                 12 kB\n", "Pss:"), Some(12));
    }
}
