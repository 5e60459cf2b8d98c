//! The secrets in rows: sealed with the master key of the server that they come from, to be sealed with that of the
//! server that they go to.

use carillon_auth::KeyRing;
use carillon_auth::seal::NONCE_BYTES;
use carillon_store::moving::{Columns, Table};
use data_encoding::HEXLOWER;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::Value;
use zeroize::Zeroizing;

use super::archive::Header;
use crate::error::{Error, Result};
use crate::web_push;

/// What opens the secrets of an archive.
pub(super) struct Secrets(Option<KeyRing>);

impl Secrets {
    /// By the master keys that its header names.
    pub(super) fn of(header: &Header) -> Result<Self> {
        let Some(keys) = &header.master_key else { return Ok(Self(None)) };
        let ring = KeyRing::parse(keys);
        let ring =
            ring.map_err(|reason| Error::failure(format!("the master key of the archive: {reason}")))?;
        Ok(Self(Some(ring)))
    }

    /// Fails where a row holds a secret that they do not open.
    pub(super) fn check(&self, table: &Table, row: &Columns) -> Result<()> {
        self.open(table, row).map(drop)
    }

    /// Seals the secret of a row with the first of these keys.
    pub(super) fn reseal(
        &self,
        with: &KeyRing,
        random: &mut StdRng,
        table: &Table,
        row: &mut Columns,
    ) -> Result<()> {
        let Some((place, secret)) = self.open(table, row)? else { return Ok(()) };
        let nonce: [u8; NONCE_BYTES] = random.random();
        let name = text(row, place.name).to_owned();
        let sealed = with.sealer(place.purpose).seal(nonce, name.as_bytes(), &secret);
        row.insert(place.column.to_owned(), HEXLOWER.encode(&sealed).into());
        Ok(())
    }

    fn open(&self, table: &Table, row: &Columns) -> Result<Option<Opened>> {
        let Some(place) = PLACES.iter().find(|place| place.table == table.name) else { return Ok(None) };
        let (name, sealed) = (text(row, place.name), text(row, place.column));
        let sealed = HEXLOWER.decode(sealed.as_bytes()).unwrap_or_default();
        let opened =
            self.0.as_ref().and_then(|ring| ring.sealer(place.purpose).open(name.as_bytes(), &sealed));
        let opened = opened.ok_or_else(|| {
            let sentence = format!("the wrong master key: it does not open the secret of {name}");
            Error::failure(sentence).hint("Export anew, with the master key that the server has.")
        })?;
        Ok(Some((place, opened)))
    }
}

/// A secret, and where it was.
type Opened = (&'static Place, Zeroizing<Vec<u8>>);

/// Where a secret is: in which column, under which name, and for what it is sealed.
struct Place {
    table: &'static str,
    name: &'static str,
    column: &'static str,
    purpose: &'static str,
}

const PLACES: [Place; 2] = [
    Place { table: "iam_access_key", name: "id", column: "secret", purpose: carillon_access::ACCESS_KEYS },
    Place { table: "setting", name: "name", column: "value", purpose: web_push::PURPOSE },
];

fn text<'a>(row: &'a Columns, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use carillon_store::moving::MOVED;

    use super::*;

    #[test]
    fn every_table_with_secrets_says_where_they_are() {
        let secret = MOVED.iter().filter(|table| table.is_secret).map(|table| table.name);
        let mut places: Vec<_> = PLACES.iter().map(|place| place.table).collect();
        places.sort_unstable();
        let mut secret: Vec<_> = secret.collect();
        secret.sort_unstable();
        assert_eq!(places, secret);
    }
}
