//! The machine: its disk, its open files, its clock.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use carillon_store::Location;
use rustix::process::{Resource, getrlimit};

use super::scene::Scene;
use super::{Check, Found, ok, serious, warning};
use crate::config::audit::AuditLog;
use crate::private_file::PRIVATE;
use crate::store_clock;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "clock", look: clock },
    Check { name: "open-files", look: open_files },
    Check { name: "disk", look: disk },
    Check { name: "network-disk", look: network_disk },
];

const MIB: u64 = 1024 * 1024;
/// Room below which a busy server is full within hours,
const ROOM_BYTES_MIN: u64 = 2 * 1024 * MIB;
/// and within minutes.
const ROOM_BYTES_LEAST: u64 = 256 * MIB;
/// Open files below which some thousand sockets are refused,
const FILES_MIN: u64 = 8_192;
/// and below which a browser or two are.
const FILES_LEAST: u64 = 1_024;
/// Flushes that are timed, of so many bytes each.
const FLUSHES: usize = 9;
const FLUSH_BYTES: usize = 4_096;
/// How long a flush may take in the middle: a send waits for one.
const FLUSH_MAX: Duration = Duration::from_millis(200);
/// File systems on which locks and shared memory of SQLite are known not to hold, by the numbers of Linux.
const NETWORKED: [(i64, &str); 8] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x5346_414f, "AFS"),
];

fn clock(scene: &Scene<'_>) -> Vec<Found> {
    let Some(store) = scene.store() else { return vec![ok("not compared: the store cannot be looked into")] };
    match scene.wait(store_clock::check(store)) {
        None => return vec![serious("the store does not answer in time", "Look at the store.")],
        Some(Err(error)) => {
            return vec![serious(
                error.to_string(),
                "Keep the clocks of all machines by NTP (chrony, systemd-timesyncd).",
            )];
        }
        Some(Ok(())) => {}
    }
    if !scene.settings.test_clock && store.set_clock(scene.now) {
        return vec![warning(
            "the store holds events of a later time than now",
            "The clock was ahead, or is behind: keep it by NTP. New events are not to follow those of later.",
        )];
    }
    vec![ok(scene.now.to_string())]
}

fn open_files(_: &Scene<'_>) -> Vec<Found> {
    // The server raises the limit as far as it goes.
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let remedy =
        "Raise it where the server is started: LimitNOFILE of systemd, ulimit -Hn, --ulimit of a container.";
    let finding = format!("a server started from here may have {most} files open, and each socket is one");
    vec![if most < FILES_LEAST {
        serious(finding, remedy)
    } else if most < FILES_MIN {
        warning(finding, remedy)
    } else {
        ok(finding)
    }]
}

/// The folders that grow, each that is there once.
fn folders(scene: &Scene<'_>) -> Vec<PathBuf> {
    let mut folders = vec![scene.settings.data_dir.clone()];
    if let Location::Sqlite(store) = &scene.settings.store.location {
        folders.extend(store.parent().map(Path::to_owned));
    }
    if let AuditLog::File(file) = &scene.settings.audit {
        folders.extend(file.path.parent().map(Path::to_owned));
    }
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    folders.dedup();
    folders
}

fn disk(scene: &Scene<'_>) -> Vec<Found> {
    let found: Vec<Found> = folders(scene).iter().flat_map(|folder| one_disk(folder)).collect();
    if found.is_empty() { vec![ok("nothing is there yet")] } else { found }
}

fn one_disk(folder: &Path) -> Vec<Found> {
    let shown = folder.display();
    let mut found = Vec::new();
    if let Ok(room) = rustix::fs::statvfs(folder) {
        found.extend(judge_room(&shown.to_string(), room.f_bavail.saturating_mul(room.f_frsize)));
    }
    let remedy = "Make room, or let the server's user write there.";
    match time_flushes(folder) {
        Err(error) => found.push(serious(format!("{shown} cannot be written: {error}"), remedy)),
        Ok(took) => found.extend(judge_flush(&shown.to_string(), took)),
    }
    if found.is_empty() { vec![ok(format!("{shown} has room, and flushes in time"))] } else { found }
}

fn judge_room(shown: &str, free: u64) -> Option<Found> {
    let finding = format!("{shown} has room for {} MiB", free / MIB);
    let remedy = "Make room, or move the data folder: past the end, writes fail.";
    if free < ROOM_BYTES_LEAST {
        Some(serious(finding, remedy))
    } else {
        (free < ROOM_BYTES_MIN).then(|| warning(finding, remedy))
    }
}

fn judge_flush(shown: &str, took: Duration) -> Option<Found> {
    (FLUSH_MAX < took).then(|| {
        warning(
            format!("a flush in {shown} takes {} ms, and each send waits for one", took.as_millis()),
            "Move the data folder to a faster disk, or away from whoever keeps this one busy.",
        )
    })
}

/// How long a flush takes, in the middle of several.
#[expect(clippy::disallowed_methods, reason = "the disk is what is measured")]
fn time_flushes(folder: &Path) -> io::Result<Duration> {
    let path = folder.join("doctor.probe");
    let _ = std::fs::remove_file(&path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&path)?;
    let mut time = || -> io::Result<Vec<Duration>> {
        (0..FLUSHES)
            .map(|_| {
                let begun = Instant::now();
                file.write_all(&[0; FLUSH_BYTES])?;
                file.sync_data()?;
                Ok(begun.elapsed())
            })
            .collect()
    };
    let took = time();
    let _ = std::fs::remove_file(&path);
    let mut took = took?;
    took.sort();
    Ok(took[FLUSHES / 2])
}

fn network_disk(scene: &Scene<'_>) -> Vec<Found> {
    let Location::Sqlite(store) = &scene.settings.store.location else {
        return vec![ok("the store is elsewhere")];
    };
    let folder = store.parent().filter(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    match kind_of(folder).and_then(name_of_network) {
        None => vec![ok("the store is on a disk of this machine")],
        Some(name) => vec![serious(
            format!(
                "{} is on {name}, where the locks of SQLite do not hold: the store will be damaged",
                folder.display()
            ),
            "Move the store to a local disk, or use PostgreSQL.",
        )],
    }
}

fn name_of_network(kind: i64) -> Option<&'static str> {
    NETWORKED.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn kind_of(folder: &Path) -> Option<i64> {
    // The numbers have 32 bits, which some machines widen with the sign.
    rustix::fs::statfs(folder).ok().map(|found| found.f_type & 0xffff_ffff)
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn kind_of(_: &Path) -> Option<i64> {
    None
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn little_room_is_said_before_there_is_none() {
        let severity = |free| judge_room("x", free).map(|found| found.0);
        assert_eq!(severity(ROOM_BYTES_LEAST - 1), Some(Severity::Serious));
        assert_eq!(severity(ROOM_BYTES_MIN - 1), Some(Severity::Warning));
        assert_eq!(severity(ROOM_BYTES_MIN), None);
    }

    #[test]
    fn a_slow_disk_is_said() {
        assert!(judge_flush("x", FLUSH_MAX).is_none());
        assert!(judge_flush("x", FLUSH_MAX * 2).is_some());
    }

    #[test]
    fn a_file_system_of_the_network_is_known_by_its_number() {
        assert_eq!(name_of_network(0x6969), Some("NFS"));
        assert_eq!(name_of_network(0xef53), None, "ext4");
    }
}
