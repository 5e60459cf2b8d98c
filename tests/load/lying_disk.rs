//! A disk that loses what was not flushed, for `power_cuts.py`: loaded before the server's own library, it writes down
//! what the server does to files under one folder, and when it flushes them. What the disk would hold after the power
//! was cut is made of that.
//!
//! `rustc --edition 2024 --crate-type cdylib lying_disk.rs`, and then in the server's environment `LD_PRELOAD`,
//! `LYING_DISK_ROOT` (the folder), `LYING_DISK_LOG` (what was done), and perhaps `LYING_DISK_LIES=1`, by which no flush
//! counts.
//!
//! A record is its kind (a byte), the file (its inode), a place, the length of what follows, and that: all by 8 bytes.
//! It is written before the call returns, in one go, so that the order of records is that which any thread could know.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::fs::File;
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const WRITE: u8 = 1;
const CUT: u8 = 2;
const SYNC: u8 = 3;
const OPEN: u8 = 4;
const UNLINK: u8 = 5;
const RENAME: u8 = 6;
/// How long a flush takes, in which the power may be cut.
const FLUSH: Duration = Duration::from_micros(300);
const O_APPEND: c_int = 0o2000;
const O_TRUNC: c_int = 0o1000;
const AT_FDCWD: c_int = -100;
const SEEK_CUR: c_int = 1;
const FILES_MAX: usize = 1 << 16;
/// Beside the number of a file: it is written at its end.
const APPENDS: u64 = 1 << 63;

/// The file of each descriptor; zero is one that is not looked at.
static FILES: [AtomicU64; FILES_MAX] = [const { AtomicU64::new(0) }; FILES_MAX];

struct Disk {
    root: PathBuf,
    log: File,
    lies: bool,
}

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// The function of the same name that would have been called.
macro_rules! next {
    ($name:literal, fn($($argument:ty),*) -> $answer:ty) => {{
        static NEXT: OnceLock<usize> = OnceLock::new();
        // SAFETY: RTLD_NEXT is -1, and the name is one that the system's library has, of this type.
        let found = NEXT.get_or_init(|| unsafe { dlsym(usize::MAX as *mut c_void, $name.as_ptr()) } as usize);
        unsafe { std::mem::transmute::<usize, unsafe extern "C" fn($($argument),*) -> $answer>(*found) }
    }};
}

fn disk() -> Option<&'static Disk> {
    static DISK: OnceLock<Option<Disk>> = OnceLock::new();
    static IS_OPENING: AtomicU64 = AtomicU64::new(0);
    if DISK.get().is_none() && IS_OPENING.swap(1, Ordering::SeqCst) == 1 {
        // What opens the log comes by here, too; nothing else runs as early.
        return None;
    }
    DISK.get_or_init(|| {
        let root = PathBuf::from(std::env::var_os("LYING_DISK_ROOT")?);
        let log = std::env::var_os("LYING_DISK_LOG")?;
        let log = File::options().append(true).create(true).open(log).ok()?;
        Some(Disk { root, log, lies: std::env::var_os("LYING_DISK_LIES").is_some() })
    })
    .as_ref()
}

impl Disk {
    fn note(&self, kind: u8, file: u64, place: u64, rest: &[u8]) {
        let mut record = Vec::with_capacity(25 + rest.len());
        record.push(kind);
        for number in [file, place, rest.len() as u64] {
            record.extend(number.to_le_bytes());
        }
        record.extend(rest);
        (&self.log).write_all(&record).expect("the log of the disk takes what is written");
    }
}

fn file_of(fd: c_int) -> Option<(u64, bool)> {
    let known = FILES.get(usize::try_from(fd).ok()?)?.load(Ordering::SeqCst);
    (known != 0).then_some((known & !APPENDS, known & APPENDS != 0))
}

fn borrowed(fd: c_int) -> ManuallyDrop<File> {
    // SAFETY: it is not closed here.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd) })
}

fn path_of(name: *const c_char) -> PathBuf {
    // SAFETY: whoever opens a file gives a string.
    let name = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()));
    std::path::absolute(name).unwrap_or_default()
}

fn opened(fd: c_int, name: *const c_char, flags: c_int) -> c_int {
    let Some(disk) = disk().filter(|disk| 0 <= fd && fd != disk.log.as_raw_fd()) else { return fd };
    let path = path_of(name);
    if path.starts_with(&disk.root)
        && let Ok(metadata) = borrowed(fd).metadata()
    {
        let appends = if flags & O_APPEND == 0 { 0 } else { APPENDS };
        disk.note(OPEN, metadata.ino(), u64::from(metadata.is_dir()), path.as_os_str().as_bytes());
        if flags & O_TRUNC != 0 {
            disk.note(CUT, metadata.ino(), 0, &[]);
        }
        FILES[fd as usize].store(metadata.ino() | appends, Ordering::SeqCst);
    }
    fd
}

