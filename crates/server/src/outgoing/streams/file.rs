//! The sink that is a file: one record a line.
//!
//! It is opened for each call, so that whoever turns logs over may move it away.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use carillon_model::channel_flow::{Failure, Reason};

/// A file that records are appended to.
#[derive(Debug, Clone)]
pub(crate) struct File {
    path: PathBuf,
    /// One call after the other.
    turn: Arc<Mutex<()>>,
}

impl File {
    /// The file, which can be written; it is made where it is not there.
    pub(crate) fn new(path: PathBuf) -> io::Result<Self> {
        OpenOptions::new().append(true).create(true).open(&path)?;
        Ok(Self { path, turn: Arc::default() })
    }

    /// Appends lines; they are on disk when this returns, or none of them is there.
    pub(super) async fn append(&self, lines: String) -> Result<(), Failure> {
        let file = self.clone();
        let append = move || {
            let _turn = file.turn.lock().unwrap_or_else(PoisonError::into_inner);
            append(&file.path, lines.as_bytes()).inspect_err(|error| {
                tracing::warn!(path = %file.path.display(), %error, "records cannot be written");
            })
        };
        let appended = tokio::task::spawn_blocking(append).await;
        match appended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Failure { reason: Reason::NotReachable, permanent: false }),
        }
    }
}

fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let before = file.seek(SeekFrom::End(0))?;
    // A line that a crash cut off ends here; its record follows once more.
    if 0 < before {
        let mut last = [0];
        file.seek(SeekFrom::Start(before - 1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    let written = file.write_all(lines).and_then(|()| file.sync_data());
    written.inspect_err(|_| {
        let _ = file.set_len(before); // Else the next call ends the line.
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_follow_each_other_and_one_that_was_cut_off_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let file = File::new(path.clone()).unwrap();
        file.append("{\"a\":1}\n{\"a\":2}\n".to_owned()).await.unwrap();
        std::fs::write(&path, "{\"a\":1}\n{\"a\":2").unwrap();
        file.append("{\"a\":2}\n".to_owned()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"a\":2\n{\"a\":2}\n");
        assert!(File::new(folder.path().to_owned()).is_err());
    }
}
