//! What an operator says about the audit log: `[audit]` of `carillon.toml`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// When a file makes room: a day or so of a busy server.
const FILE_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// How many files are kept, the one that is written included.
const FILES_MAX: u32 = 10;
/// The lines a second of what nobody signed: enough to see who tries what.
const UNSIGNED_LINES_PER_SECOND: u32 = 10;
/// The files of those, the one that is written included.
const UNSIGNED_FILES_MAX: u32 = 2;

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
    /// The lines a second of requests that nobody signed, which have a file of their own; 10 by default.
    unsigned_lines_per_second: Option<u32>,
}

/// Where the audit log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuditLog {
    /// Nowhere.
    Off,
    /// On stdout.
    Stdout {
        /// The lines a second of requests that nobody signed.
        unsigned_lines_per_second: u32,
    },
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
    /// The lines a second of requests that nobody signed.
    pub(crate) unsigned_lines_per_second: u32,
}

impl AuditFile {
    /// As nothing else is said.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self {
            path,
            bytes_max: FILE_BYTES_MAX,
            files_max: FILES_MAX,
            unsigned_lines_per_second: UNSIGNED_LINES_PER_SECOND,
        }
    }

    /// The file that made room so many times ago.
    pub(crate) fn older(&self, number: u32) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }

    /// The file of what nobody signed: it makes room by itself, so that it pushes nothing else out.
    pub(crate) fn of_unsigned(&self) -> Self {
        let mut path = self.path.clone().into_os_string();
        path.push(".unsigned");
        Self { path: path.into(), files_max: UNSIGNED_FILES_MAX, ..self.clone() }
    }
}

impl Audit {
    /// What it means.
    pub(crate) fn read(self) -> Result<AuditLog> {
        let (bytes_max, files_max) =
            (self.file_bytes_max.unwrap_or(FILE_BYTES_MAX), self.files_max.unwrap_or(FILES_MAX));
        if bytes_max == 0 || files_max == 0 {
            return Err(Error::usage("audit.file_bytes_max and audit.files_max must be at least 1"));
        }
        let unsigned_lines_per_second = self.unsigned_lines_per_second.unwrap_or(UNSIGNED_LINES_PER_SECOND);
        Ok(match self.file.as_deref() {
            None | Some("off") => AuditLog::Off,
            Some("stdout") => AuditLog::Stdout { unsigned_lines_per_second },
            Some("") => return Err(Error::usage("audit.file is empty").hint("A path, stdout, or off.")),
            Some(path) => AuditLog::File(AuditFile {
                path: path.into(),
                bytes_max,
                files_max,
                unsigned_lines_per_second,
            }),
        })
    }
}

impl AuditLog {
    /// Where its newest lines are: in the file that is written, and in the one before it.
    pub(crate) fn newest(&self) -> Vec<PathBuf> {
        match self {
            Self::File(file) => vec![file.path.clone(), file.older(1)],
            Self::Off | Self::Stdout { .. } => Vec::new(),
        }
    }
}

impl fmt::Display for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off; [audit] of the configuration turns it on"),
            Self::Stdout { .. } => f.write_str("stdout"),
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
        assert_eq!(
            read("file = 'stdout'").unwrap(),
            AuditLog::Stdout { unsigned_lines_per_second: UNSIGNED_LINES_PER_SECOND }
        );
        let file = AuditFile { bytes_max: 5, ..AuditFile::at("a.log".into()) };
        assert_eq!(read("file = 'a.log'\nfile_bytes_max = 5").unwrap(), AuditLog::File(file));
        assert!(read("file = ''").is_err());
        assert!(read("file = 'a.log'\nfiles_max = 0").is_err());
    }
}
