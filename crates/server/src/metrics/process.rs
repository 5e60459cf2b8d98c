//! What this process is, and what it takes of the machine. What the system does not tell is left out.

use std::fs;

use carillon_model::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Page;

/// This process.
#[derive(Debug)]
pub(crate) struct Process {
    /// When it began to serve.
    pub(crate) began_at: Timestamp,
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut page = Page::new(encoder);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.info("carillon_build", "Which Carillon this is", &version)?;
        let began = std::time::Duration::from_millis(self.began_at.ms().unsigned_abs()).as_secs_f64();
        page.gauge("carillon_process_start_time_seconds", "When this process began, since 1970", began)?;
        if let Some(bytes) = resident_bytes() {
            page.gauge("carillon_process_resident_memory_bytes", "Memory that this process has", bytes)?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            page.gauge("carillon_process_open_files", "Files and connections that are open", open.count())?;
        }
        Ok(())
    }
}

/// The memory of this process, as Linux tells it.
fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
