//! Reading an archive, of which nothing is believed.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tar::Archive;
use zstd::Decoder;

use carillon_server::data_dir;
use carillon_server::error::{Error, Result};

use super::{Digest, FORMAT, MANIFEST, Manifest, STORE, chunks, mode_of};

/// The most bytes of a manifest, which has a handful of members.
const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;

/// Whether a file begins as a backup does, of whatever version.
pub(crate) fn is_archive(path: &Path) -> bool {
    let begins = || -> Option<bool> {
        let mut archive = Archive::new(Decoder::new(File::open(path).ok()?).ok()?);
        let first = archive.entries().ok()?.next()?.ok()?;
        Some(&*first.path_bytes() == MANIFEST.as_bytes())
    };
    begins().unwrap_or_default()
}

/// Reads all of an archive, saying how many of how many bytes are read, and answers what it holds if each byte of it is
/// as it was written. Each member is put where `place` says, to the disk, if it says so.
pub(crate) fn read(
    path: &Path,
    done: impl FnMut(u64, u64),
    place: impl Fn(&str) -> Option<PathBuf>,
) -> Result<Manifest> {
    let shown = path.display();
    let unreadable = |error: io::Error| Error::failure(format!("{shown} cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let file = Counted { inner: file, count: 0, length, done };
    let read = Decoder::new(file).map_err(Broken::Archive).and_then(|decoder| members(decoder, place));
    read.map_err(|broken| match broken {
        Broken::Archive(error) => Error::failure(format!("{shown} is damaged, or no backup: {error}"))
            .hint("Nothing of it was restored. Take another one."),
        Broken::Newer(words) => {
            Error::failure(format!("{shown} cannot be restored by this carillon: {words}"))
                .hint("Run a carillon that is as new as the one that wrote it.")
        }
        Broken::Place(path, error) => {
            Error::failure(format!("{} cannot be written: {error}", path.display()))
                .hint("Nothing was restored. Make room there, or let this user write, and do it again.")
        }
    })
}

/// What can be wrong.
enum Broken {
    /// With the archive: it is not as it was written.
    Archive(io::Error),
    /// With this binary: it does not know what the archive says.
    Newer(String),
    /// With where a member is to be.
    Place(PathBuf, io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Archive(error)
    }
}

fn damaged(words: impl Into<String>) -> Broken {
    Broken::Archive(io::Error::other(words.into()))
}

fn members(
    decoder: impl Read,
    place: impl Fn(&str) -> Option<PathBuf>,
) -> std::result::Result<Manifest, Broken> {
    let mut archive = Archive::new(decoder);
    let mut entries = archive.entries()?;
    let mut next = || entries.next().transpose();
    let first = next()?.filter(|entry| &*entry.path_bytes() == MANIFEST.as_bytes());
    let manifest = parse(first.ok_or_else(|| damaged("it does not begin with a manifest"))?)?;
    for member in &manifest.members {
        let name = member.name.as_str();
        let entry = next()?.filter(|entry| &*entry.path_bytes() == name.as_bytes());
        let mut entry = entry.ok_or_else(|| damaged(format!("{name} is missing")))?;
        let mut digest = Digest::new();
        match place(name) {
            None => chunks(&mut entry, &mut digest, |_| Ok::<_, Broken>(()))?,
            Some(path) => {
                let at = |error| Broken::Place(path.clone(), error);
                let mode = mode_of(name);
                let mut options = OpenOptions::new();
                let mut file = options.write(true).create_new(true).mode(mode).open(&path).map_err(at)?;
                // What the umask of the process took away.
                file.set_permissions(Permissions::from_mode(mode)).map_err(at)?;
                chunks(&mut entry, &mut digest, |chunk| file.write_all(chunk).map_err(at))?;
                file.sync_all().map_err(at)?;
            }
        }
        if digest.member(name) != *member {
            return Err(damaged(format!("{name} is not as it was written")));
        }
    }
    if next()?.is_some() {
        return Err(damaged("it holds more than its manifest says"));
    }
    // The end of the compression has a checksum, too.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(manifest)
}

/// Reads a manifest. What a newer one says is not asked for where this binary would not understand it.
fn parse(entry: impl Read) -> std::result::Result<Manifest, Broken> {
    let mut text = Vec::new();
    entry.take(MANIFEST_BYTES_MAX).read_to_end(&mut text)?;
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(io::Error::from)?;
    let format = value["carillon_backup"].as_u64().ok_or_else(|| damaged("its manifest is none"))?;
    if u64::from(FORMAT) < format {
        let version = value["version"].as_str().unwrap_or("later");
        return Err(Broken::Newer(format!("it was written by carillon {version}, in a newer format")));
    }
    let manifest: Manifest = serde_json::from_value(value).map_err(io::Error::from)?;
    let is_known = |name: &str| name == STORE || data_dir::MEMBERS.iter().any(|known| known.name == name);
    match manifest.members.iter().find(|member| !is_known(&member.name)) {
        Some(member) => Err(Broken::Newer(format!("it holds {}", member.name))),
        None => Ok(manifest),
    }
}

/// A file that says how much of it was read.
struct Counted<F> {
    inner: File,
    count: u64,
    length: u64,
    done: F,
}

impl<F: FnMut(u64, u64)> Read for Counted<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(into)?;
        self.count += length as u64;
        (self.done)(self.count, self.length);
        Ok(length)
    }
}
