//! The folder that holds what is not in the store, and the SQLite file: made once, for its owner only, and used
//! by one server at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use carillon_model::Key;

use crate::error::{Error, Result};
use crate::private_file::{self, PRIVATE};

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
        let unusable = |error: &io::Error| {
            Error::failure(format!("the data folder {} cannot be used: {error}", path.display()))
                .hint("Name another one with --data-dir, or let this user write to it.")
        };
        // A file in its place is not found missing, and opening the lock below it says why it cannot be used.
        if !path.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| unusable(&error))?;
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
        match Self::open(path) {
            Ok(data_dir) => Ok(data_dir.path),
            Err(_) if path.join("lock").exists() => std::path::absolute(path).map_err(|error| {
                Error::failure(format!("the data folder {} cannot be used: {error}", path.display()))
            }),
            Err(error) => Err(error),
        }
    }

    fn lock(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).mode(PRIVATE).open(path.join("lock"))
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

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
}
