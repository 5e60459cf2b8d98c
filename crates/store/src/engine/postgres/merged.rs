//! Statements that stand for several of one text: one costs the server much the same whether it is about one row or a
//! hundred. Lists stand in the place of values.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use tokio_postgres::Statement;
use tokio_postgres::types::Type;

use crate::engine::{Effect, Value};

/// A statement that stands for several of another text.
#[derive(Clone, Copy)]
pub(super) struct Merged {
    pub(super) sql: &'static str,
    /// How many values each row brings.
    pub(super) own: usize,
}

/// The text that adds several rows at once, of lists in the place of values; none of a statement that is no `INSERT` of
/// values alone.
pub(super) fn added(sql: &'static str, one: &Statement, effect: Effect) -> Option<Merged> {
    once(sql, || {
        let (text, own) = of_lists(sql, one.params())?;
        let text = match effect {
            Effect::Any => text,
            Effect::Must => format!(
                "WITH changed AS ({text} RETURNING 1)
                 SELECT 1 / (CASE WHEN COUNT(*) = CARDINALITY($1) THEN 1 ELSE 0 END) FROM changed"
            ),
        };
        Some((text, own))
    })
}

/// The text that changes several rows, of which each must be as the statement supposes: it locks them first, in the
/// order of the lists.
pub(super) fn supposed(sql: &'static str, one: &Statement) -> Option<Merged> {
    once(sql, || of_supposed(sql, one.params()))
}

fn of_supposed(sql: &str, types: &[Type]) -> Option<(String, usize)> {
    let (table, rest) = sql.strip_prefix("UPDATE ")?.split_once(" SET ")?;
    let (set, condition) =
        rest.split_once("WHERE ").filter(|(_, condition)| condition.starts_with("key = $1 "))?;
    let (set, condition) = (set.trim().replace('$', "w.p"), condition.replace('$', "u.p"));
    let (lists, names) = (numbered(types, &list), numbered(types, &|number, _| format!("p{number}")));
    let text = format!(
        "WITH w AS MATERIALIZED (
           SELECT u.*, x.key FROM UNNEST({lists}) WITH ORDINALITY AS u({names}, at)
           CROSS JOIN LATERAL (SELECT key FROM {table} WHERE {condition} FOR NO KEY UPDATE OFFSET 0) AS x),
         changed AS (UPDATE {table} SET {set} FROM w WHERE {table}.key = w.key RETURNING 1)
         SELECT 1 / (CASE WHEN COUNT(*) = CARDINALITY($1) THEN 1 ELSE 0 END) FROM changed"
    );
    Some((text, types.len()))
}

/// Something of each parameter, by its number and type.
fn numbered(types: &[Type], make: &dyn Fn(usize, &Type) -> String) -> String {
    types.iter().enumerate().map(|(at, kind)| make(at + 1, kind)).collect::<Vec<_>>().join(", ")
}

/// The list that stands in the place of a value.
fn list(number: usize, kind: &Type) -> String {
    format!("${number}::{}[]", kind.name())
}

/// The text that asks a question several times at once; behind the columns of each row it says which of them it
/// answers, from one on. `OFFSET 0` keeps the planner from making anything else of it.
pub(super) fn asked(sql: &'static str, one: &Statement) -> Option<Merged> {
    once(sql, || {
        let types = one.params();
        let (lists, names) = (numbered(types, &list), numbered(types, &|number, _| format!("p{number}")));
        let question = sql.replace('$', "u.p");
        let text = format!(
            "SELECT x.*, u.at FROM UNNEST({lists}) WITH ORDINALITY AS u({names}, at)
             CROSS JOIN LATERAL ({question} OFFSET 0) AS x"
        );
        Some((text, types.len()))
    })
}

/// Which of several questions a row answers, counted from zero.
pub(super) fn which(row: &tokio_postgres::Row) -> Option<usize> {
    let number: i64 = row.try_get(row.len().checked_sub(1)?).ok()?;
    usize::try_from(number - 1).ok()
}

fn once(sql: &'static str, text: impl FnOnce() -> Option<(String, usize)>) -> Option<Merged> {
    static MADE: LazyLock<Mutex<HashMap<usize, Merged>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = made.get(&(sql.as_ptr() as usize)) {
        return Some(*known);
    }
    let (text, own) = text()?;
    let merged = Merged { sql: text.leak(), own };
    made.insert(sql.as_ptr() as usize, merged);
    Some(merged)
}

/// The values of several rows, column by column.
pub(super) fn columns(own: usize, rows: Vec<Vec<Value<'static>>>) -> Vec<Vec<Value<'static>>> {
    let mut columns: Vec<_> = (0..own).map(|_| Vec::new()).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    columns
}

fn of_lists(sql: &str, types: &[Type]) -> Option<(String, usize)> {
    let (head, rest) = sql.split_once("VALUES (")?;
    let (values, tail) = rest.split_once(')')?;
    let names: Vec<&str> = values.split(',').map(str::trim).collect();
    let own = names.len();
    let is_plain = names.iter().enumerate().all(|(at, name)| *name == format!("${}", at + 1));
    let lists = is_plain.then(|| types.get(..own).map(|types| numbered(types, &list)))??;
    // `ON` would be read as a part of what is selected from.
    Some((format!("{head}SELECT * FROM UNNEST({lists}) WHERE TRUE{tail}"), own))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSERT: &str = "INSERT INTO x (a, b) VALUES ($1, $2) ON CONFLICT (a) DO NOTHING";

    #[test]
    fn several_rows_are_added_by_lists() {
        let types = [Type::BYTEA, Type::INT8, Type::INT8];
        let (text, own) = of_lists(INSERT, &types).unwrap();
        let lists = "SELECT * FROM UNNEST($1::bytea[], $2::int8[]) WHERE TRUE ON CONFLICT (a) DO NOTHING";
        assert_eq!((text, own), (format!("INSERT INTO x (a, b) {lists}"), 2));
        assert_eq!(of_lists("INSERT INTO x (a) VALUES (LOWER($1))", &types), None);
        assert_eq!(of_lists("UPDATE x SET a = $1", &types), None);
    }

    #[test]
    fn several_rows_are_locked_in_order_and_changed() {
        let update = "UPDATE x SET a = $2 WHERE key = $1 AND a = $3";
        let (text, own) = of_supposed(update, &[Type::BYTEA, Type::INT8, Type::INT8]).unwrap();
        assert_eq!(own, 3);
        assert!(
            text.contains("(SELECT key FROM x WHERE key = u.p1 AND a = u.p3 FOR NO KEY UPDATE OFFSET 0)")
        );
        assert!(text.contains("UPDATE x SET a = w.p2 FROM w WHERE x.key = w.key"));
        let others =
            ["DELETE FROM x WHERE key = $1 AND a = $2", "UPDATE x SET a = $2 WHERE b = $1 AND key = $3"];
        assert!(others.iter().all(|other| of_supposed(other, &[Type::BYTEA, Type::INT8]).is_none()));
    }
}
