//! A schema of its own in a database that others use, too: for stores that are measured side by side.

use std::sync::Arc;

use super::{Address, Postgres};
use crate::engine::{Commit, Driver as _, Kind};
use crate::{Error, Result};

/// How often it is tried to drop one.
const DROP_ATTEMPTS_MAX: usize = 5;

/// A schema, dropped with everything in it at its end.
pub struct OwnSchema {
    /// Of the database.
    place: Arc<Address>,
    name: String,
    /// Of the schema.
    address: String,
}

impl OwnSchema {
    /// Makes a schema in the database at this address. The name consists of small letters, digits and `_`.
    pub fn make(address: &str, name: &str) -> Result<Self> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err(Error::broken("the name of a schema is small letters, digits and _"));
        }
        let place = Arc::new(Address::parse(address)?);
        run(&place, &format!("CREATE SCHEMA {name}"))?;
        let separator = if address.contains('?') { '&' } else { '?' };
        let address = format!("{address}{separator}options=-c%20search_path%3D{name}");
        Ok(Self { place, name: name.to_owned(), address })
    }

    /// The address of a store in it.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for OwnSchema {
    fn drop(&mut self) {
        let drop = || {
            // Whoever used it may have been killed just now, and hold its locks until the engine notices. What cannot
            // be dropped at all stays, named for what it is.
            (0..DROP_ATTEMPTS_MAX)
                .any(|_| run(&self.place, &format!("DROP SCHEMA {} CASCADE", self.name)).is_ok())
        };
        // On a thread of its own: a connection's runtime must not end within another.
        std::thread::scope(|scope| scope.spawn(drop).join().unwrap_or_default());
    }
}

fn run(place: &Arc<Address>, statement: &str) -> Result<()> {
    let mut driver = Postgres::open(place, Kind::Write)?;
    driver.begin(Kind::Write)?;
    driver.define(statement)?;
    match driver.commit()? {
        Commit::Stands => Ok(()),
        Commit::Unknown => Err(Error::Retry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Location, Schema};

    #[test]
    fn a_store_in_a_schema_of_its_own_goes_with_it() {
        let database = std::env::var("CARILLON_TEST_POSTGRES").expect("tests need PostgreSQL");
        let name = format!("own_{}", std::process::id());
        let own = OwnSchema::make(&database, &name).unwrap();
        let location = Location::parse(own.address()).unwrap();
        drop(crate::Store::open(&location, 0, &(Arc::new(|_| {}) as crate::Sink)).unwrap());
        assert_eq!(Schema::of(&location).unwrap().version, Schema::known());
        drop(own);
        assert!(Schema::of(&location).is_err(), "it is dropped with all that it holds");
        assert!(OwnSchema::make(&database, "a; b").is_err());
    }
}
