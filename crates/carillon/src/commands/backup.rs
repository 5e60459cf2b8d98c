//! `carillon backup`: one archive of a SQLite store and of what the data folder holds, as they are at one moment,
//! beside a running server too. A PostgreSQL database is backed up by its own tools, and it says by which.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use carillon_store::{Location, Schema};
use clap::Args;
use data_encoding::HEXLOWER;
use indicatif::BinaryBytes;

use crate::archive::{STORE, Writer};
use crate::way::Way;
use carillon_server::config::{Settings, StoreAddress, Written};
use carillon_server::data_dir::{self, LOCK, MEMBERS, STORE_SUFFIXES};
use carillon_server::error::{Error, ExitStatus, Result};
use carillon_server::progress::{Progress, Unit};
use carillon_server::{clock, log, master_key};

/// How much this gives way to others on the processor. Not wholly: the log of the store grows until the copy is done.
const NICE: i32 = 10;

/// The options of `carillon backup`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The archive, such as carillon-2026-11-29.tar.zst. An older backup is replaced, any other file is not.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Put the keys in, too: root credentials, master key, and those of the development certificate.
    ///
    /// Whoever has such an archive can read and do everything.
    #[arg(long)]
    with_keys: bool,
    /// Where the store is: the options of `serve`.
    #[command(flatten)]
    written: Written,
}

/// Writes the archive, and says what is in it.
pub(crate) fn run(options: Options) -> Result<ExitStatus> {
    let Options { file, with_keys, written } = options;
    let settings = Settings::read(written)?;
    log::start(&settings)?;
    let Location::Sqlite(store) = &settings.store.location else {
        return Err(elsewhere(&settings.store, &settings.data_dir));
    };
    if !store.exists() {
        let sentence = format!("there is no store {}", settings.store);
        return Err(Error::failure(sentence).hint("Is --data-dir right, or --store?"));
    }
    if data_dir::is_half_restored(&settings.data_dir) {
        let folder = settings.data_dir.display();
        return Err(Error::failure(format!(
            "a restore into {folder} was not finished, so there is no backup of it"
        )));
    }
    // It fails where there is less of a processor to give than that.
    let _ = rustix::process::nice(NICE);
    let mut writer = Writer::begin(&file)?;
    let copy = writer.scratch()?;
    let left_out = fill(&mut writer, &settings, (store, &copy), with_keys)?;
    let (manifest, all) = (writer.manifest().clone(), writer.manifest().bytes());
    let mut progress = Progress::begin("compressing", Unit::Bytes);
    let bytes = writer.finish(|done| progress.set(done, all))?;
    drop(progress);
    let names: Vec<&str> = manifest.members.iter().map(|member| member.name.as_str()).collect();
    let mut stdout = std::io::stdout().lock();
    // Where stdout is closed, the exit code still says it.
    let (size, moment) = (BinaryBytes(bytes), &manifest.taken_at);
    let _ = writeln!(stdout, "{}: {size}, as it was at {moment}: {}", file.display(), names.join(", "));
    if !with_keys {
        let _ = writeln!(stdout, "without keys: a restore needs the master key, which {KEPT_ELSEWHERE}");
    }
    if !left_out.is_empty() {
        let _ = writeln!(stdout, "left out, because Carillon did not put it there: {}", left_out.join(", "));
    }
    Ok(ExitStatus::Success)
}

const KEPT_ELSEWHERE: &str =
    "is to be kept elsewhere (master-key of the data folder, or CARILLON_MASTER_KEY)";

/// Copies the store, and gathers what is to be in the archive; answers what of the folder will not be.
fn fill(
    writer: &mut Writer,
    settings: &Settings,
    (store, copy): (&Path, &Path),
    with_keys: bool,
) -> Result<Vec<String>> {
    let failed = |error| Error::failure(format!("the store {} cannot be copied: {error}", settings.store));
    let taken_at = clock::real().to_string();
    // The copy is needed for a moment only, and nobody flushes it: each flush of a file that grows takes those of the
    // server's log along, which took four times as long as without.
    let (mut progress, mut way) = (Progress::begin("copying", Unit::Bytes), Way::begin());
    let step = |done, all| {
        progress.set(done, all);
        way.give();
        Ok(())
    };
    carillon_store::copy(store, copy, step).map_err(failed)?;
    drop(progress);
    let schema = Schema::of(&Location::Sqlite(copy.to_owned())).map_err(failed)?;
    // What looking at it has left beside it.
    for suffix in &STORE_SUFFIXES[1..] {
        let _ = std::fs::remove_file(format!("{}{suffix}", copy.display()));
    }
    writer.add(STORE, copy.to_owned())?;
    let members = MEMBERS.iter().filter(|member| with_keys || !member.is_key);
    for member in members {
        let path = settings.data_dir.join(member.name);
        if path.exists() {
            writer.add(member.name, path)?;
        }
    }
    let ids =
        master_key::find(&settings.data_dir)?.map(|ring| ring.ids().map(|id| HEXLOWER.encode(&id)).collect());
    let manifest = writer.manifest();
    manifest.taken_at = taken_at;
    (manifest.schema, manifest.schema_needs) = (schema.version, schema.needs);
    settings.home.region().clone_into(&mut manifest.region);
    settings.home.account().clone_into(&mut manifest.account_id);
    manifest.with_keys = with_keys;
    manifest.master_keys = ids.unwrap_or_default();
    Ok(left_out(&settings.data_dir, store))
}

/// What lies in the folder and is neither a part of the store nor a file that Carillon makes.
fn left_out(data_dir: &Path, store: &Path) -> Vec<String> {
    let of_store: Vec<_> =
        STORE_SUFFIXES.iter().map(|suffix| format!("{}{suffix}", store.display())).collect();
    let is_ours = |path: &Path, name: &str| {
        let is_member = MEMBERS.iter().any(|member| member.name.split('/').next() == Some(name));
        is_member || name == LOCK || of_store.iter().any(|of_store| Path::new(of_store) == path)
    };
    let entries = data_dir.read_dir().into_iter().flatten().filter_map(std::result::Result::ok);
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (!is_ours(&entry.path(), &name)).then_some(name)
        })
        .collect();
    names.sort();
    names
}

/// How a PostgreSQL database is backed up.
fn elsewhere(store: &StoreAddress, data_dir: &Path) -> Error {
    let sentence = format!(
        "the store {store} is a PostgreSQL database, which its own tools back up: nothing was written"
    );
    Error::failure(sentence).hint(format!(
        "`pg_dump --format=custom --file=carillon.dump DATABASE` takes a consistent copy while Carillon runs, and \
         `pg_restore` puts it into an empty database; for every moment, take `pg_basebackup` and archive the \
         write-ahead log. Keep beside it what the environment gives, or root-credentials and master-key of {}. \
         `carillon export FILE` writes what every engine can import.",
        data_dir.display()
    ))
}
