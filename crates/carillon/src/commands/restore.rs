//! `carillon restore`: a backup becomes the data folder of a server, which is to be empty.
//!
//! The archive is read whole before anything is written. What it holds is then put beside its place, to the disk, and
//! moved there at the end. A file stands for a restore that is not finished: no server starts beside it, and a restore
//! that is done again takes away what the one before had put there.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use carillon_store::{Location, Schema};
use clap::Args;
use data_encoding::HEXLOWER;

use crate::archive::{self, Manifest, STORE};
use carillon_server::config::{Settings, Written};
use carillon_server::data_dir::{
    DataDir, INTO, LOCK, MEMBERS, RESTORING, STORE_SUFFIXES, is_half_restored, sync_parent,
};
use carillon_server::error::{Error, ExitStatus, Result};
use carillon_server::progress::{Progress, Unit};
use carillon_server::{log, master_key};

/// How much more room is asked for than the archive holds: what the file system needs for itself.
const ROOM_BYTES: u64 = 1024 * 1024;
/// The most names of what stands in the way.
const NAMES_MAX: usize = 5;

/// The options of `carillon restore`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The archive that `carillon backup` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the store is to be: the options of `serve`.
    #[command(flatten)]
    written: Written,
}

/// Where everything is to be.
struct Places {
    /// The data folder.
    folder: PathBuf,
    /// The store.
    store: PathBuf,
    /// What is not finished.
    restoring: PathBuf,
}

/// Restores, and says what is there and what is still needed.
pub(crate) fn run(options: Options) -> Result<ExitStatus> {
    let Options { file, written } = options;
    let settings = Settings::read(written)?;
    log::start(&settings)?;
    let Location::Sqlite(store) = &settings.store.location else {
        let sentence = format!("a backup holds a SQLite store, and the store {} is none", settings.store);
        return Err(Error::failure(sentence).hint(
            "`pg_restore` puts a dump into a database, `carillon import` what `carillon export` wrote.",
        ));
    };
    let mut progress = Progress::begin("checking", Unit::Bytes);
    let manifest = archive::read(&file, |done, all| progress.set(done, all), |_| None)?;
    drop(progress);
    check_schema(&file, &manifest)?;
    let _taken = DataDir::take(&settings.data_dir)?;
    let places = Places::of(&settings.data_dir, store)?;
    places.make_room()?;
    check_keys(&file, &manifest, &settings.data_dir)?;
    let restored = places.check_space(&manifest).and_then(|()| places.restore(&file));
    if let Err(error) = restored {
        // It is done again, whether or not this can be undone.
        let _ = places.make_room();
        return Err(error);
    }
    let mut stdout = io::stdout().lock();
    // Where stdout is closed, the exit code still says it.
    let (folder, moment) = (settings.data_dir.display(), &manifest.taken_at);
    let _ = writeln!(stdout, "{folder} is as it was at {moment}, written by carillon {}", manifest.version);
    for words in needed(&manifest, &settings)? {
        let _ = writeln!(stdout, "{words}");
    }
    Ok(ExitStatus::Success)
}

fn check_schema(file: &Path, manifest: &Manifest) -> Result<()> {
    let schema = Schema { version: manifest.schema, needs: manifest.schema_needs };
    if schema.is_served() {
        return Ok(());
    }
    let (version, needs, known) = (&manifest.version, schema.needs, Schema::known());
    let sentence = format!(
        "{} was written by carillon {version}, whose schema is newer: it needs version {needs}, and this binary \
         knows {known}",
        file.display()
    );
    Err(Error::failure(sentence).hint("Nothing was restored. Run a carillon that is as new."))
}

/// Refuses keys that open nothing of what is sealed in the store.
fn check_keys(file: &Path, manifest: &Manifest, data_dir: &Path) -> Result<()> {
    let is_kept = |name| manifest.members.iter().any(|member| member.name == name);
    let Some(given) = master_key::find(data_dir)? else { return Ok(()) };
    let ids: Vec<String> = given.ids().map(|id| HEXLOWER.encode(&id)).collect();
    if manifest.master_keys.is_empty()
        || is_kept("master-key")
        || ids.iter().any(|id| manifest.master_keys.contains(id))
    {
        return Ok(());
    }
    let sentence =
        format!("what is sealed in {} has another master key than CARILLON_MASTER_KEY gives", file.display());
    Err(Error::failure(sentence).hint("Nothing was restored. Give the key of the server that was backed up."))
}

/// What a server needs before it can be started on what was restored.
fn needed(manifest: &Manifest, settings: &Settings) -> Result<Vec<String>> {
    let mut words = Vec::new();
    if master_key::find(&settings.data_dir)?.is_none() && !manifest.master_keys.is_empty() {
        words.push(format!(
            "it has no keys: put the master key of then into {}, or give it as CARILLON_MASTER_KEY. Root credentials \
             are made anew",
            master_key::path(&settings.data_dir).display()
        ));
    }
    let home = (settings.home.region(), settings.home.account());
    if home != (manifest.region.as_str(), manifest.account_id.as_str()) {
        let (region, account) = (&manifest.region, &manifest.account_id);
        words.push(format!("serve it with --region {region} --account-id {account}, as before"));
    }
    Ok(words)
}

impl Places {
    fn of(data_dir: &Path, store: &Path) -> Result<Self> {
        let store = std::path::absolute(store).map_err(|error| at(store, &error))?;
        Ok(Self { folder: data_dir.to_owned(), store, restoring: data_dir.join(RESTORING) })
    }

    /// Where the store waits for its place, in the same file system.
    fn waiting_store(&self) -> PathBuf {
        with_suffix(&self.store, ".restoring")
    }

