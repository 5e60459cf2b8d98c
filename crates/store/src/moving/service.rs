//! What `import --from-service` puts into a store: rows in the place of those under the same keys, as often as it is
//! repeated.

use std::collections::BTreeSet;

use carillon_model::Key;
use serde_json::Value as Json;

use super::{Columns, Table, Travelling, arrived, columns, kept, listed, mark};
use crate::engine::{Declared, Value, parameters, values};
use crate::row::read;
use crate::{Result, Tx, index, setting};

/// What stays of a row that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// What stands in these columns.
    Columns(&'static [&'static str]),
    /// All of it, where this column is not 0.
    Where(&'static str),
}

/// Puts rows of one table into the store in the place of what it has under their keys. Answers how many are new or
/// other ones.
pub fn replace(tx: &mut Tx, table: &Table, held: Held, rows: &[Columns]) -> Result<u64> {
    let (fixed, unless): (&[&str], _) = match held {
        Held::Nothing => (&[], None),
        Held::Columns(fixed) => (fixed, None),
        Held::Where(column) => (&[], Some(column)),
    };
    let mut changed = 0;
    let all: Vec<Declared> = columns(tx, table.name)?;
    for row in rows {
        let columns: Vec<&Declared> = all.iter().filter(|column| row.contains_key(&column.name)).collect();
        let values = columns.iter().map(|column| arrived(column, row.get(&column.name)));
        let values = values.collect::<Result<Vec<_>>>().map_err(|error| error.context(table.name))?;
        let (name, key) = (table.name, listed(table.key.iter().copied()));
        let names = listed(columns.iter().map(|column| column.name.as_str()));
        let moving = columns.iter().map(|column| column.name.as_str());
        let moving = moving.filter(|column| !table.key.contains(column) && !fixed.contains(column));
        let (sets, differ): (Vec<_>, Vec<_>) = moving
            .map(|column| {
                let differs = format!("{name}.{column} IS DISTINCT FROM EXCLUDED.{column}");
                (format!("{column} = EXCLUDED.{column}"), differs)
            })
            .unzip();
        let action = if sets.is_empty() {
            "NOTHING".to_owned()
        } else {
            let unless = unless.map_or_else(String::new, |column| format!(" AND {name}.{column} = 0"));
            format!("UPDATE SET {} WHERE ({}){unless}", sets.join(", "), differ.join(" OR "))
        };
        let parameters = parameters(1, columns.len());
        let sql = kept(format!(
            "INSERT INTO {name} ({names}) VALUES ({parameters}) ON CONFLICT ({key}) DO {action}"
        ));
        changed += tx.execute(sql, &values)?;
    }
    Ok(changed)
}

/// Deletes the rows of a table that belong to `owner`, and whose keys are not among those of `rows`. Answers how many.
pub fn keep_only(tx: &mut Tx, table: &Table, owner: Key, rows: &[Columns]) -> Result<u64> {
    let columns: Vec<Declared> = columns(tx, table.name)?;
    let key = listed(table.key.iter().copied());
    let (name, first) = (table.name, table.key[0]);
    let sql = kept(format!("SELECT {key} FROM {name} WHERE {first} = $1"));
    let found = tx.rows(sql, values![owner], |row| {
        table.key.iter().map(|_| row.read::<Travelling>().map(|value| value.0)).collect::<Result<Vec<_>>>()
    })?;
    let kept_keys: BTreeSet<String> =
        rows.iter().map(|row| spelled(table.key.iter().map(|column| row.get(*column)))).collect();
    let mut deleted = 0;
    for gone in found.iter().filter(|key| !kept_keys.contains(&spelled(key.iter().map(Some)))) {
        let of_key = table.key.iter().zip(gone).map(|(column, value)| {
            let declared = columns.iter().find(|declared| declared.name == *column);
            declared.map_or(Ok(Value::Null), |declared| arrived(declared, Some(value)))
        });
        let values = of_key.collect::<Result<Vec<_>>>()?;
        let parameters = parameters(1, table.key.len());
        deleted += tx.execute(kept(format!("DELETE FROM {name} WHERE ({key}) = ({parameters})")), &values)?;
    }
    Ok(deleted)
}

fn spelled<'a>(values: impl Iterator<Item = Option<&'a Json>>) -> String {
    values.map(|value| value.map(Json::to_string).unwrap_or_default()).collect::<Vec<_>>().join(" ")
}

/// Lets the numbers and the clock of a channel go on after these.
pub fn raise(tx: &mut Tx, channel: Key, sequence: i64, clock: i64) -> Result<()> {
    tx.execute(
        "UPDATE channel SET sequence = CASE WHEN sequence < $2 THEN $2 ELSE sequence END,
           clock = CASE WHEN clock < $3 THEN $3 ELSE clock END WHERE key = $1",
        values![channel, sequence, clock],
    )
    .map(drop)
}

/// Begins, and says so in the store until [`brought`]. False where the app instance is here and did not come from the
/// service.
pub fn adopt(tx: &mut Tx, instance: Key) -> Result<bool> {
    let name = mark::of_service(instance);
    let is_known = setting::find(tx, &name)?.is_some();
    let found: Option<Key> =
        tx.row("SELECT key FROM app_instance WHERE key = $1", values![instance], read)?;
    if found.is_some() && !is_known {
        return Ok(false);
    }
    // What is replaced here is not noted message by message.
    index::distrust(tx)?;
    setting::set(tx, &name, mark::UNDER_WAY)?;
    Ok(true)
}

/// All of an app instance was brought. That it came from the service stays known.
pub fn brought(tx: &mut Tx, instance: Key) -> Result<()> {
    setting::set(tx, &mark::of_service(instance), "")
}
