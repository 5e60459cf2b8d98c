//! What an operator says about the audit log: `[audit]` of `carillon.toml`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// When a file makes room: a day or so of a busy server.
const FILE_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// How many files are kept, the one that is written included.
const FILES_MAX: u32 = 10;

/// `[audit]`: one line of JSON for every write and every refusal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Audit {
    /// A file, or `stdout`, or `off`, which is the default.
    file: Option<String>,
    /// The bytes at which the file makes room; 104,857,600 by default.
    file_bytes_max: Option<u64>,
    /// The files that are kept, the one that is written included; 10 by default.
    files_max: Option<u32>,
}

/// Where the audit log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuditLog {
    /// Nowhere.
    Off,
    /// On stdout.
    Stdout,
    /// In files.
    File(AuditFile),
}

/// A file, and its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditFile {
    /// Where it is; older ones stand beside it, as `.1`, `.2`, …
    pub(crate) path: PathBuf,
    /// The bytes at which it makes room.
    pub(crate) bytes_max: u64,
    /// How many there are.
    pub(crate) files_max: u32,
}

impl Audit {
    /// What it means.
    pub(crate) fn read(self) -> Result<AuditLog> {
        let (bytes_max, files_max) =
            (self.file_bytes_max.unwrap_or(FILE_BYTES_MAX), self.files_max.unwrap_or(FILES_MAX));
        if bytes_max == 0 || files_max == 0 {
            return Err(Error::usage("audit.file_bytes_max and audit.files_max must be at least 1"));
        }
        Ok(match self.file.as_deref() {
            None | Some("off") => AuditLog::Off,
            Some("stdout") => AuditLog::Stdout,
            Some("") => return Err(Error::usage("audit.file is empty").hint("A path, stdout, or off.")),
            Some(path) => AuditLog::File(AuditFile { path: path.into(), bytes_max, files_max }),
        })
    }
}

impl fmt::Display for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off; [audit] of the configuration turns it on"),
            Self::Stdout => f.write_str("stdout"),
            Self::File(file) => file.path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AuditLog> {
        toml::from_str::<Audit>(text).unwrap().read()
    }

    #[test]
    fn it_is_off_unless_a_place_is_named() {
        assert_eq!(read("").unwrap(), AuditLog::Off);
        assert_eq!(read("file = 'off'").unwrap(), AuditLog::Off);
        assert_eq!(read("file = 'stdout'").unwrap(), AuditLog::Stdout);
        let file = AuditFile { path: "a.log".into(), bytes_max: 5, files_max: FILES_MAX };
        assert_eq!(read("file = 'a.log'\nfile_bytes_max = 5").unwrap(), AuditLog::File(file));
        assert!(read("file = ''").is_err());
        assert!(read("file = 'a.log'\nfiles_max = 0").is_err());
    }
}
