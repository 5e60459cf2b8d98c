//! Where things are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{Failure, Result};

/// The checkout that the command runs in.
pub(crate) struct Repository {
    /// The folder that holds the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
}

impl Repository {
    /// Cargo says where `xtask` lies; the repository is around it.
    pub(crate) fn find() -> Result<Self> {
        let xtask =
            env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
        let root = Path::new(&xtask).parent();
        let root = root.ok_or_else(|| Failure::new("xtask lies outside of a repository"))?;
        Ok(Self { root: root.to_owned() })
    }

    /// `cargo` with these words, in the root.
    pub(crate) fn cargo(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(words).current_dir(&self.root);
        command
    }

    pub(crate) fn tests(&self) -> PathBuf {
        self.root.join("tests")
    }

    pub(crate) fn console(&self) -> PathBuf {
        self.root.join("console")
    }
}
