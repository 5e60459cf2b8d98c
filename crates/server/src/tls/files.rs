//! A certificate in files, which whoever renews it replaces: it is read again without a restart.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::certificate::{Pair, Shown};

/// What tells one content of a file from another, without reading it.
type Mark = Option<(SystemTime, u64, u64)>;

/// Looks whether the two files have changed.
pub(crate) struct Files {
    cert: PathBuf,
    key: PathBuf,
    shown: Arc<Shown>,
    seen: Mutex<Seen>,
}

struct Seen {
    marks: [Mark; 2],
    /// The pair was no good when it was first seen so: it may be half of a new one.
    is_doubtful: bool,
}

impl Files {
    /// The files, as they were read just now.
    pub(super) fn new(cert: &Path, key: &Path, shown: Arc<Shown>) -> Self {
        let seen = Seen { marks: [mark(cert), mark(key)], is_doubtful: false };
        Self { cert: cert.to_owned(), key: key.to_owned(), shown, seen: Mutex::new(seen) }
    }

    /// Shows what stands in the files, if that is new and good. What is no good and stays so is said once, and what was
    /// shown before is shown further.
    pub(crate) fn look(&self) {
        let marks = [mark(&self.cert), mark(&self.key)];
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_settled = marks == seen.marks;
        if is_settled && !seen.is_doubtful {
            return;
        }
        let path = self.cert.display();
        match Pair::read(&self.cert, &self.key) {
            Ok(pair) => {
                tracing::info!(%path, not_after = %pair.validity.not_after, "the certificate was read again");
                self.shown.replace(pair);
                seen.is_doubtful = false;
            }
            Err(reason) if is_settled => {
                tracing::error!(%path, reason, "the new certificate cannot be used; the one before is kept");
                seen.is_doubtful = false;
            }
            // Two files are not replaced at once.
            Err(_) => seen.is_doubtful = true,
        }
        seen.marks = marks;
    }
}

fn mark(path: &Path) -> Mark {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}