fn wrote(fd: c_int, place: Option<u64>, bytes: *const c_void, count: isize) -> isize {
    if 0 < count
        && let Some(disk) = disk()
        && let Some((file, appends)) = file_of(fd)
    {
        let end = || borrowed(fd).metadata().map_or(0, |metadata| metadata.len());
        // SAFETY: zero bytes from where it stands moves nothing.
        let here = || unsafe { next!(c"lseek64", fn(c_int, i64, c_int) -> i64)(fd, 0, SEEK_CUR) } as u64;
        let place = place.unwrap_or_else(|| if appends { end() } else { here() } - count as u64);
        // SAFETY: so many bytes were just written.
        disk.note(WRITE, file, place, unsafe { std::slice::from_raw_parts(bytes.cast(), count as usize) });
    }
    count
}

fn flushed(fd: c_int) -> bool {
    if let Some(disk) = disk()
        && let Some((file, _)) = file_of(fd)
    {
        std::thread::sleep(FLUSH);
        if !disk.lies {
            disk.note(SYNC, file, 0, &[]);
        }
        return true;
    }
    false
}

macro_rules! opens {
    ($name:ident, $text:literal) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
            opened(unsafe { next!($text, fn(*const c_char, c_int, c_int) -> c_int)(path, flags, mode) }, path, flags)
        }
    };
}
macro_rules! opens_at {
    ($name:ident, $text:literal) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(folder: c_int, path: *const c_char, flags: c_int, mode: c_int) -> c_int {
            let open = next!($text, fn(c_int, *const c_char, c_int, c_int) -> c_int);
            let fd = unsafe { open(folder, path, flags, mode) };
            if folder == AT_FDCWD { opened(fd, path, flags) } else { fd }
        }
    };
}
opens!(open, c"open");
opens!(open64, c"open64");
opens_at!(openat, c"openat");
opens_at!(openat64, c"openat64");

#[unsafe(no_mangle)]
unsafe extern "C" fn close(fd: c_int) -> c_int {
    if let Some(known) = usize::try_from(fd).ok().and_then(|fd| FILES.get(fd)) {
        known.store(0, Ordering::SeqCst);
    }
    unsafe { next!(c"close", fn(c_int) -> c_int)(fd) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, count: usize) -> isize {
    let count = unsafe { next!(c"write", fn(c_int, *const c_void, usize) -> isize)(fd, bytes, count) };
    wrote(fd, None, bytes, count)
}

macro_rules! writes_at {
    ($name:ident, $text:literal) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(fd: c_int, bytes: *const c_void, count: usize, place: i64) -> isize {
            let write = next!($text, fn(c_int, *const c_void, usize, i64) -> isize);
            let count = unsafe { write(fd, bytes, count, place) };
            wrote(fd, Some(place as u64), bytes, count)
        }
    };
}
writes_at!(pwrite, c"pwrite");
writes_at!(pwrite64, c"pwrite64");

macro_rules! cuts {
    ($name:ident, $text:literal) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(fd: c_int, length: i64) -> c_int {
            let done = unsafe { next!($text, fn(c_int, i64) -> c_int)(fd, length) };
            if let (0, Some(disk), Some((file, _))) = (done, disk(), file_of(fd)) {
                disk.note(CUT, file, length as u64, &[]);
            }
            done
        }
    };
}
cuts!(ftruncate, c"ftruncate");
cuts!(ftruncate64, c"ftruncate64");

#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    if flushed(fd) { 0 } else { unsafe { next!(c"fsync", fn(c_int) -> c_int)(fd) } }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    if flushed(fd) { 0 } else { unsafe { next!(c"fdatasync", fn(c_int) -> c_int)(fd) } }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    let done = unsafe { next!(c"unlink", fn(*const c_char) -> c_int)(path) };
    let gone = path_of(path);
    if let Some(disk) = disk().filter(|disk| done == 0 && gone.starts_with(&disk.root)) {
        disk.note(UNLINK, 0, 0, gone.as_os_str().as_bytes());
    }
    done
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let done = unsafe { next!(c"rename", fn(*const c_char, *const c_char) -> c_int)(from, to) };
    let (from, to) = (path_of(from), path_of(to));
    if let Some(disk) = disk().filter(|disk| done == 0 && to.starts_with(&disk.root)) {
        let both = [from.as_os_str().as_bytes(), b"\0", to.as_os_str().as_bytes()].concat();
        disk.note(RENAME, 0, 0, &both);
    }
    done
}
