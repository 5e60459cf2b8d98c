//! The layer under SQLite: its own way to the files of this system, with each page looked at on the way.
//!
//! SQLite calls it by pointers, so this one module is `unsafe`. What makes it sound:
//!
//! - SQLite gives `xOpen` room of `szOsFile` bytes, aligned for any type, that nobody else uses until `xClose`, and
//!   passes the same pointer to every other function. We asked for room for our [`File`] and behind it, at its size,
//!   which is a multiple of its alignment, for that of the layer below; both are written before `xOpen` answers well.
//! - A connection is used by one thread at a time (`SQLITE_OPEN_NO_MUTEX` asks that of us, and `rusqlite::Connection`
//!   is not `Sync`), so a `File` is, too, and a `Cell` in it will do. What connections share, [`Frames`], is `Sync`.
//! - A buffer that comes with a length has that length; one to be written from is only read.
//! - The table of functions and the layer itself live as long as the process.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::size_of;
use std::ptr;
use std::sync::{Arc, OnceLock};

use rusqlite::{Connection, ffi};

use crate::frames::Frames;
use crate::{PAGE_BYTES, log, note_damage, page};

/// What it is called; [`register`] makes it known.
pub const NAME: &CStr = c"carillon";
/// Asks a file for sums on all that is written from here on. SQLite leaves numbers of this size to others.
const SUM_ALL: c_int = 0x4372_6c6e;
/// The least that is a page; what is shorter is a part of the header.
const PAGE_BYTES_MIN: usize = 512;

/// An open file, as SQLite knows it. That of the layer below follows.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    kind: Kind,
}

enum Kind {
    /// The database; whether its pages have sums, once that is known: of an empty file it is not.
    Store { path: String, is_summed: Cell<Option<bool>> },
    /// Its log.
    Log { path: String, frames: Arc<Frames> },
    /// Journals and what is only for a while: written and read by one process.
    Other,
}

/// The file of the layer below.
#[derive(Clone, Copy)]
struct Below(*mut ffi::sqlite3_file);

/// Makes the layer known to SQLite, once; false where SQLite refuses it.
pub fn register() -> bool {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    *REGISTERED.get_or_init(|| {
        // SAFETY: a null name asks for the layer that SQLite uses by itself, which lives as long as the process.
        let below = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        // SAFETY: the pointer is null, or of a layer that nobody changes.
        let Some(found) = (unsafe { below.as_ref() }) else { return false };
        let Ok(own) = c_int::try_from(size_of::<File>()) else { return false };
        let layer = ffi::sqlite3_vfs {
            szOsFile: own + found.szOsFile,
            pNext: ptr::null_mut(),
            zName: NAME.as_ptr(),
            pAppData: below.cast(),
            xOpen: Some(open),
            // All else is about names, and asks nothing of the layer that it is given.
            ..*found
        };
        // SAFETY: it is never freed, and its name is static.
        unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(layer)), 0) == ffi::SQLITE_OK }
    })
}

/// Has SQLite leave room for sums in the pages of a file that it is about to make, or to make anew.
pub fn reserve(connection: &Connection) -> bool {
    let Ok(mut bytes) = c_int::try_from(page::TAIL_BYTES) else { return false };
    control(connection, ffi::SQLITE_FCNTL_RESERVE_BYTES, (&raw mut bytes).cast())
}

/// Has every page have its sum that is written to an empty file, in whatever order they come. They must have the room.
pub fn sum_all(connection: &Connection) -> bool {
    control(connection, SUM_ALL, ptr::null_mut())
}

fn control(connection: &Connection, operation: c_int, argument: *mut c_void) -> bool {
    // SAFETY: the connection is open, and the argument is what the operation wants: a number, or nothing.
    unsafe {
        ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), operation, argument)
            == ffi::SQLITE_OK
    }
}

impl Below {
    /// # Safety
    ///
    /// The pointer is one that SQLite gave to a function of ours.
    unsafe fn of(file: *mut ffi::sqlite3_file) -> Self {
        // SAFETY: the room behind ours is part of what `szOsFile` asked for.
        Self(unsafe { file.cast::<u8>().add(size_of::<File>()).cast() })
    }

