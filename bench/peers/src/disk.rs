//! What the kernel says of the disk: how many flushes it was asked for, and how long one takes.
//!
//! Flushes are counted for the whole device, so a machine that does anything else counts too many.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{major, minor};
use tokio::time::Instant;

use crate::Result;

/// Flushes that are timed.
const FLUSHES: usize = 50;
/// Where in a line of the kernel's table the number of flushes stands.
const FLUSHES_AT: usize = 18;

/// The device that a folder is on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disk {
    major: u32,
    minor: u32,
}

impl Disk {
    /// The device of this folder.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let device = fs::metadata(folder)?.dev();
        Ok(Self { major: major(device), minor: minor(device) })
    }

    /// Flushes that it has done since the machine started; nothing where the kernel does not count them.
    pub(crate) fn flushes(self) -> Option<u64> {
        self.parse(&fs::read_to_string("/proc/diskstats").ok()?)
    }

    fn parse(self, table: &str) -> Option<u64> {
        let number = |fields: &[&str], at: usize| fields.get(at)?.parse::<u64>().ok();
        table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let device = (number(&fields, 0)?, number(&fields, 1)?);
            (device == (u64::from(self.major), u64::from(self.minor))).then(|| number(&fields, FLUSHES_AT))?
        })
    }
}

/// How long an append of a page takes with its flush, half of the time.
pub(crate) fn flush_ms(folder: &Path) -> Result<f64> {
    let mut file = File::create(folder.join("flush"))?;
    let mut took = Vec::new();
    for _ in 0..FLUSHES {
        let start = Instant::now();
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    Ok(took[FLUSHES / 2].as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_are_found_by_the_device() {
        let table = "   7       0 loop0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n 254       0 vda 71180 8221 5765714 \
                     70576 24814 108775 18198472 80838 0 13640 152900 7901 54 1408128 1248 3774 237\n";
        assert_eq!(Disk { major: 254, minor: 0 }.parse(table), Some(3_774));
        assert_eq!(Disk { major: 254, minor: 1 }.parse(table), None);
        // Kernels before 5.5 do not count them.
        assert_eq!(Disk { major: 8, minor: 0 }.parse("8 0 sda 1 2 3 4 5 6 7 8 9 10 11"), None);
    }
}
