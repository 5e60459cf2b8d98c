//! The way in: rows by the batch, each a transaction that also says how far the import has come.
//!
//! A mark in the store names the archive and how many of its rows were looked at. So an import that was cut off goes on
//! where it was, a commit of which nobody knew is found out, two imports do not mix, and no server serves half of one.
//!
//! A thing that the target has already stays as it is, with all that belongs to it: an app instance, and of the account
//! a user, a role, a policy, a provider. Its rows were changed since, or the archive's were, and a mixture of both is
//! neither: what somebody deleted would come back, and counts would be wrong.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::intake::Batch;
use super::mark::{self, Mark};
use super::{Columns, MOVED, Table, Travelling, arrived, columns, kept, listed};
use crate::engine::{Declared, Value, parameters, values};
use crate::row::read;
use crate::{Error, Result, Tx, iam};

/// How many rows a statement adds: as many as there are texts for each table.
const LENGTHS: [usize; 3] = [100, 10, 1];

/// How an import begins.
#[derive(Debug)]
pub enum Begun {
    /// It begins, or goes on.
    At(Mark),
    /// Another archive was being imported, into a store that was empty before: what came of it is to be deleted.
    Instead,
    /// Another archive was being imported, beside something else.
    Beside,
}

/// Fails where an import was cut off.
pub fn check(tx: &mut Tx) -> Result<()> {
    match mark::find(tx)? {
        None => Ok(()),
        Some(_) => Err(Error::broken("an import into it was cut off, so it holds a part of an archive")),
    }
}

/// Begins to import an archive, or goes on with it.
pub fn begin(tx: &mut Tx, archive: &str) -> Result<Begun> {
    if let Some(mark) = mark::find(tx)? {
        return Ok(match mark {
            mark if mark.archive == archive => Begun::At(mark),
            mark if mark.began_empty => Begun::Instead,
            _ => Begun::Beside,
        });
    }
    let mut began_empty = true;
    for table in MOVED.iter().filter(|table| table.is_root() && table.only.is_none()) {
        let key = table.key[0];
        let sql = kept(format!("SELECT {key} FROM {} ORDER BY {key} LIMIT 1 -- of an import", table.name));
        began_empty &= tx.row(sql, &[], read::<Travelling>)?.is_none();
    }
    let mark = Mark { archive: archive.to_owned(), rows: 0, began_empty, there: BTreeMap::new() };
    mark::write(tx, &mark)?;
    Ok(Begun::At(mark))
}

/// Deletes some of what an import brought into a store that was empty; true while there is more.
pub fn empty(tx: &mut Tx) -> Result<bool> {
    for table in MOVED.iter().rev() {
        let key = listed(table.key.iter().copied());
        let (name, first) = (table.name, table.key[0]);
        let only = table.only.map_or_else(String::new, |only| {
            format!("WHERE '{only}' <= {first} AND {first} < '{only}\u{7f}' ")
        });
        let sql = kept(format!(
            "DELETE FROM {name} WHERE ({key}) IN
               (SELECT {key} FROM {name} {only}ORDER BY {key} LIMIT 1000) -- of an import"
        ));
        if 0 < tx.execute(sql, &[])? {
            return Ok(true);
        }
    }
    tx.execute("DELETE FROM setting WHERE name = $1", values![mark::NAME])?;
    Ok(false)
}

/// Puts a batch into the store; answers how far the import is then.
pub fn put(tx: &mut Tx, batch: &Batch) -> Result<Mark> {
    let Batch { from, table, rows, looked_at } = batch;
    let Some(found) = mark::find(tx)?.filter(|found| found.archive == from.archive) else {
        return Err(Error::broken("another import has taken its place"));
    };
    if found.rows == from.rows + looked_at {
        return Ok(found); // It was committed, and the answer got lost.
    }
    if found.rows != from.rows {
        return Err(Error::broken("the same archive is being imported by another process"));
    }
    let mut mark = Mark { rows: from.rows + looked_at, ..from.clone() };
    let columns: Vec<Declared> = columns(tx, table.name)?;
    let columns: Vec<&Declared> = columns
        .iter()
        .filter(|column| rows.first().is_some_and(|row| row.contains_key(&column.name)))
        .collect();
    if table.is_root() {
        for row in rows.iter() {
            if insert(tx, table, &columns, std::slice::from_ref(row))? == 0 {
                let key = row.get(table.key[0]).and_then(Json::as_str).unwrap_or_default();
                mark.there.entry(table.name.to_owned()).or_default().insert(key.to_owned());
            }
        }
    } else {
        let mut rest = &rows[..];
        for length in LENGTHS {
            while let Some((some, more)) = rest.split_at_checked(length) {
                insert(tx, table, &columns, some)?;
                rest = more;
            }
        }
    }
    mark::write(tx, &mark)?;
    Ok(mark)
}

/// All of the archive is in the store. Who may sign is read anew where its version is another one.
pub fn end(tx: &mut Tx, mark: &Mark) -> Result<()> {
    match mark::find(tx)? {
        None => Ok(()), // It was committed, and the answer got lost.
        Some(found) if found != *mark => Err(Error::broken("another import has taken its place")),
        Some(_) => {
            iam::claim(tx, &mark.archive)?;
            tx.execute("DELETE FROM setting WHERE name = $1", values![mark::NAME]).map(drop)
        }
    }
}

pub(super) fn insert(tx: &mut Tx, table: &Table, columns: &[&Declared], rows: &[Columns]) -> Result<u64> {
    let mut values: Vec<Value<'_>> = Vec::with_capacity(rows.len() * columns.len());
    let mut tuples = Vec::with_capacity(rows.len());
    for row in rows {
        tuples.push(format!("({})", parameters(values.len() + 1, columns.len())));
        for column in columns {
            let value = arrived(column, row.get(&column.name));
            values.push(value.map_err(|error| error.context(table.name))?);
        }
    }
    let names = listed(columns.iter().map(|column| column.name.as_str()));
    let (name, tuples) = (table.name, tuples.join(", "));
    let sql = kept(format!("INSERT INTO {name} ({names}) VALUES {tuples} ON CONFLICT DO NOTHING"));
    tx.execute(sql, &values)
}
