//! How a server is, seen from outside: the memory that the kernel counts for it, and what it says itself of the gates
//! before its processors.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::client::Connection;
use super::scene::lost;
use carillon_server::error::{Error, Result};

/// How often a server is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a process holds, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) now_kib: u64,
    /// At most, since it started.
    pub(crate) peak_kib: u64,
}

impl Memory {
    /// Of a process.
    pub(crate) fn of(process: u32) -> Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok();
        let memory = text.as_deref().and_then(Self::parse);
        memory.ok_or_else(|| Error::failure("the kernel does not say what a process holds"))
    }

    fn parse(status: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some(Self { now_kib: field("VmRSS:")?, peak_kib: field("VmHWM:")? })
    }
}

/// What a server says of the calls of its processors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Gates {
    /// Gates that let calls through.
    pub(crate) open: u64,
    /// Gates that let nobody through, because their processors keep failing.
    pub(crate) closed: u64,
    /// Calls that were taken.
    pub(crate) taken: u64,
    /// Calls that failed.
    pub(crate) failed: u64,
    /// Calls that a gate did not let through.
    pub(crate) not_made: u64,
}

impl Gates {
    /// Asks a server; nothing where it has no metrics.
    pub(crate) async fn of(server: SocketAddr) -> Result<Option<Self>> {
        let request = format!("GET /_carillon/metrics HTTP/1.1\r\nhost: {server}\r\n\r\n");
        let mut connection = Connection::open(server).await.map_err(|error| lost(&error))?;
        let answer = connection.exchange(request.as_bytes()).await.map_err(|error| lost(&error))?;
        let text = String::from_utf8_lossy(answer.body);
        Ok((answer.status == 200).then(|| Self::parse(&text)))
    }

    fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            // A value may be written as a float.
            line.and_then(|rest| rest.trim().split('.').next()?.parse().ok()).unwrap_or_default()
        };
        Self {
            open: value(r#"carillon_processor_gates{state="open"}"#),
            closed: value(r#"carillon_processor_gates{state="closed"}"#),
            taken: value(r#"carillon_processor_calls_total{result="taken"}"#),
            failed: value(r#"carillon_processor_calls_total{result="failed"}"#),
            not_made: value(r#"carillon_processor_calls_total{result="not_made"}"#),
        }
    }
}

/// What was seen of the gates while somebody looked.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Looks {
    /// How often a gate was closed.
    pub(crate) closed: u32,
    /// How often it was looked, and answered.
    pub(crate) all: u32,
    /// When a gate was first closed, in milliseconds after the first look.
    pub(crate) closed_after_ms: Option<u64>,
    /// What was seen last.
    pub(crate) last: Gates,
}

/// Looks at the gates of a server again and again.
pub(crate) struct Looking {
    task: JoinHandle<Result<Looks>>,
    stop: CancellationToken,
}

impl Looking {
    /// Begins to look.
    pub(crate) fn at(server: SocketAddr) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(look(server, stop.clone())), stop }
    }

    /// What was seen; nothing where the server has no metrics.
    pub(crate) async fn end(self) -> Result<Option<Looks>> {
        self.stop.cancel();
        let looks = self.task.await;
        let looks = looks.map_err(|error| Error::failure(format!("nobody looked: {error}")))??;
        Ok((0 < looks.all).then_some(looks))
    }
}

async fn look(server: SocketAddr, stop: CancellationToken) -> Result<Looks> {
    let (start, mut looks) = (Instant::now(), Looks::default());
    loop {
        if let Some(gates) = Gates::of(server).await? {
            looks.all += 1;
            looks.last = gates;
            if 0 < gates.closed {
                looks.closed += 1;
                let after_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                looks.closed_after_ms.get_or_insert(after_ms);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(looks),
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_in_kib() {
        let status = "Name:\tcarillon\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\nThreads:\t9\n";
        assert_eq!(Memory::parse(status), Some(Memory { now_kib: 10_240, peak_kib: 20_480 }));
        assert_eq!(Memory::parse("Name:\tcarillon\n"), None);
        let own = Memory::of(std::process::id()).unwrap();
        assert!(0 < own.now_kib && own.now_kib <= own.peak_kib);
    }

    #[test]
    fn metrics_are_read_by_name_and_label() {
        let text = "# TYPE carillon_processor_gates gauge\n\
                    carillon_processor_gates{state=\"open\"} 1\n\
                    carillon_processor_gates{state=\"closed\"} 2.0\n\
                    carillon_processor_calls_total{result=\"failed\"} 17\n";
        assert_eq!(Gates::parse(text), Gates { open: 1, closed: 2, failed: 17, ..Gates::default() });
        assert_eq!(Gates::parse(""), Gates::default());
    }
}
