//! The PostgreSQL that some peers share: it runs all the time, and what it uses during a peer's turn is that peer's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// A running server.
pub(crate) struct Postgres {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its superuser, who needs no password.
    pub(crate) user: String,
    /// Its first process.
    pub(crate) process: u32,
    /// As it says itself.
    pub(crate) version: String,
    psql: PathBuf,
}

impl Postgres {
    /// Asks the server at this URL who it is.
    pub(crate) fn find(url: &str, psql: &Path) -> Result<Self> {
        let (user, address) =
            parse(url).ok_or_else(|| format!("{url} is not postgres://USER@ADDRESS:PORT/…"))?;
        let mut postgres = Self { address, user, process: 0, version: String::new(), psql: psql.to_owned() };
        let folder = postgres.ask("postgres", "SHOW data_directory")?;
        let pid_file = Path::new(&folder).join("postmaster.pid");
        let text =
            std::fs::read_to_string(&pid_file).map_err(|error| format!("{}: {error}", pid_file.display()))?;
        postgres.process = text.lines().next().unwrap_or_default().trim().parse()?;
        postgres.version = postgres.ask("postgres", "SHOW server_version")?;
        Ok(postgres)
    }

    /// Makes an empty database, which may not be there yet, and leaves nothing to be written of what was before.
    pub(crate) fn make(&self, name: &str) -> Result<()> {
        self.ask("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
        self.ask("postgres", &format!("CREATE DATABASE {name}"))?;
        self.ask("postgres", "CHECKPOINT").map(drop)
    }

    /// The URL of a database.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("postgres://{}@{}/{name}", self.user, self.address)
    }

    /// Runs the statements of a file.
    pub(crate) fn run_file(&self, name: &str, file: &Path) -> Result<()> {
        self.psql(name, &["--file", &file.display().to_string()]).map(drop)
    }

    fn ask(&self, name: &str, statement: &str) -> Result<String> {
        self.psql(name, &["--command", statement])
    }

    fn psql(&self, name: &str, words: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.psql);
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
        let output = command.args(words).arg(self.url(name)).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(format!("psql: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
    }
}

fn parse(url: &str) -> Option<(String, SocketAddr)> {
    let (user, rest) = url.strip_prefix("postgres://")?.split_once('@')?;
    Some((user.to_owned(), rest.split('/').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_who_and_where() {
        let (user, address) = parse("postgres://carillon@127.0.0.1:5432/postgres").unwrap();
        assert_eq!((user.as_str(), address.port()), ("carillon", 5432));
        assert!(parse("postgres://127.0.0.1:5432/postgres").is_none());
    }
}
