//! What only tests and fuzzing ask of archives.

use std::io::Read;
use std::sync::Arc;

use carillon_store::moving::{self, Begun, Intake};
use carillon_store::{Lane, Store, Tx};

use super::archive::{Entry, Reader};
use super::secrets::Secrets;
use crate::error::{Error, Result};

/// Reads an archive to its end, as an import does before it writes; answers how many rows it has.
pub fn verify(archive: Box<dyn Read>) -> Result<u64> {
    let mut reader = Reader::of("of a test".to_owned(), archive)?;
    let secrets = Secrets::of(reader.header())?;
    loop {
        match reader.next()? {
            Entry::Row(table, row) => secrets.check(table, &row)?,
            Entry::End(end) => return Ok(end.rows),
        }
    }
}

/// Puts all rows of an archive into a store, in one transaction that is undone; answers what the store says of them.
pub async fn put(archive: Box<dyn Read + Send>, store: &Arc<Store>) -> Result<u64> {
    let mut reader = Reader::of("of a test".to_owned(), archive)?;
    let mut all = Vec::new();
    while let Entry::Row(table, row) = reader.next()? {
        all.push((table, row));
    }
    let count = all.len() as u64;
    let id = reader.header().id.clone();
    let put = move |tx: &mut Tx| -> carillon_store::Result<()> {
        let Begun::At(mark) = moving::begin(tx, &id)? else { return Err(undone()) };
        let mut intake = Intake::new(mark);
        for (table, row) in all.iter().cloned() {
            if let Some(batch) = intake.due(Some(table)) {
                intake.put(moving::put(tx, &batch)?);
            }
            intake.take(table, row);
        }
        if let Some(batch) = intake.due(None) {
            intake.put(moving::put(tx, &batch)?);
        }
        Err(undone())
    };
    match store.write(Lane::Job, put).await {
        Err(error) if error != undone() => Err(Error::failure(error.to_string())),
        _ => Ok(count),
    }
}

fn undone() -> carillon_store::Error {
    carillon_store::Error::broken("undone")
}
