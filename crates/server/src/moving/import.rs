//! `carillon import`: an archive into a store that nobody serves.
//!
//! A file is read whole before anything is written, so that a damaged one changes nothing. Of the standard input that
//! cannot be known; what came of it then keeps its mark, which no server serves, until an archive is imported whole.

use std::path::Path;
use std::sync::Arc;

use carillon_auth::KeyRing;
use carillon_store::moving::{self, Begun, Intake, Mark};
use carillon_store::{Lane, Store};
use rand::rngs::StdRng;

use super::Place;
use super::archive::{End, Entry, Header, Reader};
use super::export::say_left;
use super::secrets::Secrets;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::progress::{Progress, Unit, grouped, tell};
use crate::{process, wire};

/// Imports the archive in this file, or on the standard input.
pub fn run(settings: &Settings, file: &Path) -> Result<()> {
    process::keep_private();
    let place = Place::of(file);
    let rows = match place {
        Place::Standard => None,
        Place::File(_) => Some(verify(settings, place)?),
    };
    let reader = open(settings, place)?;
    let outcome = wire::alone(settings, async |store, keys, random| {
        import((settings, keys, random), store, reader, rows).await
    })?;
    report(&outcome);
    Ok(())
}

/// Opens an archive that may be imported here.
fn open(settings: &Settings, place: Place<'_>) -> Result<Reader> {
    let reader = Reader::open(place)?;
    let Header { region, account, .. } = reader.header();
    let home = &settings.home;
    if (region.as_str(), account.as_str()) == (home.region(), home.account()) {
        return Ok(reader);
    }
    let sentence = format!(
        "the archive is of account {account} in {region}, and this server is account {} in {}: its ARNs would be \
         other ones",
        home.account(),
        home.region()
    );
    Err(Error::failure(sentence)
        .hint(format!("Give --account-id {account} --region {region}, here and to the server.")))
}

/// Reads an archive to its end; answers how many rows it has.
fn verify(settings: &Settings, place: Place<'_>) -> Result<u64> {
    let mut reader = open(settings, place)?;
    let secrets = Secrets::of(reader.header())?;
    loop {
        match reader.next()? {
            Entry::Row(table, row) => secrets.check(table, &row)?,
            Entry::End(End { rows, .. }) => return Ok(rows),
        }
    }
}

/// What came of an import.
struct Outcome {
    rows: u64,
    passed_over: u64,
    mark: Mark,
    end: End,
}

async fn import(
    (settings, keys, random): (&Settings, &KeyRing, &mut StdRng),
    store: &Arc<Store>,
    mut reader: Reader,
    rows: Option<u64>,
) -> Result<Outcome> {
    let unwritable = |error: carillon_store::Error| {
        Error::failure(format!("the import into {} was cut off: {error}", settings.store))
            .hint("Repeated with the same archive, it goes on where it was.")
    };
    let secrets = Secrets::of(reader.header())?;
    let mark = begin(settings, store, &reader.header().id).await?;
    let (mut intake, mut progress) = (Intake::new(mark), Progress::begin("rows", Unit::Each));
    let mut done = 0;
    let end = loop {
        let entry = reader.next()?;
        let next = if let Entry::Row(table, _) = &entry { Some(*table) } else { None };
        if let Some(batch) = intake.due(next) {
            let put = store.write(Lane::Job, move |tx| moving::put(tx, &batch)).await;
            intake.put(put.map_err(unwritable)?);
        }
        match entry {
            Entry::End(end) => break end,
            Entry::Row(table, mut row) => {
                secrets.reseal(keys, random, table, &mut row)?;
                done += 1;
                progress.set(done, rows);
                intake.take(table, row);
            }
        }
    };
    let mark = intake.mark().clone();
    let ended = mark.clone();
    store.write(Lane::Job, move |tx| moving::end(tx, &ended)).await.map_err(unwritable)?;
    Ok(Outcome { rows: done, passed_over: intake.passed_over, mark, end })
}

/// Begins, or goes on, or begins anew in the place of another archive of which a part is there.
async fn begin(settings: &Settings, store: &Arc<Store>, archive: &str) -> Result<Mark> {
    let unusable = |error: carillon_store::Error| {
        Error::failure(format!("the store {} cannot be used: {error}", settings.store))
    };
    loop {
        let id = archive.to_owned();
        match store.write(Lane::Job, move |tx| moving::begin(tx, &id)).await.map_err(unusable)? {
            Begun::At(mark) => {
                if 0 < mark.rows {
                    tell(&format!("going on after {} rows", grouped(mark.rows)));
                }
                return Ok(mark);
            }
            Begun::Beside => {
                let sentence =
                    format!("another archive was being imported into {}, and was cut off", settings.store);
                return Err(Error::failure(sentence).hint("Import that one to its end first."));
            }
            Begun::Instead => {
                tell("the import of another archive was cut off here: what came of it is deleted first");
                while store.write(Lane::Job, moving::empty).await.map_err(unusable)? {}
            }
        }
    }
}

fn report(outcome: &Outcome) {
    let Outcome { rows, passed_over, mark, end } = outcome;
    tell(&format!("imported {} of {} rows", grouped(rows - passed_over), grouped(*rows)));
    for (table, keys) in &mark.there {
        for key in keys {
            tell(&format!(
                "left as it is, with all that belongs to it: {table} {key}, which is there already"
            ));
        }
    }
    for left in &end.left {
        tell(&say_left(left));
    }
}
