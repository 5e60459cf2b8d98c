//! What was erased, taken out of free room.

use super::PERSONAL;
use crate::engine::postgres::Postgres;
use crate::engine::{Kind, sqlite};
use crate::{Location, Result, Tx, erasure, migration};

/// Takes what was erased out of free room, too, beside a server or without one. On SQLite it is in no file of the store
/// any more then. On PostgreSQL it is invisible, no sample of it is kept, and its room is free to be written over.
pub fn wipe(location: &Location) -> Result<()> {
    let mut opened = location.open(Kind::Write)?;
    // Whoever is erased from here on may be left in what is passed by then.
    let before = opened.hold(|driver| {
        driver.begin(Kind::Read)?;
        let mut tx = Tx::new(driver, None);
        migration::find_readable(&mut tx)?;
        let before = erasure::list_in_free_room(&mut tx)?;
        driver.rollback();
        Ok(before)
    })?;
    match location {
        Location::Sqlite(path) => sqlite::wipe::wipe(path)?,
        Location::Postgres(address) => {
            let tables: Vec<&str> = PERSONAL.iter().map(|table| table.name).collect();
            Postgres::clean(address, &tables)?;
        }
    }
    opened.hold(|driver| {
        driver.begin(Kind::Write)?;
        let mut tx = Tx::new(driver, None);
        before.iter().try_for_each(|name| erasure::forget_in_free_room(&mut tx, name))?;
        driver.commit().map(drop)
    })
}
