//! The folder that holds what is not in the store, and the SQLite file: made once, for its owner only, and used
//! by one server at a time.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use carillon_model::Key;
use carillon_store::Location;

use crate::error::{Error, Result};
pub use crate::private_file::sync_parent;
use crate::private_file::{self, PRIVATE, PUBLIC};

/// What Carillon keeps in the folder beside the store. A backup has it, and nothing else that may lie there.
pub const MEMBERS: [Member; 8] = [
    Member { name: "node", is_key: false, mode: PRIVATE },
    Member { name: "audit", is_key: false, mode: PRIVATE },
    Member { name: "root-credentials", is_key: true, mode: PRIVATE },
    Member { name: "master-key", is_key: true, mode: PRIVATE },
    // A CA whose key is elsewhere could sign no leaf, and a new one is made where there is none.
    Member { name: "tls/ca.pem", is_key: true, mode: PUBLIC },
    Member { name: "tls/ca-key.pem", is_key: true, mode: PRIVATE },
    Member { name: "tls/leaf.pem", is_key: true, mode: PUBLIC },
    Member { name: "tls/leaf-key.pem", is_key: true, mode: PRIVATE },
];
/// What a server holds while it uses the folder.
pub const LOCK: &str = "lock";
/// The folder that a restore makes first, and takes away when everything is in its place.
pub const RESTORING: &str = "restoring";
/// In that folder, the mark of a restore that is not finished: it says where the store will be.
pub const INTO: &str = "into";
/// What others than the owner may do.
const OTHERS: u32 = 0o077;
/// What the files of a SQLite store end with.
pub const STORE_SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// A file in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Where it is.
    pub name: &'static str,
    /// Whether it is a key, or goes with one.
    pub is_key: bool,
    /// Who may read it.
    pub mode: u32,
}

/// A folder that this process alone uses.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Two servers on one SQLite file would not tell each other's sessions anything. The lock ends with the
    /// process, however that ends.
    _lock: File,
}

impl DataDir {
    /// Makes the folder, if it is not there, and takes it.
    pub fn open(path: &Path) -> Result<Self> {
        let taken = Self::take(path)?;
        if is_half_restored(path) {
            return Err(Error::failure(format!("a restore into {} was not finished", path.display()))
                .hint("Do it again: carillon restore FILE, with the same --data-dir and --store."));
        }
        warn_if_open(&taken.path);
        Ok(taken)
    }

    /// The same, whatever is in it.
    pub fn take(path: &Path) -> Result<Self> {
        let unusable = |error: &io::Error| {
            Error::failure(format!("the data folder {} cannot be used: {error}", path.display()))
                .hint("Name another one with --data-dir, or let this user write to it.")
        };
        // A file in its place is not found missing, and opening the lock below it says why it cannot be used.
        if !path.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| unusable(&error))?;
            // Its name is to outlive a power cut, as what is in it does. A folder above it that this user may not read
            // cannot be flushed.
            let _ = sync_parent(path);
        }
        let path = std::path::absolute(path).map_err(|error| unusable(&error))?;
        let lock = Self::lock(&path).map_err(|error| unusable(&error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::failure(format!("the data folder {} is in use", path.display()))
                    .hint("Another carillon runs on it. Stop that one, or name another folder."))
            }
            Err(TryLockError::Error(error)) => Err(unusable(&error)),
        }
    }

    /// The folder, for a command that may work beside a server: it is made if it is not there, and not taken.
    pub fn share(path: &Path) -> Result<PathBuf> {
        match Self::open_if_free(path)? {
            Some(data_dir) => Ok(data_dir.path),
            None => std::path::absolute(path).map_err(|error| {
                Error::failure(format!("the data folder {} cannot be used: {error}", path.display()))
            }),
        }
    }

    /// Takes the folder, as [`Self::open`] does; nothing where a server has it.
    pub fn open_if_free(path: &Path) -> Result<Option<Self>> {
        match Self::open(path) {
            Ok(data_dir) => Ok(Some(data_dir)),
            Err(_) if path.join(LOCK).exists() && !is_half_restored(path) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn lock(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).mode(PRIVATE).open(path.join(LOCK))
    }

    /// The key of the node that lives here, `new` where none did. It outlives a crash, so that the next process takes
    /// over at once what the one before had leased.
    pub fn node(&self, new: Key) -> Result<Key> {
        let path = self.path.join("node");
        let failed = |words: String| {
            Error::failure(format!("{} cannot be used: {words}", path.display())).hint(
                "It names this node among those that share a store. Without the file, a new name is made.",
            )
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Key::from_hex(text.trim()).ok_or_else(|| failed("it holds no key".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                private_file::write(&path, &format!("{new}\n"), PRIVATE)
                    .map_err(|error| failed(error.to_string()))?;
                Ok(new)
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Where it is, from the root of the file system.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether what is there may be half of what is to be.
pub fn is_half_restored(path: &Path) -> bool {
    path.join(RESTORING).join(INTO).exists()
}

/// Says so where others than the owner may look into the folder, whose files hold secrets. It may have been made so on
/// purpose, for a group that makes copies: it is left as it is.
fn warn_if_open(path: &Path) {
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if mode & OTHERS != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = %format_args!("{mode:03o}"),
            "others on this machine may look into the data folder: chmod 700 keeps them out"
        );
    }
}

/// Takes away from others what they may do with the files of the SQLite store; those of earlier versions were for all
/// to read.
pub(crate) fn tighten(store: &Location) {
    let Location::Sqlite(store) = store else { return };
    for suffix in STORE_SUFFIXES {
        let mut path = store.as_os_str().to_owned();
        path.push(suffix);
        let path = Path::new(&path);
        let Ok(metadata) = path.metadata() else { continue };
        let mode = metadata.permissions().mode();
        if mode & OTHERS == 0 {
            continue;
        }
        match std::fs::set_permissions(path, Permissions::from_mode(mode & 0o777 & !OTHERS)) {
            Ok(()) => tracing::info!(path = %path.display(), "is for its owner only from here on"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "others may read the store"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_made_for_its_owner_and_taken_once() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/data");
        let first = DataDir::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(DataDir::open(&path).unwrap_err().to_string().contains("in use"));
        drop(first);
        assert!(DataDir::open(&path).is_ok());
    }

    #[test]
    fn a_node_keeps_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = [1, 2].map(|byte| Key([byte; 16]));
        assert_eq!(DataDir::open(folder.path()).unwrap().node(one).unwrap(), one);
        assert_eq!(DataDir::open(folder.path()).unwrap().node(other).unwrap(), one);
        std::fs::write(folder.path().join("node"), "nobody").unwrap();
        let error = DataDir::open(folder.path()).unwrap().node(other).unwrap_err();
        assert!(error.to_string().contains("node cannot be used"), "{error}");
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("occupied");
        std::fs::write(&path, "").unwrap();
        assert!(DataDir::open(&path).unwrap_err().to_string().contains("occupied"));
    }

    #[test]
    fn the_files_of_a_store_are_for_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("carillon.db");
        for suffix in ["", "-wal"] {
            let path = folder.path().join(format!("carillon.db{suffix}"));
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        }
        tighten(&Location::Sqlite(store.clone()));
        for entry in folder.path().read_dir().unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