    /// Whether what is at the place of the store was put there by a restore that was not finished.
    fn is_our_store(&self) -> bool {
        fs::read(self.restoring.join(INTO))
            .is_ok_and(|into| into == self.store.as_os_str().as_encoded_bytes())
    }

    /// Takes away what a restore that was not finished has put here; refuses everything else.
    fn make_room(&self) -> Result<()> {
        let is_half = is_half_restored(&self.folder);
        let is_ours = |name: &str| {
            let of_member = MEMBERS.iter().any(|member| member.name.split('/').next() == Some(name));
            name == LOCK || name == RESTORING || is_half && of_member
        };
        let of_store: Vec<PathBuf> =
            STORE_SUFFIXES.iter().map(|suffix| with_suffix(&self.store, suffix)).collect();
        let mut in_the_way = Vec::new();
        for entry in self.folder.read_dir().map_err(|error| at(&self.folder, &error))? {
            let entry = entry.map_err(|error| at(&self.folder, &error))?;
            let path = std::path::absolute(entry.path()).map_err(|error| at(&self.folder, &error))?;
            let is_of_store = of_store.contains(&path) || path == self.waiting_store();
            if !is_of_store && !is_ours(&entry.file_name().to_string_lossy()) {
                in_the_way.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        if !self.is_our_store() {
            let there = of_store.iter().filter(|path| path.exists());
            in_the_way.extend(there.map(|path| path.display().to_string()));
        }
        if !in_the_way.is_empty() {
            in_the_way.sort();
            return Err(refused(&self.folder, &in_the_way));
        }
        // Without its mark it is what a restore began with, or has left when it was done.
        if self.restoring.exists() {
            self.clear(&of_store).map_err(|error| at(&self.folder, &error))?;
        }
        Ok(())
    }

    /// The mark of a restore goes last.
    fn clear(&self, of_store: &[PathBuf]) -> io::Result<()> {
        let members = MEMBERS.iter().map(|member| self.folder.join(member.name));
        for path in of_store.iter().cloned().chain([self.waiting_store()]).chain(members) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        sync_parent(&self.store).and_then(|()| sync_parent(&self.restoring))?;
        fs::remove_dir_all(&self.restoring)
    }

    fn check_space(&self, manifest: &Manifest) -> Result<()> {
        let folder = self.store.parent().unwrap_or(&self.folder);
        let room = rustix::fs::statvfs(folder).map_err(|error| at(folder, &error.into()))?;
        let (free, needed) = (room.f_bavail.saturating_mul(room.f_frsize), manifest.bytes() + ROOM_BYTES);
        if needed <= free {
            return Ok(());
        }
        let (needed, free) = (indicatif::BinaryBytes(needed), indicatif::BinaryBytes(free));
        let sentence = format!("{} has room for {free}, and the backup needs {needed}", folder.display());
        Err(Error::failure(sentence).hint("Nothing was restored. Make room, or name another --data-dir."))
    }

    /// Puts everything beside its place, and then there.
    fn restore(&self, file: &Path) -> Result<()> {
        let written = |error| at(&self.restoring, &error);
        DirBuilder::new().mode(0o700).create(&self.restoring).map_err(written)?;
        let into = self.restoring.join(INTO);
        let marked = fs::write(&into, self.store.as_os_str().as_encoded_bytes());
        marked.and_then(|()| File::open(&into)?.sync_all()).map_err(written)?;
        DirBuilder::new().mode(0o700).create(self.restoring.join("tls")).map_err(written)?;
        sync_parent(&into).and_then(|()| sync_parent(&self.restoring)).map_err(written)?;
        let mut progress = Progress::begin("restoring", Unit::Bytes);
        let waiting =
            |name: &str| if name == STORE { self.waiting_store() } else { self.restoring.join(name) };
        let place = |name: &str| Some(waiting(name));
        let manifest = archive::read(file, |done, all| progress.set(done, all), place)?;
        give_sums(&self.waiting_store());
        for member in &manifest.members {
            let name = member.name.as_str();
            let path = if name == STORE { self.store.clone() } else { self.folder.join(name) };
            let moved = make_parent(&path).and_then(|()| fs::rename(waiting(name), &path));
            moved.and_then(|()| sync_parent(&path)).map_err(|error| at(&path, &error))?;
        }
        // From here on it is finished, whatever happens to the folder.
        fs::remove_file(&into).and_then(|()| sync_parent(&into)).map_err(written)?;
        fs::remove_dir_all(&self.restoring).and_then(|()| sync_parent(&self.restoring)).map_err(written)
    }
}

/// Has the pages of a store of an earlier version have sums. It is served without them, too.
fn give_sums(store: &Path) {
    match carillon_store::give_sums(store) {
        Ok(true) => tracing::info!("the pages of the store have sums from here on"),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "the pages of the store have no sums"),
    }
    for suffix in &STORE_SUFFIXES[1..] {
        let _ = fs::remove_file(with_suffix(store, suffix));
    }
}

/// The folder of a member, whose own name is on the disk, too.
fn make_parent(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.exists()) else { return Ok(()) };
    DirBuilder::new().mode(0o700).create(folder)?;
    sync_parent(folder)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn refused(folder: &Path, in_the_way: &[String]) -> Error {
    let shown = in_the_way.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = in_the_way.len().saturating_sub(NAMES_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let sentence = format!("{} is not empty: {shown}{more} stand there", folder.display());
    Error::failure(sentence)
        .hint("A restore is into an empty data folder. Name another with --data-dir, or move these.")
}

fn at(path: &Path, error: &io::Error) -> Error {
    Error::failure(format!("{} cannot be restored: {error}", path.display()))
        .hint("Make room there, or let this user write, and do it again.")
}
