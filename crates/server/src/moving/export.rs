//! `carillon export`: one snapshot of the store into an archive, beside whatever serves it.

use std::path::PathBuf;

use carillon_model::{AppInstanceArn, Key};
use carillon_store::moving;
use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use super::Place;
use super::archive::{Header, Left, Writer};
use super::secrets::Secrets;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::progress::{Progress, Unit, grouped, tell};
use crate::{clock, master_key, process};

/// What is to be exported, and where to.
#[derive(Debug)]
pub struct Export {
    /// The file, or `-`.
    pub file: PathBuf,
    /// The ARN of the only app instance; unset, it is everything.
    pub app_instance: Option<String>,
    /// Whether secrets are in it.
    pub with_keys: bool,
}

/// Exports.
pub fn run(settings: &Settings, asked: &Export) -> Result<()> {
    process::keep_private();
    let of = asked.app_instance.as_deref().map(|arn| read_arn(settings, arn)).transpose()?;
    let unread = |error: carillon_store::Error| {
        Error::failure(format!("the store {} cannot be exported: {error}", settings.store))
            .hint("Is --store right, or --data-dir, and may this user read it?")
    };
    let mut export = moving::Export::open(&settings.store.location, of, asked.with_keys).map_err(unread)?;
    if let Some(key) = of
        && !export.has_app_instance(key).map_err(unread)?
    {
        let arn = settings.home.app_instance(key);
        return Err(Error::failure(format!(
            "there is no app instance {} in {}",
            arn.as_str(),
            settings.store
        )));
    }
    let time = carillon_model::Timestamp::to_string(&clock::real());
    let mut header = Header::new(new_id()?, export.schema(), time, &settings.home);
    header.app_instance.clone_from(&asked.app_instance);
    header.with_keys = asked.with_keys;
    header.master_key = find_keys(settings, asked, of)?.map(|keys| keys.to_string());
    let secrets = Secrets::of(&header)?;
    let left = export.left().map_err(unread)?;
    let mut writer = Writer::begin(Place::of(&asked.file), &header)?;
    let (mut progress, mut done) = (Progress::begin("rows", Unit::Each), 0);
    while let Some((table, rows)) = export.next_rows().map_err(unread)? {
        done += rows.len() as u64;
        progress.note(format!("of {}", table.name));
        progress.set(done, None);
        for row in rows {
            secrets.check(table, &row)?;
            writer.row(table, row)?;
        }
    }
    let left: Vec<Left> = left
        .into_iter()
        .map(|(table, rows, why)| Left { table: table.to_owned(), rows, why: why.to_owned() })
        .collect();
    let lines = left.iter().map(say_left).collect::<Vec<_>>();
    writer.end(left)?;
    drop(progress);
    tell(&format!("exported {} rows to {}", grouped(done), asked.file.display()));
    for line in lines {
        tell(&line);
    }
    Ok(())
}

/// How something is told that stayed behind.
pub(super) fn say_left(left: &Left) -> String {
    let rows = grouped(left.rows.unsigned_abs());
    format!("not in it: {rows} of {}, because {}", left.table, left.why)
}

fn read_arn(settings: &Settings, arn: &str) -> Result<Key> {
    let parsed = AppInstanceArn::try_from(arn.to_owned()).ok().filter(|arn| settings.home.owns(arn.as_str()));
    parsed.and_then(|arn| arn.key()).ok_or_else(|| {
        let example = settings.home.app_instance(Key([0; 16]));
        Error::usage(format!("{arn} is not the ARN of an app instance here"))
            .hint(format!("Here they look like {}.", example.as_str()))
    })
}

/// The master keys, where secrets are wanted that they open.
fn find_keys(settings: &Settings, asked: &Export, of: Option<Key>) -> Result<Option<Zeroizing<String>>> {
    if !asked.with_keys || of.is_some() {
        return Ok(None);
    }
    let found = master_key::find_words(&settings.data_dir)?;
    found.map(Some).ok_or_else(|| {
        let path = master_key::path(&settings.data_dir);
        Error::failure(format!("there is no master key at {}, so no secret can be opened", path.display()))
            .hint("Name the server's --data-dir, or give its CARILLON_MASTER_KEY.")
    })
}

fn new_id() -> Result<String> {
    let mut bytes = [0; 16];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| Error::failure(format!("the system has no randomness: {error}")))?;
    Ok(Key::random(bytes).uuid())
}
