//! Writing an archive: beside its place, to the disk, and then there, so that a crash leaves the old one or the new.

use std::fs::{File, OpenOptions, TryLockError, rename};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tar::{Builder, Header};
use zstd::Encoder;

use carillon_server::data_dir;
use carillon_server::error::{Error, Result};

use crate::way::Way;

use super::{Digest, MANIFEST, Manifest, PRIVATE, chunks, is_archive, mode_of};

/// zstd's own default: twice as fast as the next one that is worth its time.
const LEVEL: i32 = zstd::DEFAULT_COMPRESSION_LEVEL;
/// What an archive is called while it is written, and what is to be in it.
const PART: &str = ".part";
const SCRATCH: &str = ".store.part";
/// How much may wait to be put to the disk. One flush of a large file at its end would hold up those of the server.
const FLUSH_BYTES: u64 = 1024 * 1024;

/// An archive that is being written.
pub(crate) struct Writer {
    path: PathBuf,
    /// Locked, so that no two write one archive.
    part: File,
    sources: Vec<PathBuf>,
    manifest: Manifest,
}

impl Writer {
    /// Begins one that will be at `path`.
    pub(crate) fn begin(path: &Path) -> Result<Self> {
        let refuse = |why: &str| {
            Error::failure(format!("{} {why}, so no backup is written there", path.display()))
                .hint("Name a new file, or an older backup, which is replaced.")
        };
        if path.exists() && !is_archive(path) {
            return Err(refuse("exists, and is no backup"));
        }
        let beside = beside(path, PART);
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(PRIVATE).open(&beside);
        let part = opened.map_err(|error| unwritable(&beside, &error))?;
        match part.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(refuse("is being written by another backup")),
            Err(TryLockError::Error(error)) => return Err(unwritable(&beside, &error)),
        }
        let (sources, manifest) = (Vec::new(), Manifest::new());
        Ok(Self { path: path.to_owned(), part, sources, manifest })
    }

    /// A file for what is to be in it, which is nobody else's and is gone in the end.
    pub(crate) fn scratch(&self) -> Result<PathBuf> {
        let scratch = beside(&self.path, SCRATCH);
        let _ = std::fs::remove_file(&scratch);
        let made = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&scratch);
        made.map(|_| scratch.clone()).map_err(|error| unwritable(&scratch, &error))
    }

    /// Adds a file, which is not to change any more.
    pub(crate) fn add(&mut self, name: &str, source: PathBuf) -> Result<()> {
        let unreadable =
            |error: &io::Error| Error::failure(format!("{} cannot be read: {error}", source.display()));
        let mut file = File::open(&source).map_err(|error| unreadable(&error))?;
        let mut digest = Digest::new();
        chunks(&mut file, &mut digest, |_| Ok::<_, io::Error>(())).map_err(|error| unreadable(&error))?;
        self.manifest.members.push(digest.member(name));
        self.sources.push(source);
        Ok(())
    }

    /// What is said of it.
    pub(crate) fn manifest(&mut self) -> &mut Manifest {
        &mut self.manifest
    }

    /// Writes it, saying how many bytes of its members are in it, and puts it into its place; answers its length.
    pub(crate) fn finish(mut self, done: impl FnMut(u64)) -> Result<u64> {
        let beside = beside(&self.path, PART);
        let written = self.write(done).and_then(|()| {
            let bytes = self.part.metadata()?.len();
            rename(&beside, &self.path)?;
            data_dir::sync_parent(&self.path)?;
            Ok(bytes)
        });
        written.map_err(|error| unwritable(&beside, &error))
    }

    fn write(&mut self, mut done: impl FnMut(u64)) -> io::Result<()> {
        self.part.set_len(0)?;
        let file = Flushed { file: &self.part, waiting: 0, way: Way::begin() };
        let mut encoder = Encoder::new(file, LEVEL)?;
        encoder.include_checksum(true)?;
        let mut tar = Builder::new(encoder);
        let manifest = serde_json::to_vec_pretty(&self.manifest)?;
        tar.append_data(&mut header(MANIFEST, manifest.len() as u64), MANIFEST, &*manifest)?;
        let mut before = 0;
        for (member, source) in self.manifest.members.iter().zip(&self.sources) {
            let mut reading = Counted { inner: File::open(source)?, count: before, done: &mut done };
            let mut header = header(&member.name, member.bytes);
            tar.append_data(&mut header, &member.name, (&mut reading).take(member.bytes))?;
            before += member.bytes;
        }
        tar.into_inner()?.finish()?;
        self.part.sync_all()
    }
}

/// What is not finished is not left behind, but by a crash.
impl Drop for Writer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(beside(&self.path, PART));
        let _ = std::fs::remove_file(beside(&self.path, SCRATCH));
    }
}

fn header(name: &str, bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(mode_of(name));
    header
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(suffix);
    beside.into()
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::failure(format!("{} cannot be written: {error}", path.display())).hint(
        "Is its folder there, may this user write to it, and is there room for the store and its archive?",
    )
}

/// A file that is put to the disk as it grows.
struct Flushed<'a> {
    file: &'a File,
    waiting: u64,
    way: Way,
}

impl Write for Flushed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.waiting += length as u64;
        if FLUSH_BYTES <= self.waiting {
            self.file.sync_data()?;
            self.way.give();
            self.waiting = 0;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file that says how much of it was read.
struct Counted<'a, F> {
    inner: File,
    count: u64,
    done: &'a mut F,
}

impl<F: FnMut(u64)> Read for Counted<'_, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(into)?;
        self.count += length as u64;
        (self.done)(self.count);
        Ok(length)
    }
}
