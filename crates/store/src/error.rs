//! What can go wrong in the store.

use std::fmt;

/// A result of the store.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the store. A uniqueness conflict is not one: `insert` returns `false`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The queue of the lane is full, or nothing came of it in time: come back later.
    Busy,
    /// The engine asks to run the transaction again; handled inside the store, seen outside only when it
    /// asked too often.
    Retry,
    /// The engine cannot be reached, or is silent: come back later.
    Unreachable(String),
    /// The schema is newer than this binary.
    Newer(String),
    /// The engine failed, or the data is not what it should be.
    Broken(String),
}

impl Error {
    /// A failure, in these words.
    pub fn broken(words: impl Into<String>) -> Self {
        Self::Broken(words.into())
    }

    /// The engine cannot be reached, in these words.
    pub(crate) fn unreachable(words: impl Into<String>) -> Self {
        Self::Unreachable(words.into())
    }

    /// The same failure, with what was being done.
    #[must_use]
    pub(crate) fn context(self, what: impl fmt::Display) -> Self {
        match self {
            Self::Broken(words) => Self::Broken(format!("{words} ({what})")),
            other => other,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("the store has too much to do"),
            Self::Retry => f.write_str("the transaction met too many others"),
            Self::Unreachable(words) | Self::Newer(words) | Self::Broken(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Error {}
