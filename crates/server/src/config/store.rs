//! `store`: where the data lives, as a flag, a variable and a key; or `[store]`, with how many connections there are.

use std::fmt;

use carillon_store::{Lanes, Location};
use clap::Args;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};

/// More connections than this of one node are of no use to PostgreSQL.
const LANES_MAX: u32 = 64;

/// Where the data lives, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize)]
pub(crate) struct StoreOptions {
    /// Where the data lives: sqlite:<path> or postgres://… [default: sqlite:<data-dir>/carillon.db].
    #[arg(long = "store", env = "CARILLON_STORE", value_name = "STORE", hide_env_values = true)]
    pub(crate) address: Option<String>,
    /// Connections that write, on PostgreSQL; there are two more for jobs [default: 4].
    #[arg(skip)]
    write_lanes: Option<u32>,
    /// Connections that read [default: 4].
    #[arg(skip)]
    read_lanes: Option<u32>,
}

/// The same as a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    address: Option<String>,
    write_lanes: Option<u32>,
    read_lanes: Option<u32>,
}

impl<'de> Deserialize<'de> for StoreOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(AddressOrTable)
    }
}

struct AddressOrTable;

impl<'de> Visitor<'de> for AddressOrTable {
    type Value = StoreOptions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address, or a table of settings")
    }

    fn visit_str<E>(self, address: &str) -> std::result::Result<StoreOptions, E> {
        Ok(StoreOptions { address: Some(address.to_owned()), ..StoreOptions::default() })
    }

    fn visit_map<M: MapAccess<'de>>(self, table: M) -> std::result::Result<StoreOptions, M::Error> {
        let Table { address, write_lanes, read_lanes } =
            Table::deserialize(MapAccessDeserializer::new(table))?;
        Ok(StoreOptions { address, write_lanes, read_lanes })
    }
}

impl StoreOptions {
    /// What is written here, and for the rest what is written there.
    pub(crate) fn or(self, there: Self) -> Self {
        Self {
            address: self.address.or(there.address),
            write_lanes: self.write_lanes.or(there.write_lanes),
            read_lanes: self.read_lanes.or(there.read_lanes),
        }
    }

    /// What it means; without an address, the data is at this one.
    pub(crate) fn read(self, default: &str) -> Result<StoreAddress> {
        let address = StoreAddress::parse(self.address.as_deref().unwrap_or(default))?;
        if matches!(address.location, Location::Sqlite(_)) && self.write_lanes.is_some_and(|lanes| lanes != 1)
        {
            return Err(Error::usage("store.write_lanes is set, but SQLite has one that writes"));
        }
        let default = Lanes::default();
        let write = lanes("write_lanes", self.write_lanes, default.write)?;
        let read = lanes("read_lanes", self.read_lanes, default.read)?;
        Ok(StoreAddress { lanes: Lanes { write, read }, ..address })
    }
}

fn lanes(name: &str, written: Option<u32>, default: usize) -> Result<usize> {
    match written {
        None => Ok(default),
        Some(count @ 1..=LANES_MAX) => Ok(usize::try_from(count).unwrap_or(default)),
        Some(count) => {
            Err(Error::usage(format!("store.{name} is {count}, which is not between 1 and {LANES_MAX}")))
        }
    }
}

/// Where the data lives, and how to say so without a password.
#[derive(Debug, Clone)]
pub struct StoreAddress {
    /// Where.
    pub location: Location,
    /// How many connections there are.
    pub lanes: Lanes,
    /// For people.
    pub shown: String,
}

impl StoreAddress {
    /// Reads `sqlite:<path>` or `postgres://…`.
    pub fn parse(text: &str) -> Result<Self> {
        let shown = without_secrets(text);
        match Location::parse(text) {
            Ok(location) => Ok(Self { location, lanes: Lanes::default(), shown }),
            Err(error) => Err(Error::usage(format!("store is {shown}: {error}"))),
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// An address without user, password and parameters, of which any may be secret.
pub(crate) fn without_secrets(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    let place = rest.rsplit_once('@').map_or(rest, |(_, after)| after);
    format!("{scheme}://{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<StoreAddress> {
        #[derive(Deserialize)]
        struct File {
            store: StoreOptions,
        }
        let file: File = toml::from_str(toml).unwrap();
        file.store.read("sqlite:here.db")
    }

    #[test]
    fn it_is_an_address_or_a_table() {
        let address = read("store = 'postgres://me:secret@db/chat?sslmode=disable'").unwrap();
        assert_eq!((address.to_string(), address.lanes), ("postgres://db/chat".to_owned(), Lanes::default()));
        let address =
            read("[store]\naddress = 'postgres://db/chat'\nwrite_lanes = 8\nread_lanes = 2").unwrap();
        assert_eq!(address.lanes, Lanes { write: 8, read: 2 });
        let address = read("[store]\nread_lanes = 1").unwrap();
        assert_eq!((address.to_string(), address.lanes.read), ("sqlite:here.db".to_owned(), 1));
        let here = StoreOptions { address: Some("postgres://flag/x".to_owned()), ..StoreOptions::default() };
        let there = StoreOptions { write_lanes: Some(9), address: Some("x".to_owned()), read_lanes: None };
        let both = here.or(there).read("").unwrap();
        assert_eq!((both.to_string(), both.lanes.write), ("postgres://flag/x".to_owned(), 9));
    }

    #[test]
    fn as_many_lanes_as_there_can_be() {
        let refused = |toml: &str| read(toml).unwrap_err().to_string();
        assert!(refused("[store]\nread_lanes = 0").starts_with("store.read_lanes is 0"));
        assert!(
            refused("[store]\naddress = 'postgres://db/x'\nwrite_lanes = 65").contains("between 1 and 64")
        );
        assert!(refused("[store]\nwrite_lanes = 4").contains("SQLite"));
        assert!(toml::from_str::<Table>("lanes = 4").is_err());
    }
}