    fn methods(self) -> Option<&'static ffi::sqlite3_io_methods> {
        // SAFETY: a `Below` is of an open file, whose table of functions is null or static.
        unsafe { (*self.0).pMethods.as_ref() }
    }

    fn read(self, into: &mut [u8], at: i64) -> c_int {
        let (Some(read), Ok(count)) =
            (self.methods().and_then(|methods| methods.xRead), c_int::try_from(into.len()))
        else {
            return ffi::SQLITE_IOERR;
        };
        // SAFETY: the buffer has this length.
        unsafe { read(self.0, into.as_mut_ptr().cast(), count, at) }
    }

    fn write(self, bytes: &[u8], at: i64) -> c_int {
        let (Some(write), Ok(count)) =
            (self.methods().and_then(|methods| methods.xWrite), c_int::try_from(bytes.len()))
        else {
            return ffi::SQLITE_IOERR;
        };
        // SAFETY: the buffer has this length.
        unsafe { write(self.0, bytes.as_ptr().cast(), count, at) }
    }
}

unsafe extern "C" fn open(
    layer: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: the layer is ours, so its data is the one below.
    let below_layer = unsafe { (*layer).pAppData.cast::<ffi::sqlite3_vfs>() };
    // SAFETY: SQLite gave the pointer.
    let below = unsafe { Below::of(file) };
    // SAFETY: the layer below is never freed.
    let Some(open_below) = (unsafe { (*below_layer).xOpen }) else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: there is room for its file, and the rest is what SQLite gave to us.
    let opened = unsafe { open_below(below_layer, name, below.0, flags, flags_out) };
    if opened != ffi::SQLITE_OK {
        // Without functions SQLite does not close it.
        // SAFETY: there is room for ours.
        unsafe { (*file).pMethods = ptr::null() };
        return opened;
    }
    // SAFETY: a name is null, or a string that lives while the file is open.
    let path = || unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    let kind = if name.is_null() {
        Kind::Other
    } else if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
        Kind::Store { path: path(), is_summed: Cell::new(None) }
    } else if flags & ffi::SQLITE_OPEN_WAL != 0 {
        Kind::Log { path: path(), frames: Frames::of(&path()) }
    } else {
        Kind::Other
    };
    // SAFETY: there is room for it, aligned for it, and what stands there has nothing to be dropped.
    unsafe {
        file.cast::<File>().write(File { base: ffi::sqlite3_file { pMethods: &raw const METHODS }, kind });
    };
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite gave the pointer.
    let below = unsafe { Below::of(file) };
    let close = below.methods().and_then(|methods| methods.xClose);
    // SAFETY: it is open.
    let closed = close.map_or(ffi::SQLITE_OK, |close| unsafe { close(below.0) });
    // SAFETY: `open` wrote it, and SQLite uses it no more.
    unsafe { ptr::drop_in_place(file.cast::<File>()) };
    closed
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, count: c_int, at: i64) -> c_int {
    // SAFETY: SQLite gave the pointer, and `open` wrote what is there.
    let (own, below) = unsafe { (&*file.cast::<File>(), Below::of(file)) };
    let Ok(length) = usize::try_from(count) else { return ffi::SQLITE_IOERR };
    // SAFETY: the buffer has this length, and is SQLite's own memory, which was written before.
    let bytes = unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), length) };
    let done = below.read(bytes, at);
    match u64::try_from(at) {
        Ok(at) if done == ffi::SQLITE_OK && PAGE_BYTES_MIN <= length => own.kind.check(below, bytes, at),
        _ => done,
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    count: c_int,
    at: i64,
) -> c_int {
    // SAFETY: SQLite gave the pointer, and `open` wrote what is there.
    let (own, below) = unsafe { (&*file.cast::<File>(), Below::of(file)) };
    let (Ok(length), Ok(place)) = (usize::try_from(count), u64::try_from(at)) else {
        return ffi::SQLITE_IOERR;
    };
    // SAFETY: the buffer has this length.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), length) };
    match &own.kind {
        Kind::Store { is_summed, .. } => {
            let Some((number, page)) = page_at(bytes, place) else { return below.write(bytes, at) };
            if number == 1 && page::says_so(page) {
                is_summed.set(Some(true));
            }
            if !known(is_summed, below) {
                return below.write(bytes, at);
            }
            let mut sealed = *page;
            page::seal(number, &mut sealed);
            below.write(&sealed, at)
        }
        Kind::Log { frames, .. } => {
            if let Some(frame) = log::frame_of(place, length) {
                frames.wrote(frame, bytes);
            }
            below.write(bytes, at)
        }
        Kind::Other => below.write(bytes, at),
    }
}

