//! The way out: all rows of one snapshot, page by page.

use carillon_model::Key;

use super::{Columns, LEFT, MISSED, MOVED, Sieve, Table, Travelling, arrived, kept, listed};
use crate::engine::{Declared, Kind, Opened, Value, values};
use crate::row::read;
use crate::{Error, Location, Result, Tx, migration};

/// How many rows are read at a time.
const PAGE_LEN: i64 = 200;

/// An export under way: a connection of its own, in a transaction that reads one snapshot. It changes nothing, and may
/// stand beside a server, of this version or of an earlier one.
pub struct Export {
    opened: Opened,
    schema: i64,
    sieve: Sieve,
    with_keys: bool,
    /// The number of the table that is being read.
    at: usize,
    page: Option<Page>,
}

/// Where a table is being read.
struct Page {
    columns: Vec<Declared>,
    /// The last row that was read.
    after: Option<Columns>,
}

impl Export {
    /// Begins to read a store; all of it, or one app instance.
    pub fn open(location: &Location, of: Option<Key>, with_keys: bool) -> Result<Self> {
        if let Location::Sqlite(path) = location
            && !path.exists()
        {
            return Err(Error::broken(format!("there is no {}", path.display())));
        }
        let mut opened = location.open(Kind::Read)?;
        let schema = opened.hold(|driver| {
            driver.begin(Kind::Read)?;
            driver.take_time()?;
            migration::find_readable(&mut Tx::new(driver, None))
        })?;
        let sieve = of.map_or_else(Sieve::default, Sieve::only);
        Ok(Self { opened, schema, sieve, with_keys, at: 0, page: None })
    }

    /// The version of the schema.
    pub fn schema(&self) -> i64 {
        self.schema
    }

    /// Whether there is such an app instance.
    pub fn has_app_instance(&mut self, key: Key) -> Result<bool> {
        let sql = "SELECT key FROM app_instance WHERE key = $1 AND deleted_at IS NULL";
        let found = self.opened.hold(|driver| Tx::new(driver, None).row::<Key>(sql, values![key], read))?;
        Ok(found.is_some())
    }

    /// What stays behind though somebody may miss it: of which table how many rows, and why.
    pub fn left(&mut self) -> Result<Vec<(&'static str, i64, &'static str)>> {
        let Self { opened, sieve, with_keys, .. } = self;
        let secrets = "secrets are in an export only with --with-keys";
        let tables = MOVED.iter().filter(|table| table.is_secret && !*with_keys && table.only.is_none());
        let secret = tables.map(|table| (table.name, secrets));
        let missed = LEFT.iter().copied().filter(|(name, _)| *name == MISSED);
        let all = secret.chain(missed).filter(|_| sieve.wants(&MOVED[0]));
        opened.hold(|driver| {
            let (mut tx, mut left) = (Tx::new(driver, None), Vec::new());
            for (name, reason) in all {
                if tx.columns(name)?.is_empty() {
                    continue;
                }
                let sql = kept(format!("SELECT COUNT(*) FROM {name} -- of an export"));
                let count: i64 = tx.row(sql, &[], read)?.unwrap_or_default();
                if 0 < count {
                    left.push((name, count, reason));
                }
            }
            Ok(left)
        })
    }

    /// The next rows, all of one table; nothing at the end.
    pub fn next_rows(&mut self) -> Result<Option<(&'static Table, Vec<Columns>)>> {
        while let Some(table) = MOVED.get(self.at) {
            let is_wanted = self.sieve.wants(table) && (self.with_keys || !table.is_secret);
            let rows = if is_wanted { self.read_page(table)? } else { None };
            let Some(mut rows) = rows else {
                (self.at, self.page) = (self.at + 1, None);
                continue;
            };
            rows.retain(|row| self.sieve.admits(table, row));
            if !rows.is_empty() {
                return Ok(Some((table, rows)));
            }
        }
        Ok(None)
    }

    fn read_page(&mut self, table: &Table) -> Result<Option<Vec<Columns>>> {
        let begun = self.page.take();
        let (page, mut rows) = self.opened.hold(|driver| {
            let mut tx = Tx::new(driver, None);
            let page = match begun {
                Some(page) => page,
                None => Page { columns: tx.columns(table.name)?, after: None },
            };
            if page.columns.is_empty() {
                return Ok((page, Vec::new())); // A store of an earlier version, which has no such table.
            }
            let (sql, values) = page.question(table)?;
            let rows = tx.rows(sql, &values, |row| {
                let mut columns = Columns::new();
                for column in &page.columns {
                    let Travelling(value) = row.read()?;
                    columns.insert(column.name.clone(), value);
                }
                Ok(columns)
            })?;
            drop(values);
            Ok::<_, Error>((page, rows))
        })?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.page = Some(Page { columns: page.columns, after: Some(last.clone()) });
        if let Some(passing) = table.passing {
            for row in &mut rows {
                row.remove(passing);
            }
        }
        Ok(Some(rows))
    }
}

impl Page {
    /// The statement that asks for the next page.
    fn question(&self, table: &Table) -> Result<(&'static str, Vec<Value<'_>>)> {
        let names = listed(self.columns.iter().map(|column| column.name.as_str()));
        let (name, key, count) = (table.name, listed(table.key.iter().copied()), table.key.len());
        let mut values = Vec::new();
        let place = if let Some(after) = &self.after {
            for of_key in table.key {
                let column = self.columns.iter().find(|column| column.name == *of_key);
                let column = column.ok_or_else(|| Error::broken(format!("{name} has no {of_key}")))?;
                values.push(arrived(column, after.get(*of_key))?);
            }
            format!(" WHERE ({key}) > ({})", crate::engine::parameters(1, count))
        } else {
            String::new()
        };
        let text =
            format!("SELECT {names} FROM {name}{place} ORDER BY {key} LIMIT {PAGE_LEN} -- of an export");
        Ok((kept(text), values))
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.opened.hold(|driver| driver.rollback());
    }
}
