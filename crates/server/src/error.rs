//! How a command ends, and what it says to a person when it ends badly.
//!
//! An error is one sentence and, where there is something to do about it, a hint. It knows no HTTP: what a
//! client reads is the service's own error.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

/// A result of the server.
pub type Result<T> = std::result::Result<T, Error>;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It did what was asked.
    Success,
    /// It could not.
    Failure,
    /// What was asked cannot be understood.
    Usage,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Success => Self::SUCCESS,
            ExitStatus::Failure => Self::from(1),
            ExitStatus::Usage => Self::from(2),
        }
    }
}

/// Why a command cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub struct Error {
    /// How the command ends.
    pub status: ExitStatus,
    sentence: String,
    hint: Option<String>,
}

impl Error {
    /// Something outside is not as it must be.
    pub fn failure(sentence: impl Into<String>) -> Self {
        Self { status: ExitStatus::Failure, sentence: sentence.into(), hint: None }
    }

    /// Something was asked that cannot be understood.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self { status: ExitStatus::Usage, sentence: sentence.into(), hint: None }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says so on stderr.
    pub fn report(&self) {
        let mut stderr = std::io::stderr().lock();
        // Where stderr is closed there is nobody to tell.
        let _ = writeln!(stderr, "error: {}", self.sentence);
        drop(stderr);
        self.report_hint();
    }

    /// Says on stderr only what to do about it, where stdout has said the rest.
    pub fn report_hint(&self) {
        if let Some(hint) = &self.hint {
            let _ = writeln!(std::io::stderr(), "hint: {hint}");
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Error {}
