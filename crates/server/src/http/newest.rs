//! The end of the audit log, read back for whoever may: the file that is written, and where that is young the one
//! before it.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The most lines that are shown at once.
const LINES_MAX: usize = 500;
/// The most bytes that are read of a file: some two thousand lines.
const BYTES_MAX: u64 = 1024 * 1024;

/// The newest lines of these files, the newest first.
pub(super) fn read(files: &[PathBuf]) -> io::Result<Vec<Value>> {
    let mut lines = Vec::new();
    for file in files {
        if lines.len() < LINES_MAX {
            lines.extend(tail(file)?);
        }
    }
    lines.truncate(LINES_MAX);
    Ok(lines)
}

/// The last lines of a file, backwards; none where there is no file. One that is being written is left out.
fn tail(path: &Path) -> io::Result<Vec<Value>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let from = file.metadata()?.len().saturating_sub(BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    let whole = bytes.rsplit(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    Ok(whole.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stands_first_and_half_a_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["audit.log", "audit.log.1"].map(|name| folder.path().join(name));
        assert!(read(&files).unwrap().is_empty());
        std::fs::write(&files[1], "{\"n\":0}\n{\"n\":1}\n").unwrap();
        std::fs::write(&files[0], "{\"n\":2}\n{\"n\":3}\n{\"n\":").unwrap();
        let numbers: Vec<i64> =
            read(&files).unwrap().iter().map(|line| line["n"].as_i64().unwrap()).collect();
        assert_eq!(numbers, [3, 2, 1, 0]);
    }

    #[test]
    fn no_more_is_read_than_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let line = |n: usize| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "x".repeat(3_000));
        std::fs::write(&path, (0..1_000).map(line).collect::<String>()).unwrap();
        let lines = read(&[path]).unwrap();
        assert!((300..=LINES_MAX).contains(&lines.len()), "{}", lines.len());
        assert_eq!(lines[0]["n"], 999);
    }
}