impl Kind {
    /// Looks at what was read.
    fn check(&self, below: Below, bytes: &mut [u8], at: u64) -> c_int {
        let number = at / PAGE_BYTES as u64 + 1;
        match self {
            Self::Store { path, is_summed } => {
                let page = <&mut [u8; PAGE_BYTES]>::try_from(bytes);
                let page = page.ok().filter(|_| at.is_multiple_of(PAGE_BYTES as u64));
                // Another connection may have given it sums.
                if number == 1 && page.as_deref().is_some_and(page::is_summed) {
                    is_summed.set(Some(true));
                }
                if !known(is_summed, below) {
                    return ffi::SQLITE_OK;
                }
                match page {
                    Some(page) if page::is_whole(number, page) => page::clear(page),
                    // Pages of another length are what a broken header asks for.
                    _ => return refuse(path, "page", number),
                }
            }
            Self::Log { path, frames } => {
                let Some(frame) = log::frame_of(at, bytes.len()) else { return ffi::SQLITE_OK };
                let read = |at: u64, into: &mut [u8]| {
                    i64::try_from(at).is_ok_and(|at| below.read(into, at) == ffi::SQLITE_OK)
                };
                // Another process may have written it, or a crash may be between.
                if !frames.is_same(frame, bytes) && !log::is_whole(frame, bytes, read) {
                    return refuse(path, "frame of the log", frame + 1);
                }
            }
            Self::Other => {}
        }
        ffi::SQLITE_OK
    }
}

fn refuse(path: &str, what: &str, number: u64) -> c_int {
    note_damage(path, what, number);
    ffi::SQLITE_IOERR_DATA
}

/// Whether the pages of a file have sums. Of one that is empty that is not known yet.
fn known(is_summed: &Cell<Option<bool>>, below: Below) -> bool {
    is_summed.get().unwrap_or_else(|| {
        let mut first = [0; PAGE_BYTES];
        if below.read(&mut first, 0) != ffi::SQLITE_OK {
            return false;
        }
        is_summed.set(Some(page::is_summed(&first)));
        page::is_summed(&first)
    })
}

/// The page that these bytes are, and its number.
fn page_at(bytes: &[u8], at: u64) -> Option<(u64, &[u8; PAGE_BYTES])> {
    let page = bytes.try_into().ok()?;
    at.is_multiple_of(PAGE_BYTES as u64).then_some((at / PAGE_BYTES as u64 + 1, page))
}

unsafe extern "C" fn file_control(
    file: *mut ffi::sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: SQLite gave the pointer, and `open` wrote what is there.
    let (own, below) = unsafe { (&*file.cast::<File>(), Below::of(file)) };
    if let (SUM_ALL, Kind::Store { is_summed, .. }) = (operation, &own.kind) {
        is_summed.set(Some(true));
        return ffi::SQLITE_OK;
    }
    match below.methods().and_then(|methods| methods.xFileControl) {
        // SAFETY: it is what SQLite gave to us.
        Some(control) => unsafe { control(below.0, operation, argument) },
        None => ffi::SQLITE_NOTFOUND,
    }
}

/// A function that the layer below answers alone.
macro_rules! below {
    ($name:ident, $method:ident $(, $argument:ident: $kind:ty)*) => {
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $kind)*) -> c_int {
            // SAFETY: SQLite gave the pointer.
            let below = unsafe { Below::of(file) };
            match below.methods().and_then(|methods| methods.$method) {
                // SAFETY: the arguments are what SQLite gave to us.
                Some(method) => unsafe { method(below.0 $(, $argument)*) },
                None => ffi::SQLITE_IOERR,
            }
        }
    };
}

below!(truncate, xTruncate, size: i64);
below!(sync, xSync, flags: c_int);
below!(file_size, xFileSize, size: *mut i64);
below!(lock, xLock, level: c_int);
below!(unlock, xUnlock, level: c_int);
below!(check_reserved_lock, xCheckReservedLock, is_reserved: *mut c_int);
below!(sector_size, xSectorSize);
below!(shm_map, xShmMap, part: c_int, bytes: c_int, is_to_grow: c_int, into: *mut *mut c_void);
below!(shm_lock, xShmLock, offset: c_int, count: c_int, flags: c_int);
below!(shm_unmap, xShmUnmap, is_to_go: c_int);

/// All that the disk can do, but for answering with a part of a page, of which no sum could be checked.
unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite gave the pointer.
    let below = unsafe { Below::of(file) };
    let ask = below.methods().and_then(|methods| methods.xDeviceCharacteristics);
    // SAFETY: it is open.
    ask.map_or(0, |ask| unsafe { ask(below.0) }) & !ffi::SQLITE_IOCAP_SUBPAGE_READ
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: SQLite gave the pointer.
    let below = unsafe { Below::of(file) };
    if let Some(barrier) = below.methods().and_then(|methods| methods.xShmBarrier) {
        // SAFETY: it is open.
        unsafe { barrier(below.0) };
    }
}

/// The second version: the third would have pages read past us, by mapping the file into memory.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

#[cfg(test)]
mod tests;
